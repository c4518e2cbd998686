"""Run as a script: prepares a stack in a process of its own, which may be measured, limited or killed."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path

import numpy as np
from prepare_support import aligned

from cryolithe_stream.network.filters import CosineRamp, ProjectionFilter
from cryolithe_stream.prepare import prepare_bytes, prepare_projections
from cryolithe_stream.read import read_tilt_series

TURN = np.array([[np.cos(0.075), -np.sin(0.075)], [np.sin(0.075), np.cos(0.075)]])
RAMP = ProjectionFilter(CosineRamp())


def status(key):
    with Path("/proc/self/status").open() as lines:
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def measure(series, output, binning):
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    prepare_projections(series, output, bin=binning, filter=RAMP, threads=1)
    return {"measured": status("VmHWM") - before, "projected": prepare_bytes(series, binning, filter=RAMP)}


def die_at(step):
    def progress(done, total):
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return progress


if __name__ == "__main__":
    job, folder, argument = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    series = read_tilt_series(folder / "stack.mrc", angles=folder / "stack.tlt")
    output = folder / "p.zarr"
    if job == "measure-turned":
        series = aligned(series, TURN, (1.0, -2.0))
    if job.startswith("measure"):
        print(json.dumps(measure(series, output, argument)))
    elif job == "kill":
        prepare_projections(series, output, progress=die_at(argument))
    elif job == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (argument, argument))
        prepare_projections(series, output)
