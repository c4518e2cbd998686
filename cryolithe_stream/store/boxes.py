"""Writing boxes of a tomogram: whole shards, converted and stored one after another."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore, StorePath

from cryolithe_stream.errors import FormatError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.store.atomic import made_below, sync, write_atomically
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.layout import split
from cryolithe_stream.store.place import Place, PlaceLike, place_of
from cryolithe_stream.store.tomogram import open_level
from cryolithe_stream.store.values import DtypeName, Scaling, Statistics, Stored, Written, checksum_text, crc32, encode

_OVERHEAD_BYTES = 1 << 19


def write_box(path: PlaceLike, box: Box, block: Float32s) -> Written:
    """Store a block `(z, y, x)` of level 0 and report clipped voxels, checksum and statistics of what was stored.

    `box` must be whole shards, the volume's end aside, so that processes with different boxes never meet; ValueError
    otherwise. When this returns the shards are on the disk. Raises OutputError (disk full, not writable) and
    CryolitheError (NaN or infinite voxels).
    """
    path = place_of(path)
    array = open_level(path, 0, mode="r+")
    shard = _shard_shape(array)
    _require_whole_shards(box, array.shape, shard)
    if block.shape != box.shape:
        raise ValueError(f"block of shape {block.shape} does not fill the box {box} of shape {box.shape}")
    dtype, scaling = _stored_as(array)
    clipped, checksum, statistics = 0, 0, Statistics()
    with output_faults(path):
        for part in split(box, shard):
            stored, n = encode(block[part.shifted(_negative(box.start)).slices], dtype, scaling)
            write_shard(path / "0", array, part, stored)
            clipped += n
            checksum = crc32(stored, checksum)
            statistics = statistics.merge(Statistics.of(stored))
    return Written(clipped, checksum_text(checksum), statistics)


def write_box_bytes(box: Box, dtype: DtypeName, shard_zyx: Shape3) -> int:
    """Upper bound of what `write_box` allocates beside the block: one shard converted, encoded and joined.

    For an MRC volume, which converts whole blocks, take the block as the shard.
    """
    shard = math.prod(min(b, s) for b, s in zip(box.shape, shard_zyx, strict=True))
    return shard_write_bytes(shard, dtype) + 4 * 8 * math.prod(shard_zyx[1:]) + _OVERHEAD_BYTES


def box_checksum(path: PlaceLike, box: Box, *, level: int = 0) -> str:
    """Checksum of what is stored in a box: equal to the one that `write_box` or `downsample_shard` reported.

    Raises FormatError when a shard cannot be read.
    """
    array = open_level(place_of(path), level, mode="r")
    checksum = 0
    for part in split(box, _shard_shape(array)):
        try:
            stored = np.asarray(array[part.slices])
        except (OSError, ValueError, RuntimeError) as error:
            raise FormatError(f"{path}: the voxels {part} cannot be read", fix="Write them again") from error
        checksum = crc32(stored, checksum)
    return checksum_text(checksum)


def shard_write_bytes(n_voxels: int, dtype: DtypeName) -> int:
    """Upper bound of the bytes of a shard as stored, encoded by chunks, joined, and in transit between these."""
    stored = n_voxels * np.dtype(dtype).itemsize
    return stored + 3 * (stored + stored // 64)


def write_shard(folder: Place, array: zarr.Array[Any], box: Box, stored: Stored) -> None:
    """Store one shard of a level, on the disk when this returns; whoever reads it meanwhile sees the old or the new.

    Nothing of what stands there is merged, and several may write it at once: a task whose client died goes on, and
    another is given the same block. A folder that has gone is not made again (OSError).
    """
    index = tuple(a // s for a, s in zip(box.start, _shard_shape(array), strict=True))
    key = array.metadata.encode_chunk_key(index)
    held: dict[str, Buffer] = {}
    metadata: Any = array.metadata
    zarr.Array(zarr.AsyncArray(metadata, StorePath(MemoryStore(held))))[box.slices] = stored
    encoded = held.get(key)
    file = folder / key
    if encoded is None:  # Zarr keeps no shard of zeros
        file.unlink(missing_ok=True)
        sync(file.parent)
        return
    if isinstance(file, Path) and isinstance(folder, Path):
        made_below(folder, file.parent)
        write_atomically(file, encoded.as_numpy_array().data)
    else:
        file.write_bytes(encoded.to_bytes())


def _shard_shape(array: zarr.Array[Any]) -> Shape3:
    z, y, x = array.shards or array.chunks
    return (z, y, x)


def _stored_as(array: zarr.Array[Any]) -> tuple[DtypeName, Scaling]:
    attributes: dict[str, Any] = dict(array.attrs)
    name: Any = array.dtype.name
    return name, (attributes.get("scale_factor", 1.0), attributes.get("add_offset", 0.0))


def _require_whole_shards(box: Box, shape: tuple[int, ...], shard: Shape3) -> None:
    for axis, a, b, n, s in zip("zyx", box.start, box.stop, shape, shard, strict=True):
        if not 0 <= a < b <= n or a % s or (b % s and b != n):
            raise ValueError(f"box {box} is not whole shards of {shard} along {axis} in a volume of {shape}")


def _negative(offset: Shape3) -> Shape3:
    z, y, x = offset
    return (-z, -y, -x)
