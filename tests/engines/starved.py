"""Run as a script: a block whole, then in a process that may take no more than a share of the memory for it."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch
from engines_support import TILTS_DEG, voxels
from peak import reconstructor

from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run.halving import Halving

SHAPE = (32, 24, 256)


def address_space() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmSize:"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    made, halving = reconstructor("context", SHAPE), Halving()
    shape_tyx = (len(TILTS_DEG), SHAPE[1], SHAPE[2])
    projections = np.random.default_rng(0).standard_normal(shape_tyx, dtype=np.float32)

    def compute(box: Box) -> np.ndarray:
        return voxels(made, box, projections)

    compute(Box.whole((16, 16, 16)))  # libraries and threads are there before the limit
    before = address_space()
    needed = made.peak_bytes(SHAPE, made.layout(Box.whole(SHAPE), TILTS_DEG))
    resource.setrlimit(resource.RLIMIT_AS, (before + int(float(sys.argv[1]) * needed), resource.RLIM_INFINITY))
    found: dict[str, object] = {"needed": needed}
    try:
        starved, parts = halving.voxels(Box.whole(SHAPE), compute)
        again = halving.voxels(Box.whole(SHAPE), compute)[1]
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        whole = compute(Box.whole(SHAPE))
        found |= {"parts": parts, "again": again, "difference": float(np.abs(starved - whole).max() / whole.std())}
    except CryolitheError as error:
        found["error"] = str(error)
    print(json.dumps(found))
