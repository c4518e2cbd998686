"""Whether two volumes are transformed whole or in tiles, from the memory that is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import psutil
from scipy.fft import next_fast_len

from cryolithe_stream.errors import MemoryBudgetError
from cryolithe_stream.evaluate.volumes import Volume
from cryolithe_stream.evaluate.window import Window, piece_voxels
from cryolithe_stream.geometry import Box, Shape3

SMALLEST_TILE = 32
MOST_TILES = 1_000_000
LARGEST_DEFAULT_BYTES = 8 << 30
_DECODING_BYTES = 48 << 20  # what Zarr's threads kept of chunks: 35 to 50 MiB were measured
_OVERHEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Tiles:
    """Boxes of one shape that cover a volume, their tapers overlapping, and the bytes that comparing in one takes."""

    tile_zyx: Shape3
    boxes: tuple[Box, ...]
    projected_bytes: int


def default_memory_bytes() -> int:
    """Half of the memory that is free, at most 8 GiB."""
    return min(LARGEST_DEFAULT_BYTES, int(psutil.virtual_memory().available) // 2)


def plan_tiles(a: Volume, b: Volume, window: Window, *, memory_bytes: int | None = None) -> Tiles:
    """The whole volume as one tile when its comparison fits `memory_bytes`, else the largest tiles that fit.

    Raises MemoryBudgetError when not even tiles of 32 voxels do, or a million of them would be needed.
    """
    shape = a.shape_zyx
    memory = default_memory_bytes() if memory_bytes is None else memory_bytes
    side = max(shape)
    needed = projected_bytes(shape, a, b, window)
    tile = shape
    while needed > memory:
        if side <= SMALLEST_TILE:
            raise MemoryBudgetError(
                f"tiles of {SMALLEST_TILE} voxels take {needed / 2**20:.0f} MiB, {memory / 2**20:.0f} are allowed",
                fix=f"Give --memory {math.ceil(needed / 2**20)}MiB or more",
            )
        side = max(SMALLEST_TILE, _fast_below(side))
        z, y, x = (min(n, side) for n in shape)
        tile = (z, y, x)
        needed = projected_bytes(tile, a, b, window)
    places = [_starts(n, t, window.taper) for n, t in zip(shape, tile, strict=True)]
    if (count := math.prod(map(len, places))) > MOST_TILES:
        raise MemoryBudgetError(
            f"{' x '.join(map(str, shape))} voxels in {memory >> 20} MiB take {count} tiles, the limit is a million",
            fix="Give more --memory, or a part with --roi",
        )
    starts = product(*places)
    return Tiles(tile, tuple(Box.whole(tile).shifted((z, y, x)) for z, y, x in starts), needed)


def projected_bytes(tile_zyx: Shape3, a: Volume, b: Volume, window: Window) -> int:
    """Upper bound of the bytes held at once: one spectrum, a tile, and its spectrum or the pieces that are read."""
    nz, ny, nx = tile_zyx
    voxels, spectrum = 4 * nz * ny * nx, 8 * nz * ny * (nx // 2 + 1)
    planes = 16 * 8 * ny * (nx // 2 + 1)
    readers = [a, b] if window.mask is None else [a, b, window.mask]
    rows = max(min(v.chunk_zyx[0], nz) * min(v.chunk_zyx[1], ny) * nx for v in readers)
    piece = max(rows, piece_voxels(tile_zyx))
    decoding = _DECODING_BYTES if any(v.chunk_zyx[0] > 1 for v in readers) else 0
    return spectrum + voxels + max(spectrum + planes, 16 * piece) + decoding + _OVERHEAD_BYTES


def _fast_below(n: int) -> int:
    """The longest side below `n` that is quick to transform."""
    side = n - 1
    while next_fast_len(side, real=True) != side:
        side -= 1
    return side


def _starts(n: int, tile: int, taper: float) -> list[int]:
    """Where tiles begin along an axis: evenly spread, each taper covered by a neighbour."""
    step = max(1, tile - round(taper * tile))
    count = 1 + math.ceil((n - tile) / step)
    return [round(i * (n - tile) / max(1, count - 1)) for i in range(count)]
