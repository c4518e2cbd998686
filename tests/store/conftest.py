from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryolithe_stream.geometry import Box
from cryolithe_stream.store import Tomogram, create_tomogram, write_box

SHAPE = (40, 70, 133)
VERSIONS = [("0.5", (16, 32, 32), (32, 64, 64)), ("0.4", (32, 64, 64), (32, 64, 64))]


@pytest.fixture
def volume():
    return np.random.default_rng(7).standard_normal(SHAPE).astype(np.float32)


@pytest.fixture(params=VERSIONS, ids=["v0.5", "v0.4"])
def make_tomogram(request, tmp_path: Path):
    """A function that makes an empty tomogram of the tests' shape in one of the two versions."""
    version, chunk, shard = request.param

    def make(dtype="float32", name="t.ome.zarr", **options) -> Tomogram:
        options = {"shape_zyx": SHAPE, "voxel_angstrom": 7.84, **options}
        return create_tomogram(
            tmp_path / name, dtype=dtype, chunk_zyx=chunk, shard_zyx=shard, version=version, **options
        )

    return make


@pytest.fixture
def fill():
    """A function that writes a volume into a tomogram, one shard at a time, and returns the reports by box."""

    def run(tomogram: Tomogram, values) -> dict[Box, object]:
        layout = tomogram.layout
        boxes = [layout.shard_box(0, index) for index in layout.shard_indices(0)]
        return {box: write_box(tomogram.path, box, values[box.slices]) for box in boxes}

    return run
