"""Makes one series in a fresh process; prints the projected and the measured peak in bytes."""

from __future__ import annotations

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
# Not getrusage: that figure also holds what the parent process took when it started this one.
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(simulation_bytes(SIZE, SIZE[2], options.tilts_deg()), int(peak.split()[1]) * 1024)
