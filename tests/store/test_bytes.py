"""What is allocated against what the planner is told: never above it, and not far below."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from cryolithe_stream.geometry import Box, StripLayout
from cryolithe_stream.store import (
    ProjectionStore,
    create_tomogram,
    downsample_shard,
    downsample_shard_bytes,
    strips_bytes,
    write_box,
    write_box_bytes,
)

LOOSE = 1.7  # what is in transit between Zarr's threads varies from run to run


def peak_bytes(action):
    action()  # imports and caches
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int16"])
def test_tomogram_bytes(tmp_path, dtype):
    chunk, shard = (64, 64, 64), (64, 64, 128)
    scaling = (1e-4, 0.0) if dtype == "int16" else None
    tomogram = create_tomogram(
        tmp_path / "t", shape_zyx=(128, 128, 256), voxel_angstrom=1.0, dtype=dtype, chunk_zyx=chunk, shard_zyx=shard,
        scaling=scaling,
    )  # fmt: skip
    box = Box.whole((128, 128, 256))
    block = np.random.default_rng(0).standard_normal(box.shape).astype(np.float32)
    projected, measured = write_box_bytes(box, dtype, shard), peak_bytes(lambda: write_box(tomogram.path, box, block))
    assert measured <= projected <= LOOSE * measured
    projected = downsample_shard_bytes(tomogram.layout)
    measured = peak_bytes(lambda: downsample_shard(tomogram.path, 1, (0, 0, 0)))
    assert measured <= projected <= LOOSE * measured


@pytest.mark.parametrize(("rows", "columns"), [(64, 256), (9, 700), (200, 700)])
def test_strip_bytes(tmp_path, rows, columns):
    store = ProjectionStore.create(
        tmp_path / "p", shape_tyx=(9, 512, 700), tilts_deg=np.zeros(9), pixel_angstrom=1.0, attributes={}
    )
    noise = np.random.default_rng(0).standard_normal((512, 700)).astype(np.float32)
    for index in range(9):
        store.write_frame(index, noise)
    store = store.finish({})
    layout = StripLayout(111, rows, np.full(9, 0), columns)
    measured = peak_bytes(lambda: store.read_strips(layout))
    assert measured <= strips_bytes(layout, width=700) <= 1.25 * measured + (1 << 18)
