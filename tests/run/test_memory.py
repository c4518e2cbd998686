"""A run stays within what its plan projects, and its peak does not grow with the volume."""

from __future__ import annotations

import pytest
from run_support import options, write_series

from cryolithe_stream.errors import MemoryBudgetError
from cryolithe_stream.run import plan_run, reconstruct_series


def figures(folder, shape_yx, **given) -> dict[str, int]:
    series = write_series(folder, n_tilts=21, shape_yx=shape_yx)
    run = options(folder / "t.ome.zarr", **series, model="default", thickness=32, cluster="local:2", **given)
    return reconstruct_series(run).figures


def test_the_peak_is_below_the_projection_and_the_same_for_four_times_the_voxels(tmp_path):
    small = figures(tmp_path / "small", (128, 224), memory="520MiB")
    large = figures(tmp_path / "large", (256, 448), memory="520MiB")
    print(small, large)
    for run in (small, large):
        assert run["measured_peak_bytes"] <= run["projected_peak_bytes"] <= 520 * 2**20
    assert large["measured_peak_bytes"] <= 1.06 * small["measured_peak_bytes"]


def test_too_little_memory_is_refused_before_any_frame_is_read(tmp_path):
    series = write_series(tmp_path, shape_yx=(96, 256))
    with pytest.raises(MemoryBudgetError, match="--memory"):
        plan_run(options(tmp_path / "t.ome.zarr", **series, model="default", thickness=128, memory="100MiB"))
    assert not list(tmp_path.glob("*.partial"))
