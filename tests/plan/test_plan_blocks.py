"""Plans: within the memory or refused, cheapest, never dearer with more memory, the same after the ledger."""

from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import dataclass
from itertools import islice
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import InputError, MemoryBudgetError
from cryolithe_stream.geometry import Box, Floats, SampleGrid, Shape3, StripLayout, VolumeFrame, strips_for_grid
from cryolithe_stream.plan import BlockPlan, plan_blocks

MIB, GIB = 2**20, 2**30
BASELINE = 400 * MIB
FEATURES = 176


@dataclass(frozen=True)
class Series:
    """A tilt series under a volume, and what an engine with 176 features at K = 2 asks for its blocks."""

    volume_zyx: Shape3
    tilts_deg: Floats
    halo_yx_px: tuple[float, float] = (6.0, 7.0)

    @property
    def detector_yx(self) -> tuple[int, int]:
        """The detector is the volume seen from above."""
        return self.volume_zyx[1:]

    def grid(self) -> SampleGrid:
        """Voxels of the volume."""
        return VolumeFrame(self.volume_zyx, self.detector_yx).voxels()

    def bytes_of(self, shape: Shape3, strips: StripLayout) -> int:
        """Strips, features of one row and the block in float32."""
        tilts, _, columns = strips.shape
        return 4 * (prod(strips.shape) + 2 * columns * tilts * FEATURES + shape[0] * shape[2] * FEATURES + prod(shape))

    def cost_of(self, shape: Shape3, strips: StripLayout) -> float:
        """Set evaluations of every row, and voxels."""
        return 100.0 * shape[1] * len(self.tilts_deg) * strips.n_columns + 50.0 * prod(shape)

    def plan(self, *, window: Box | None = None, memory: int = 8 * GIB, workers: int = 4, **options: Any) -> BlockPlan:
        """The plan of the window (the whole volume) under a memory."""
        grid = self.grid()
        return plan_blocks(
            volume_zyx=self.volume_zyx,
            window=window or Box.whole(self.volume_zyx),
            detector_yx=self.detector_yx,
            strips_of=lambda box: strips_for_grid(grid.cut(box), self.tilts_deg, halo_yx_px=self.halo_yx_px),
            bytes_of=self.bytes_of,
            cost_of=self.cost_of,
            budget_bytes=memory,
            baseline_bytes=BASELINE,
            workers=workers,
            **options,
        )


def series(*volume_zyx: int, tilts: int = 41) -> Series:
    """A series of `tilts` views between −60° and 60°."""
    z, y, x = volume_zyx
    return Series((z, y, x), np.linspace(-60.0, 60.0, tilts))


volumes = st.tuples(st.integers(1, 150), st.integers(1, 150), st.integers(1, 150))
memories = st.integers(0, 24 * MIB).map(lambda room: BASELINE + room)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Shape3, Box]:
    volume = draw(volumes)
    start = [draw(st.integers(0, n - 1)) for n in volume]
    stop = [draw(st.integers(a + 1, n)) for a, n in zip(start, volume, strict=True)]
    return volume, Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


@given(windows(), memories, st.integers(1, 8), st.booleans())
def test_every_block_fits_the_memory_or_the_plan_is_refused(
    case: tuple[Shape3, Box], memory: int, workers: int, sharded: bool
) -> None:
    volume, window = case
    ours = series(*volume, tilts=5)
    plan = ours.plan(window=window, memory=memory, workers=workers, sharded=sharded)
    if plan.peak_bytes > memory:
        with pytest.raises(MemoryBudgetError, match="--memory"):
            plan.check()
        return
    plan.check()
    grid = ours.grid()
    for block in plan:
        strips = strips_for_grid(grid.cut(block.volume_box), ours.tilts_deg, halo_yx_px=ours.halo_yx_px)
        assert BASELINE + ours.bytes_of(block.box.shape, strips) <= block.bytes <= plan.peak_bytes <= memory


