"""What a simulation holds in memory at most, and whether there is room for it."""

from __future__ import annotations

import math

import numpy as np
import psutil

from cryolithe_stream.errors import MemoryBudgetError
from cryolithe_stream.geometry import Floats, Shape3

_BYTES_PER_VOXEL = 30  # float64 sum and bin count of `draw`, float32 mass, density, carbon and its textures
_BYTES_PER_RAY_POINT = 200  # of `strip_areas` and the sort before the gathering
_RESERVE = 450 << 20  # the process with torch, chunks of blobs (200 MiB), a template, a shard
_SMALLER = "Give a smaller --size or a larger --pixel-size, or --surroundings periodic"


def specimen_shape(size_zyx: Shape3, tilts_deg: Floats, *, wide: bool) -> Shape3:
    """Voxels that are simulated: the volume, or with `wide` as much along x as the steepest tilt sees of its depth."""
    if not wide:
        return size_zyx
    nz, ny, nx = size_zyx
    steepest = np.deg2rad(np.abs(tilts_deg).max())
    seen = math.ceil(nx / np.cos(steepest) + nz * np.tan(steepest)) + 2
    return nz, ny, seen + (seen - nx) % 2


def simulation_bytes(shape_zyx: Shape3, width: int, tilts_deg: Floats, *, gradient: bool = False) -> int:
    """Upper bound of the bytes of a process that makes a series: 30 for each voxel of the specimen and some more.

    Tilts pass one by one; templates come on top (4 bytes for each point of half a voxel that they take).

    `width` is the detector's, `gradient` whether the defocus changes across it.
    """
    nz, ny, nx = shape_zyx
    steepest = np.deg2rad(np.abs(tilts_deg).max())
    rays = nz * (width / np.cos(steepest) + nz * np.tan(steepest) + 2 * nx)
    image = 2 * ny * width * 8 * 6 * (20 if gradient else 1)
    return int(_BYTES_PER_VOXEL * nz * ny * nx + _BYTES_PER_RAY_POINT * rays + image) + _RESERVE


def free_bytes() -> int:
    """The memory that this machine can give now."""
    return int(psutil.virtual_memory().available)


def require_memory(needed: int, what: str, room: int | None = None, *, fix: str = _SMALLER) -> None:
    """Raises MemoryBudgetError when `what` needs more bytes than the `room` for it: without one, what is free here."""
    room = free_bytes() if room is None else room
    if needed > room:
        raise MemoryBudgetError(
            f"{what} takes up to {needed / 2**30:.1f} GiB, {room / 2**30:.1f} GiB are free for it", fix=fix
        )
