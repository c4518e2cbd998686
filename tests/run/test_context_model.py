"""Whole runs with a model whose voxels depend on their neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from run_support import options, write_model

import cryolithe_stream
from cryolithe_stream.errors import UnsupportedError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.store import open_tomogram


def run(out, series, model, **given) -> np.ndarray:
    given = {"thickness": 18, "precision": "float32", **given}
    reconstruct_series(options(out, **series, model=str(model), **given))
    tomogram = open_tomogram(out)
    return tomogram.read_box(Box.whole(tomogram.shape_zyx))


@pytest.fixture(params=[None, "bior3.1"])
def model(request, tmp_path):
    return write_model(tmp_path / "context.safetensors", wavelet=request.param, context=True)


def test_a_run_does_not_depend_on_blocks(series, model, tmp_path):
    whole = run(tmp_path / "whole.ome.zarr", series, model)
    parts = run(tmp_path / "parts.ome.zarr", series, model, cluster="threads:4", memory="5GB")
    np.testing.assert_allclose(parts, whole, atol=3e-5 * np.abs(whole).max())
    part = run(tmp_path / "part.ome.zarr", series, model, roi="3:12,5:21,17:50")
    np.testing.assert_allclose(part, whole[3:12, 5:21, 17:50], atol=3e-5 * np.abs(whole).max())


def test_points_are_voxels_and_linear_between_them(series, tmp_path):
    model = write_model(tmp_path / "m.safetensors", context=True)
    volume = run(tmp_path / "t.ome.zarr", series, model)
    tilt_series = cryolithe_stream.read_tilt_series(series["stack"], angles=series["angles"])
    network = cryolithe_stream.load_model(model)
    points = np.array([[3, 4, 5], [17, 39, 55], [0, 0, 0], [9, 20, 50], [9, 20, 51]])
    found = cryolithe_stream.reconstruct_points(tilt_series, points, network, thickness=18)
    np.testing.assert_allclose(found, volume[tuple(points.T)], rtol=2e-4, atol=2e-4)
    between = cryolithe_stream.reconstruct_points(tilt_series, [[9, 20, 50.25]], network, thickness=18)
    np.testing.assert_allclose(between, 0.75 * found[3] + 0.25 * found[4], rtol=1e-3, atol=1e-3)
    beyond = cryolithe_stream.reconstruct_points(tilt_series, [[-6.5, -3, 60]], network, thickness=18)
    assert np.isfinite(beyond).all()


def test_coefficients_at_points_are_refused(series, tmp_path):
    network = cryolithe_stream.load_model(write_model(tmp_path / "m.safetensors", wavelet="bior3.1", context=True))
    tilt_series = cryolithe_stream.read_tilt_series(series["stack"], angles=series["angles"])
    with pytest.raises(UnsupportedError, match="whole volumes"):
        cryolithe_stream.reconstruct_points(tilt_series, [[1, 2, 3]], network)