@given(windows(), st.integers(1, 8))
def test_blocks_tile_the_window_and_their_place_in_the_volume_is_shifted_by_its_start(
    case: tuple[Shape3, Box], workers: int
) -> None:
    volume, window = case
    plan = series(*volume, tilts=3).plan(window=window, workers=workers)
    assert sum(block.box.n_voxels for block in plan) == window.n_voxels
    for block in plan:
        assert block.volume_box == block.box.shifted(window.start)
        assert all(
            w <= a < b <= v
            for w, a, b, v in zip(window.start, block.volume_box.start, block.volume_box.stop, window.stop, strict=True)
        )
    assert [block.index for block in plan] == list(range(len(plan)))
    assert plan.block(len(plan) - 1).box.stop == window.shape


@given(windows(), st.integers(1, 8), memories, memories)
def test_more_memory_never_costs_more(case: tuple[Shape3, Box], workers: int, a: int, b: int) -> None:
    volume, window = case
    small, large = (series(*volume, tilts=5).plan(window=window, workers=workers, memory=m) for m in sorted((a, b)))
    if small.peak_bytes <= small.budget_bytes:
        assert large.span <= small.span
        assert large.peak_bytes <= large.budget_bytes


@given(windows(), memories, st.integers(1, 8))
def test_a_plan_is_the_same_after_the_ledger(case: tuple[Shape3, Box], memory: int, workers: int) -> None:
    volume, window = case
    plan = series(*volume, tilts=3).plan(window=window, memory=memory, workers=workers)
    assert BlockPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@given(windows(), st.integers(1, 6))
