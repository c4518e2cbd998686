"""Density maps in MRC files, compressed or not, as templates take them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import FormatError
from cryolithe_stream.geometry import Float32s
from cryolithe_stream.simulate.scattering import load_gemmi

_MOST_VOXELS = 640**3
_MOST_ANSTROM = 100.0


def read_map(path: Path) -> tuple[Float32s, float]:
    """A map `(z, y, x)`, density positive, and its voxel size in Å; `.gz` is unpacked while it is read.

    Raises FormatError for what is no map, has no or unequal voxel sizes, is not finite or nowhere positive.
    """
    try:
        found = load_gemmi().read_ccp4_map(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise FormatError(f"map {path} cannot be read ({error})", fix="Give an MRC map of mode 0, 1 or 2") from error
    order = [found.header_i32(word) for word in (17, 18, 19)]
    if sorted(order) != [1, 2, 3]:
        raise FormatError(f"map {path} names its axes {order}", fix="Give a map whose axes are 1, 2 and 3")
    if math.prod(found.grid.shape) > _MOST_VOXELS:
        raise FormatError(f"map {path} has {found.grid.shape} voxels, the limit is 640³", fix="Bin or crop it")
    counts = [found.header_i32(word) for word in (8, 9, 10)]
    sizes = [found.header_float(word) / max(n, 1) for word, n in zip((11, 12, 13), counts, strict=True)]
    voxel = float(np.mean(sizes))
    if not (0 < voxel <= _MOST_ANSTROM) or max(abs(s - voxel) for s in sizes) > 0.01 * voxel:
        raise FormatError(
            f"map {path} has voxels of {sizes} Å, equal sides of up to 100 Å are needed", fix="Correct its header"
        )
    x, y, z = (order.index(axis) for axis in (1, 2, 3))
    density = np.ascontiguousarray(found.grid.array.transpose(z, y, x), dtype=np.float32)
    if not np.isfinite(density).all() or not density.max() > 0:
        raise FormatError(f"map {path} is not finite or nowhere positive", fix="Give a map whose density is positive")
    return density, voxel
