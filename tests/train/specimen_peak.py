"""Makes one specimen in a fresh process; prints the projected and the measured peak in bytes."""

from __future__ import annotations

from pathlib import Path

from cryolithe_stream.train.data_options import PhantomOptions
from cryolithe_stream.train.phantoms import make_specimen, specimen_bytes

options = PhantomOptions(depths=(160,))
make_specimen(3, options)
# Not getrusage: that figure also holds what the parent process took when it started this one.
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(specimen_bytes(options), int(peak.split()[1]) * 1024)
