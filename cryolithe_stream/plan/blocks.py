"""The plan of a run: which blocks, what they cost and need; frozen, and checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import ceil, prod
from typing import Any

from cryolithe_stream.errors import MemoryBudgetError
from cryolithe_stream.geometry import Box, Shape3
from cryolithe_stream.plan.tiling import Tiling

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Block:
    """One task: a box of whole shards of the output.

    `box` counts from the output's first voxel, `volume_box` is the same box in the full volume; `bytes` is the
    projected peak of a worker process that reconstructs it, its baseline included.
    """

    index: int
    box: Box
    volume_box: Box
    bytes: int


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """Blocks that tile the output window exactly once, made on demand from their index.

    Shapes are `(z, y, x)` in voxels. `strips_tyx` is the `(tilt, row, column)` shape of the largest block's strips.
    `shape_bytes` lists each shape of block that occurs with its projected bytes, baseline included; `bytes_read` is
    what all blocks together read of the float32 projections. `work` is the cost of all blocks and `longest_work` of
    the longest, in the units of the engine's cost model, each with a block's fixed cost.
    """

    volume_zyx: Shape3
    window: Box
    chunk_zyx: Shape3
    shard_zyx: Shape3
    block_zyx: Shape3
    strips_tyx: Shape3
    shape_bytes: tuple[tuple[Shape3, int], ...]
    budget_bytes: int
    baseline_bytes: int
    workers: int
    bytes_read: int
    work: float
    longest_work: float

    @property
    def tiling(self) -> Tiling:
        """How the window is cut."""
        return Tiling(self.window.shape, self.chunk_zyx, self.shard_zyx, self.block_zyx)

    @property
    def peak_bytes(self) -> int:
        """Projected peak of a worker process over all blocks, baseline included."""
        return max(n for _, n in self.shape_bytes)

    @property
    def span(self) -> float:
        """Cost units of a run, half a longest block of waiting included: what the choice of blocks minimises.

        Half a block is what a worker waits for the last one on average, and what a killed run loses; without it
        one huge block would always be cheapest.
        """
        return self.work / self.workers + self.longest_work / 2

    def __len__(self) -> int:
        return len(self.tiling)

    def __iter__(self) -> Iterator[Block]:
        return (self.block(i) for i in range(len(self)))

    def block(self, index: int) -> Block:
        """Block `index`; x runs fastest, then z, then y. Raises IndexError when there is no such block."""
        tiling = self.tiling
        box = tiling.box(tiling.place(index))
        return Block(index, box, box.shifted(self.window.start), dict(self.shape_bytes)[box.shape])

    def with_resources(self, *, budget_bytes: int, workers: int) -> BlockPlan:
        """The same blocks under another memory or number of workers: a resumed run keeps its blocks."""
        return replace(self, budget_bytes=budget_bytes, workers=workers)

    def check(self, slots: int = 1) -> None:
        """Nothing, when every block fits the memory; otherwise raises MemoryBudgetError with the memory it takes.

        What is said is of a whole process, in which `slots` blocks share the memory.
        """
        if self.peak_bytes <= self.budget_bytes:
            return
        shape = max(self.shape_bytes, key=lambda item: item[1])[0]
        needed = _mib(slots * self.peak_bytes)
        what = f"a block of {_by(shape)} voxels needs" if slots == 1 else f"{slots} blocks of {_by(shape)} voxels need"
        limit = _mib(slots * self.budget_bytes, down=True)
        raise MemoryBudgetError(
            f"{what} {needed} in each worker process "
            f"({_mib(slots * self.baseline_bytes)} of it before any block), the limit is {limit}",
            fix=f"Give --memory {needed.replace(' ', '')} or more" + (", or fewer threads" if slots > 1 else ""),
        )

    def estimate_seconds(self, voxels_per_second: float) -> float:
        """Seconds that all blocks take, for workers that each reconstruct so many voxels per second."""
        wait = (1 - 1 / self.workers) * self.longest_work / 2
        return self.window.n_voxels / voxels_per_second * (self.work / self.workers + wait) / self.work

    def summary(self, *, levels_zyx: Sequence[Shape3] = (), bytes_per_voxel: int = 4) -> dict[str, Any]:
        """What `cryolithe-stream plan --json` prints; `levels_zyx` are the pyramid's shapes, level 0 included."""
        return {
            "volume_zyx": list(self.volume_zyx),
            "window": str(self.window),
            "voxels": self.window.n_voxels,
            "blocks": len(self),
            "blocks_zyx": list(self.tiling.counts_zyx),
            "block_zyx": list(self.block_zyx),
            "shard_zyx": list(self.shard_zyx),
            "chunk_zyx": list(self.chunk_zyx),
            "strips_per_block_tilt_row_column": list(self.strips_tyx),
            "bytes_read": self.bytes_read,
            "peak_bytes": self.peak_bytes,
            "baseline_bytes": self.baseline_bytes,
            "memory_bytes": self.budget_bytes,
            "workers": self.workers,
            "output_bytes": self.window.n_voxels * bytes_per_voxel,
            "output_bytes_with_pyramid": bytes_per_voxel * sum(map(prod, levels_zyx or (self.window.shape,))),
        }

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON values, for the ledger."""
        return asdict(self) | {"window": [list(self.window.start), list(self.window.stop)]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> BlockPlan:
        """The plan that `to_json` wrote, before or after it went through JSON text."""
        given = dict(values)
        start, stop = given.pop("window")
        bytes_of_shapes = tuple((_shape(shape), int(n)) for shape, n in given.pop("shape_bytes"))
        given |= {name: _shape(value) for name, value in given.items() if name.endswith(("_zyx", "_tyx"))}
        return cls(window=Box(_shape(start), _shape(stop)), shape_bytes=bytes_of_shapes, **given)


def _shape(values: Sequence[int]) -> Shape3:
    z, y, x = values
    return (int(z), int(y), int(x))


def _by(shape: Shape3) -> str:
    return " × ".join(map(str, shape))


def _mib(n_bytes: int, *, down: bool = False) -> str:
    """Bytes in MiB, rounded up, so that what is named is enough; rounded down for a limit."""
    return f"{n_bytes // MIB if down else ceil(n_bytes / MIB)} MiB"
