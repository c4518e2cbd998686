"""Makes one series in a fresh process; prints the projected and the measured peak in bytes."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from cryolithe_stream.simulate import SimulateOptions, simulate
from cryolithe_stream.simulate.memory import simulation_bytes

SIZE = (128, 200, 256)

options = SimulateOptions(
    output=Path(sys.argv[1]), size=SIZE, tilts="-60,60,30", carbon=True, surroundings="periodic", membranes=True,
    filaments=True, gold=True,
)  # fmt: skip
simulate(options)
print(simulation_bytes(SIZE, SIZE[2], options.tilts_deg()), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
