"""Tilings: every voxel of the window in exactly one block, blocks made of whole shards of whole chunks."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.geometry import Shape3
from cryolithe_stream.plan import Tiling, default_chunk, tilings

shapes = st.tuples(st.integers(1, 13), st.integers(1, 13), st.integers(1, 13))
chunks = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6))


@given(shapes, chunks, st.booleans())
def test_blocks_cover_every_voxel_exactly_once(window: Shape3, chunk: Shape3, sharded: bool) -> None:
    for tiling in tilings(window, chunk, sharded=sharded):
        seen = np.zeros(window, dtype=np.uint8)
        for index in range(len(tiling)):
            seen[tiling.box(tiling.place(index)).slices] += 1
        assert (seen == 1).all()


@given(shapes, chunks, st.booleans())
def test_shards_are_whole_chunks_and_blocks_whole_shards(window: Shape3, chunk: Shape3, sharded: bool) -> None:
    for tiling in tilings(window, chunk, sharded=sharded):
        assert all(s % c == 0 for s, c in zip(tiling.shard_zyx, tiling.chunk_zyx, strict=True))
        assert all(b % s == 0 for b, s in zip(tiling.block_zyx, tiling.shard_zyx, strict=True))
        assert all(c <= n for c, n in zip(tiling.chunk_zyx, window, strict=True))
        assert tiling.shard_zyx[1] == tiling.chunk_zyx[1]
        assert sharded or tiling.shard_zyx == tiling.chunk_zyx


@given(shapes, chunks)
def test_a_block_starts_on_a_shard_and_ends_on_one_or_with_the_window(window: Shape3, chunk: Shape3) -> None:
    for tiling in tilings(window, chunk, sharded=True):
        for index in range(len(tiling)):
            box = tiling.box(tiling.place(index))
            for a, b, shard, n in zip(box.start, box.stop, tiling.shard_zyx, window, strict=True):
                assert a % shard == 0
                assert b % shard == 0 or b == n


@given(shapes, chunks)
def test_runs_name_the_extent_of_every_block(window: Shape3, chunk: Shape3) -> None:
    tiling = Tiling(window, chunk, chunk, chunk)
    for axis in range(3):
        extents = {i: run.extent for run in tiling.runs(axis) for i in run.indices()}
        assert list(extents) == list(range(tiling.counts_zyx[axis]))
        assert sum(extents.values()) == window[axis]
        for index in range(len(tiling)):
            place = tiling.place(index)
            assert tiling.box(place).shape[axis] == extents[place[axis]]


def test_neighbouring_blocks_share_rows_x_runs_fastest_and_y_slowest() -> None:
    tiling = Tiling((4, 4, 4), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert [tiling.place(i) for i in range(5)] == [(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (0, 1, 0)]


@pytest.mark.parametrize("index", [-1, 8])
def test_there_is_no_block_beyond_the_last(index: int) -> None:
    with pytest.raises(IndexError, match="of 8"):
        Tiling((4, 4, 4), (2, 2, 2), (2, 2, 2), (2, 2, 2)).place(index)


@pytest.mark.parametrize(
    ("window", "workers", "chunk"),
    [
        ((200, 1024, 1024), 8, (64, 64, 64)),
        ((50, 1024, 1024), 8, (50, 64, 64)),
        ((64, 64, 64), 2, (32, 32, 32)),
        ((1, 500, 500), 4, (1, 64, 64)),
        ((10, 3, 1), 1, (10, 3, 1)),
    ],
)
def test_the_chunk_is_64_a_side_less_in_small_windows_and_never_beyond_them(
    window: Shape3, workers: int, chunk: Shape3
) -> None:
    assert default_chunk(window, workers) == chunk


def test_large_windows_have_shards_of_at_most_128_mib_and_a_single_chunk_may_exceed_it() -> None:
    for tiling in tilings((2048, 4096, 4096), (64, 64, 64), sharded=True):
        assert 4 * prod(tiling.shard_zyx) <= 128 * 2**20
    (tiling,) = tilings((600, 600, 600), (600, 600, 600), sharded=True)
    assert tiling.shard_zyx == (600, 600, 600)


def test_the_candidates_range_from_one_chunk_to_the_whole_of_z_and_x() -> None:
    blocks = {tiling.block_zyx for tiling in tilings((200, 1000, 1024), (64, 64, 64), sharded=False)}
    assert (64, 64, 64) in blocks
    assert (256, 64, 1024) in blocks
    assert all(ceil(b / 64) <= n for block in blocks for b, n in zip(block, (4, 16, 16), strict=True))
