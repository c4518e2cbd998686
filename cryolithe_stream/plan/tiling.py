"""Ways to cut a window into blocks of whole shards of whole chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, prod

from cryolithe_stream.geometry import Box, Shape3

CHUNK_SIDES = (64, 32)
"""Sides of the default chunk in voxels: the first that gives every worker several blocks, else the last."""

BLOCKS_PER_WORKER = 4
"""Blocks that each worker should get, where the window has as many chunks."""

MAX_SHARD_VOXELS = 2**25
"""Largest shard that is planned: 128 MiB in float32, unless one chunk is larger."""


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks along one axis that have the same extent: `first <= index < first + count`, `extent` voxels each."""

    extent: int
    first: int
    count: int

    def ends(self) -> tuple[int, ...]:
        """First, middle and last index of the run."""
        return tuple(sorted({self.first, self.first + self.count // 2, self.first + self.count - 1}))

    def indices(self) -> range:
        """Every index of the run."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Tiling:
    """A window cut into blocks; all shapes `(z, y, x)` in voxels.

    Shards are whole chunks, blocks whole shards; the last block along an axis is clipped to the window. Block 0 has
    the smallest z, y, x; x runs fastest and y slowest, so that neighbouring blocks read the same detector rows.
    """

    window_zyx: Shape3
    chunk_zyx: Shape3
    shard_zyx: Shape3
    block_zyx: Shape3

    @property
    def counts_zyx(self) -> Shape3:
        """Blocks along (z, y, x)."""
        z, y, x = (ceil(n / b) for n, b in zip(self.window_zyx, self.block_zyx, strict=True))
        return (z, y, x)

    def __len__(self) -> int:
        return prod(self.counts_zyx)

    def place(self, index: int) -> Shape3:
        """Block coordinates (z, y, x) of block `index`. Raises IndexError when there is no such block."""
        if not 0 <= index < len(self):
            raise IndexError(f"block {index} of {len(self)}")
        nz, _, nx = self.counts_zyx
        y, zx = divmod(index, nz * nx)
        z, x = divmod(zx, nx)
        return (z, y, x)

    def box(self, place_zyx: Shape3) -> Box:
        """Voxels of the block at block coordinates (z, y, x), in the window's coordinates."""
        z, y, x = (p * b for p, b in zip(place_zyx, self.block_zyx, strict=True))
        c, b, a = (min(s + n, m) for s, n, m in zip((z, y, x), self.block_zyx, self.window_zyx, strict=True))
        return Box((z, y, x), (c, b, a))

    def runs(self, axis: int) -> tuple[Run, ...]:
        """Runs of equal blocks along an axis (0 is z): the full ones, and the clipped last one."""
        n, b = self.window_zyx[axis], self.block_zyx[axis]
        full, rest = divmod(n, b)
        whole = (Run(b, 0, full),) if full else ()
        return (*whole, Run(rest, full, 1)) if rest else whole


def default_chunk(window_zyx: Shape3, workers: int) -> Shape3:
    """Chunk for a window: 64 voxels a side, 32 in a window too small to keep all workers busy, never beyond it."""
    for side in CHUNK_SIDES:
        chunk = _within((side, side, side), window_zyx)
        if prod(_chunk_counts(window_zyx, chunk)) >= BLOCKS_PER_WORKER * workers:
            break
    return chunk


def tilings(window_zyx: Shape3, chunk_zyx: Shape3, *, sharded: bool) -> Iterator[Tiling]:
    """Every tiling worth comparing, in no order of merit; they depend on the window and the chunk alone.

    Blocks are one chunk thin in y and split z and x evenly, from one chunk to all; those that span z and x may grow
    to 2 and 4 chunks in y. Shards are a block's even split along x (then z) into at most `MAX_SHARD_VOXELS`, one
    chunk in y; without `sharded` a shard is a chunk.
    """
    chunk = _within(chunk_zyx, window_zyx)
    nz, ny, nx = _chunk_counts(window_zyx, chunk)
    shapes = [(z, 1, x) for z in _even_splits(nz) for x in _even_splits(nx)]
    shapes += [(nz, y, nx) for y in (2, 4) if y < ny]
    for z, y, x in shapes:
        most = max(1, MAX_SHARD_VOXELS // prod(chunk)) if sharded else 1
        part_z = _part(z, most)
        part_x = _part(x, most // part_z)
        shard = _times((part_z, 1, part_x), chunk)
        block = _times((ceil(z / part_z) * part_z, y, ceil(x / part_x) * part_x), chunk)
        yield Tiling(window_zyx, chunk, shard, block)


def _even_splits(count: int) -> list[int]:
    """Sizes of the largest part when `count` chunks are split evenly into 1, 2, 3, … parts."""
    return sorted({ceil(count / parts) for parts in range(1, count + 1)})


def _part(count: int, most: int) -> int:
    """Size of the largest part when `count` is split evenly into as few parts of at most `most` as will do."""
    return ceil(count / ceil(count / max(1, most)))


def _within(shape: Shape3, limit: Shape3) -> Shape3:
    z, y, x = (min(a, b) for a, b in zip(shape, limit, strict=True))
    return (z, y, x)


def _times(a: Shape3, b: Shape3) -> Shape3:
    return (a[0] * b[0], a[1] * b[1], a[2] * b[2])


def _chunk_counts(window_zyx: Shape3, chunk_zyx: Shape3) -> Shape3:
    return Tiling(window_zyx, chunk_zyx, chunk_zyx, chunk_zyx).counts_zyx
