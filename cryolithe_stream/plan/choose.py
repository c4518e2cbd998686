"""The choice of blocks: the cheapest that fit the memory and keep every worker busy.

Whether a tiling is a candidate and what it costs never depends on the memory, so more memory never costs more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Box, Shape2, Shape3, StripLayout
from cryolithe_stream.plan.blocks import BlockPlan
from cryolithe_stream.plan.tiling import BLOCKS_PER_WORKER, Run, Tiling, default_chunk, tilings

StripsOf = Callable[[Box], StripLayout]
BytesOf = Callable[[Shape3, StripLayout], int]
CostOf = Callable[[Shape3, StripLayout], float]

FLOAT32_BYTES = 4

TASK_VOXELS = 2**18
"""Voxels whose work a block's fixed cost equals (a task, its files): without it, a fast engine's files are tiny."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be planned: the window, the engine's strips, bytes and cost, and what each worker may use."""

    volume_zyx: Shape3
    window: Box
    detector_yx: Shape2
    strips_of: StripsOf
    bytes_of: BytesOf
    cost_of: CostOf
    budget_bytes: int
    baseline_bytes: int
    workers: int

    def strips(self, tiling: Tiling, place_zyx: Shape3) -> StripLayout:
        """Strips of the block at block coordinates (z, y, x)."""
        return self.strips_of(tiling.box(place_zyx).shifted(self.window.start))


@dataclass(frozen=True, slots=True)
class Kind:
    """Blocks of one shape: how many there are, and the widest strips that any of those looked at needs."""

    shape: Shape3
    count: int
    strips: StripLayout


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tiling with its cost; bytes as seen at the ends and the middle of each run of blocks."""

    tiling: Tiling
    block_bytes: int
    work: float
    longest_work: float


def plan_blocks(
    *,
    volume_zyx: Shape3,
    window: Box,
    detector_yx: Shape2,
    strips_of: StripsOf,
    bytes_of: BytesOf,
    cost_of: CostOf,
    budget_bytes: int,
    baseline_bytes: int,
    workers: int,
    chunk_zyx: Shape3 | None = None,
    sharded: bool = True,
) -> BlockPlan:
    """The plan with the smallest span among those that fit the memory; call its `check` before anything else.

    `window` is the part of the volume that is written; `strips_of` takes a box of the full volume, and its rows may
    depend on y only and its columns on z and x only. `bytes_of` and `cost_of` take a block's shape and strips; they
    see widths, never positions. `bytes_of` excludes the baseline. `budget_bytes` is for one worker process, baseline
    included. When nothing fits, the plan is the one of least memory, and its `check` says so. Raises InputError when
    the window leaves the volume.
    """
    if not all(0 <= a < b <= n for a, b, n in zip(window.start, window.stop, volume_zyx, strict=True)):
        raise InputError(
            f"region {window} is empty or leaves the volume of {volume_zyx} voxels (z, y, x)",
            fix="Keep each range inside the volume and not empty",
        )
    problem = Problem(
        volume_zyx, window, detector_yx, strips_of, bytes_of, cost_of, budget_bytes, baseline_bytes, workers
    )
    chunk = chunk_zyx or default_chunk(window.shape, workers)
    distinct = dict.fromkeys(tilings(window.shape, chunk, sharded=sharded))
    candidates = _with_fixed_cost([_candidate(problem, tiling) for tiling in distinct], window.n_voxels)
    enough = min(BLOCKS_PER_WORKER * workers, max(len(c.tiling) for c in candidates))

    def merit(c: Candidate) -> tuple[bool, float, int, int]:
        return (len(c.tiling) < enough, c.work / workers + c.longest_work / 2, c.block_bytes, len(c.tiling))

    fitting = (c for c in candidates if baseline_bytes + c.block_bytes <= budget_bytes)
    for candidate in sorted(fitting, key=merit):
        plan = _plan(problem, candidate)
        if plan.peak_bytes <= budget_bytes:
            return plan
    return _plan(problem, min(candidates, key=lambda c: (c.block_bytes, merit(c))))


def _plan(problem: Problem, candidate: Candidate) -> BlockPlan:
    """The plan of a candidate, with the strips of every block looked at."""
    tiling, kinds = candidate.tiling, _kinds(problem, candidate.tiling, Run.indices)
    return BlockPlan(
        volume_zyx=problem.volume_zyx,
        window=problem.window,
        chunk_zyx=tiling.chunk_zyx,
        shard_zyx=tiling.shard_zyx,
        block_zyx=tiling.block_zyx,
        strips_tyx=max((kind.strips.shape for kind in kinds), key=lambda shape: shape[1] * shape[2]),
        shape_bytes=tuple(
            (kind.shape, problem.baseline_bytes + problem.bytes_of(kind.shape, kind.strips)) for kind in kinds
        ),
        budget_bytes=problem.budget_bytes,
        baseline_bytes=problem.baseline_bytes,
        workers=problem.workers,
        bytes_read=_bytes_read(problem, tiling),
        work=candidate.work,
        longest_work=candidate.longest_work,
    )


def _candidate(problem: Problem, tiling: Tiling) -> Candidate:
    kinds = _kinds(problem, tiling, Run.ends)
    works = [problem.cost_of(kind.shape, kind.strips) for kind in kinds]
    return Candidate(
        tiling,
        max(problem.bytes_of(kind.shape, kind.strips) for kind in kinds),
        sum(work * kind.count for work, kind in zip(works, kinds, strict=True)),
        max(works),
    )


def _with_fixed_cost(candidates: list[Candidate], n_voxels: int) -> list[Candidate]:
    """The candidates with the fixed cost of each block, at the price per voxel of the cheapest."""
    fixed = TASK_VOXELS * min(c.work for c in candidates) / n_voxels
    return [replace(c, work=c.work + fixed * len(c.tiling), longest_work=c.longest_work + fixed) for c in candidates]


def _kinds(problem: Problem, tiling: Tiling, places: Callable[[Run], Iterable[int]]) -> list[Kind]:
    """Each shape of block that occurs, with the widest strips over the `places` of its runs."""
    runs_z, runs_y, runs_x = (tiling.runs(axis) for axis in range(3))
    kinds = []
    rows = {y: max(problem.strips(tiling, (0, j, 0)).n_rows for j in places(y)) for y in runs_y}
    for z, x in product(runs_z, runs_x):
        layouts = (problem.strips(tiling, (i, 0, k)) for i, k in product(places(z), places(x)))
        widest = max(layouts, key=lambda layout: layout.n_columns)
        for y in runs_y:
            shape = (z.extent, y.extent, x.extent)
            kinds.append(Kind(shape, z.count * y.count * x.count, replace(widest, n_rows=rows[y])))
    return kinds


def _bytes_read(problem: Problem, tiling: Tiling) -> int:
    """Bytes of all strips that lie on the detector: rows follow y and columns (z, x), so the sum is a product."""
    nz, ny, nx = tiling.counts_zyx
    rows, width = problem.detector_yx
    no_columns = np.zeros(1, dtype=np.int64)
    along_y = (problem.strips(tiling, (0, j, 0)) for j in range(ny))
    along_zx = (problem.strips(tiling, (i, 0, k)) for i, k in product(range(nz), range(nx)))
    n_rows = sum(replace(s, first_column=no_columns, n_columns=1).stored_pixels((rows, 1)) for s in along_y)
    n_columns = sum(replace(s, first_row=0, n_rows=1).stored_pixels((1, width)) for s in along_zx)
    return FLOAT32_BYTES * n_rows * n_columns