def test_every_worker_gets_four_blocks_where_there_are_as_many_chunks(case: tuple[Shape3, Box], workers: int) -> None:
    volume, window = case
    plan = series(*volume, tilts=3).plan(window=window, workers=workers)
    chunks = prod(-(-n // c) for n, c in zip(window.shape, plan.chunk_zyx, strict=True))
    assert len(plan) >= min(4 * workers, chunks)


@given(windows())
@settings(max_examples=30)
def test_bytes_read_are_the_stored_pixels_of_every_block(case: tuple[Shape3, Box]) -> None:
    volume, window = case
    ours = series(*volume, tilts=4)
    grid, plan = ours.grid(), ours.plan(window=window)
    layouts = [strips_for_grid(grid.cut(b.volume_box), ours.tilts_deg, halo_yx_px=ours.halo_yx_px) for b in plan]
    assert plan.bytes_read == 4 * sum(layout.stored_pixels(ours.detector_yx) for layout in layouts)
    assert plan.strips_tyx[1:] == (max(s.n_rows for s in layouts), max(s.n_columns for s in layouts))


@pytest.mark.parametrize("sharded", [True, False])
def test_an_unbinned_volume_is_planned_in_a_second_and_without_listing_its_blocks(sharded: bool) -> None:
    ours = series(2048, 4096, 4096)
    start = time.process_time()
    plan = ours.plan(workers=16, sharded=sharded)
    assert time.process_time() - start < 1.0
    plan.check()
    assert len(plan) >= 64
    tiny = ours.plan(memory=BASELINE + 40 * MIB, sharded=sharded)
    assert len(tiny) > 20_000
    tracemalloc.start()
    try:
        sizes = [sum(block.box.n_voxels for block in islice(tiny, n)) for n in (1_000, 4_000)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sizes[1] > sizes[0]
    assert peak < 100_000


def test_with_room_blocks_are_wide_in_z_and_x_and_thin_in_y() -> None:
    plan = series(2048, 4096, 4096).plan(workers=4, memory=8 * GIB)
    z, y, x = plan.block_zyx
    assert y == 64
    assert z >= 1024
    assert x >= 512
    assert 32 * MIB <= 4 * prod(plan.shard_zyx) <= 128 * MIB


def test_the_files_of_an_engine_whose_cost_is_voxels_alone_are_not_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Series, "cost_of", lambda _self, shape, _strips: float(prod(shape)))
    plan = series(200, 1024, 1024).plan(workers=8)
    assert 4 * prod(min(s, n) for s, n in zip(plan.shard_zyx, plan.volume_zyx, strict=True)) >= 8 * MIB


def test_a_tight_memory_cuts_the_same_volume_into_smaller_dearer_blocks() -> None:
    ours = series(200, 1024, 1024)
    roomy, tight = ours.plan(memory=2 * GIB), ours.plan(memory=BASELINE + 60 * MIB)
    tight.check()
    assert len(tight) > len(roomy)
    assert tight.work > roomy.work
    assert tight.bytes_read > roomy.bytes_read


def test_a_volume_of_four_times_the_voxels_has_no_higher_peak_under_the_same_memory() -> None:
    memory = BASELINE + 100 * MIB
    for shape in [(200, 512, 1024), (200, 2048, 1024), (200, 1024, 2048)]:
        plan = series(*shape).plan(memory=memory)
        plan.check()
        assert plan.peak_bytes <= memory


@pytest.mark.parametrize("volume", [(1, 1, 1), (1, 300, 1), (1, 1, 300), (300, 1, 1), (1, 77, 93), (33, 65, 129)])
def test_volumes_one_voxel_thin_and_of_odd_sides_are_planned(volume: Shape3) -> None:
    plan = series(*volume, tilts=3).plan(workers=2)
    plan.check()
    assert sum(block.box.n_voxels for block in plan) == prod(volume)


def test_the_refusal_names_what_is_needed_and_that_much_is_enough() -> None:
    ours = series(200, 1024, 1024)
    with pytest.raises(MemoryBudgetError, match="limit is 401 MiB") as refusal:
        ours.plan(memory=401 * MIB).check()
    assert refusal.value.exit_code == 2
    needed = int(refusal.value.fix.removeprefix("Give --memory ").removesuffix("MiB or more"))
    ours.plan(memory=needed * MIB).check()
    with pytest.raises(MemoryBudgetError):
        ours.plan(memory=(needed - 1) * MIB).check()


def test_a_resumed_plan_keeps_its_blocks_under_another_memory_which_is_checked_again() -> None:
    plan = series(200, 1024, 1024).plan(memory=2 * GIB, workers=4)
    again = plan.with_resources(budget_bytes=plan.peak_bytes, workers=7)
    again.check()
    assert list(again) == list(plan)
    with pytest.raises(MemoryBudgetError):
        plan.with_resources(budget_bytes=plan.peak_bytes - 1, workers=7).check()


def test_a_window_that_leaves_the_volume_is_refused() -> None:
    with pytest.raises(InputError, match="leaves the volume"):
        series(10, 10, 10).plan(window=Box((0, 0, 0), (10, 11, 10)))


def test_a_chunk_that_is_given_is_kept() -> None:
    plan = series(100, 100, 100, tilts=3).plan(chunk_zyx=(16, 128, 32))
    assert plan.chunk_zyx == (16, 100, 32)


def test_time_falls_with_workers_but_not_below_its_share_and_one_worker_does_all_the_voxels() -> None:
    ours = series(200, 512, 512)
    one, eight = ours.plan(workers=1), ours.plan(workers=8)
    voxels = 200 * 512 * 512
    assert one.estimate_seconds(1e5) == pytest.approx(voxels / 1e5)
    assert voxels / 8e5 < eight.estimate_seconds(1e5) < voxels / 4e5


def test_the_summary_is_json_and_counts_blocks_bytes_and_the_pyramid() -> None:
    plan = series(100, 128, 128, tilts=3).plan(window=Box((0, 0, 0), (100, 128, 64)))
    levels = [(100, 128, 64), (50, 64, 32)]
    summary = json.loads(json.dumps(plan.summary(levels_zyx=levels, bytes_per_voxel=2)))
    assert summary["volume_zyx"] == [100, 128, 128]
    assert summary["window"] == "0:100,0:128,0:64"
    assert summary["voxels"] == 100 * 128 * 64
    assert summary["blocks"] == len(plan) == prod(summary["blocks_zyx"])
    assert summary["output_bytes"] == 2 * 100 * 128 * 64
    assert summary["output_bytes_with_pyramid"] == 2 * (100 * 128 * 64 + 50 * 64 * 32)
    assert summary["peak_bytes"] == plan.peak_bytes
    assert summary["memory_bytes"] == 8 * GIB
