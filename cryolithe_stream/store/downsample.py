"""Pyramid levels, one shard at a time from the level below."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cryolithe_stream.geometry import Box, Shape3
from cryolithe_stream.store.boxes import shard_write_bytes, write_shard
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.layout import TomogramLayout, split
from cryolithe_stream.store.place import PlaceLike
from cryolithe_stream.store.tomogram import open_level, open_tomogram
from cryolithe_stream.store.values import Stored, checksum_text, crc32


def downsample_shard(path: PlaceLike, level: int, shard_index: Shape3) -> str:
    """Build one shard of `level` (1 or more) from the level below and return the checksum of what was stored.

    A voxel is the mean of the 2x2x2 below it, at the volume's end of those that exist; int16 means are rounded to
    the nearest even. The level below must be complete. Raises OutputError (disk full, not writable).
    """
    tomogram = open_tomogram(path)
    layout = tomogram.layout
    if not 1 <= level < tomogram.n_levels:
        raise ValueError(f"level {level} cannot be built: the levels are 0 (written) to {tomogram.n_levels - 1}")
    source = open_level(tomogram.path, level - 1, mode="r")
    target = open_level(tomogram.path, level, mode="r+")
    shard = layout.shard_box(level, shard_index)
    stored = np.empty(shard.shape, target.dtype)
    origin = shard.start
    for part in split(shard, layout.chunk_zyx):
        place = part.shifted((-origin[0], -origin[1], -origin[2])).slices
        stored[place] = _from_below(source, part, stored.dtype)
    with output_faults(tomogram.path):
        write_shard(tomogram.path / str(level), target, shard, stored)
    return checksum_text(crc32(stored))


def downsample_shard_bytes(layout: TomogramLayout) -> int:
    """Upper bound of what `downsample_shard` allocates on any level.

    One shard as stored, and either its encoding or the 2x2x2 chunks below one chunk: as file, as its parts, decoded,
    joined, and in transit between these.
    """
    chunk, shard = math.prod(layout.chunk_zyx), math.prod(layout.shard_zyx)
    size = np.dtype(layout.dtype).itemsize
    return max(shard_write_bytes(shard, layout.dtype), shard * size + 36 * chunk * size) + (1 << 20)


def halve(array: Stored) -> NDArray[np.float32]:
    """Means over 2x2x2 voxels in float32; an odd side's last mean is over what exists."""
    for axis in range(3):
        array = np.moveaxis(_halve_first(np.moveaxis(array, axis, 0)), 0, axis)
    return array


def _halve_first(array: Stored) -> NDArray[np.float32]:
    pairs, odd = divmod(len(array), 2)
    means = np.empty((pairs + odd, *array.shape[1:]), np.float32)
    np.add(array[0 : 2 * pairs : 2], array[1 : 2 * pairs : 2], out=means[:pairs], dtype=np.float32)
    means[:pairs] *= np.float32(0.5)
    if odd:
        means[-1] = array[-1]
    return means


def _from_below(source: zarr.Array[Any], part: Box, dtype: np.dtype[Any]) -> NDArray[np.float32]:
    means = halve(np.asarray(source[_below(part, source.shape).slices]))
    return np.rint(means) if dtype.kind == "i" else means


def _below(part: Box, shape: tuple[int, ...]) -> Box:
    stop = [min(2 * b, n) for b, n in zip(part.stop, shape, strict=True)]
    z, y, x = part.start
    return Box((2 * z, 2 * y, 2 * x), (stop[0], stop[1], stop[2]))
