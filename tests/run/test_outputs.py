"""What a run writes: validators, formats, halves, regions, types; and points between voxels."""

from __future__ import annotations

import warnings

import mrcfile
import numpy as np
import pytest
import zarr
from run_support import options, write_model, write_series, write_stack

import cryolithe_stream
from cryolithe_stream.errors import InputError, OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import plan_run, reconstruct_series
from cryolithe_stream.store import open_tomogram

WHOLE = Box.whole((14, 40, 56))


def run(out, series, model, **given):
    result = reconstruct_series(
        options(out, **series, model=str(model), **{"thickness": 14, "precision": "float32", **given})
    )
    assert result.status == "done"
    assert not out.with_name(out.name + ".partial").exists()
    return result


def voxels(out) -> np.ndarray:
    tomogram = open_tomogram(out)
    return tomogram.read_box(Box.whole(tomogram.shape_zyx))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_validators_accept_the_output(version, series, model, tmp_path):
    import yaozarrs
    from ome_zarr_models import open_ome_zarr

    out = tmp_path / "t.ome.zarr"
    run(out, series, model, ome_zarr=version, thickness=70)
    yaozarrs.validate_zarr_store(str(out))
    assert open_ome_zarr(zarr.open_group(out, mode="r")).attributes
    group = zarr.open_group(out, mode="r")
    entry = (group.attrs["ome"] if version == "0.5" else group.attrs)["multiscales"][0]
    assert [(a["name"], a["unit"]) for a in entry["axes"]] == [(n, "angstrom") for n in "zyx"]
    assert entry["datasets"][0]["coordinateTransformations"][0]["scale"] == [10.0] * 3
    assert entry["datasets"][1]["coordinateTransformations"][1]["translation"] == [5.0] * 3


def test_roi_is_that_part_of_the_full_volume(series, model, tmp_path):
    run(tmp_path / "full.ome.zarr", series, model)
    run(tmp_path / "roi.ome.zarr", series, model, roi="3:11,7:30,20:56")
    wanted = voxels(tmp_path / "full.ome.zarr")[3:11, 7:30, 20:56]
    np.testing.assert_allclose(voxels(tmp_path / "roi.ome.zarr"), wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("suffix", [".ome.zarr", ".mrc"])
def test_halves_are_runs_of_odd_and_even_views(suffix, series, model, tmp_path):
    result = run(tmp_path / f"t{suffix}", series, model, halves=True)
    assert [p.name for p in result.outputs] == [f"t{suffix}", f"t_odd{suffix}", f"t_even{suffix}"]

    def read(path):
        return mrcfile.read(path) if suffix == ".mrc" else voxels(path)

    whole, odd, even = (read(p) for p in result.outputs)
    run(tmp_path / f"one{suffix}", series, model)
    np.testing.assert_allclose(whole, read(tmp_path / f"one{suffix}"), atol=1e-4)
    assert 0.05 < np.corrcoef(odd.ravel(), even.ravel())[0, 1] < 0.999
    assert not np.array_equal(odd, whole)


def test_frame_based_halves(series, model, tmp_path):
    odd = write_series(tmp_path / "odd", seed=1)["stack"]
    even = write_series(tmp_path / "even", seed=2)["stack"]
    result = run(tmp_path / "t.ome.zarr", series, model, odd=odd, even=even)
    run(tmp_path / "o.ome.zarr", {**series, "stack": odd}, model)
    np.testing.assert_array_equal(voxels(result.outputs[1]), voxels(tmp_path / "o.ome.zarr"))


@pytest.mark.parametrize("wavelet", ["bior3.1", "db3"])
def test_a_wavelet_model_gives_the_same_volume_however_it_is_cut(wavelet, series, tmp_path):
    model = write_model(tmp_path / "w.safetensors", wavelet=wavelet)
    run(tmp_path / "full.ome.zarr", series, model, thickness=13)
    run(tmp_path / "roi.ome.zarr", series, model, thickness=13, roi="3:11,7:30,21:56")
    wanted = voxels(tmp_path / "full.ome.zarr")[3:11, 7:30, 21:56]
    np.testing.assert_allclose(voxels(tmp_path / "roi.ome.zarr"), wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("int16", 3e-4)])
def test_smaller_types_record_their_scaling(dtype, tolerance, series, model, tmp_path):
    run(tmp_path / "f.ome.zarr", series, model)
    run(tmp_path / "s.ome.zarr", series, model, dtype=dtype)
    wanted = voxels(tmp_path / "f.ome.zarr")
    assert zarr.open_array(tmp_path / "s.ome.zarr" / "0", mode="r").dtype == dtype
    assert np.abs(voxels(tmp_path / "s.ome.zarr") - wanted).max() <= tolerance * np.abs(wanted).max()
    assert open_tomogram(tmp_path / "s.ome.zarr").attributes["statistics"]["clipped"] == 0


def test_mrc_holds_the_same_voxels_and_the_voxel_size(series, model, tmp_path):
    run(tmp_path / "t.ome.zarr", series, model, bin=2)
    run(tmp_path / "t.mrc", series, model, bin=2)
    with mrcfile.open(tmp_path / "t.mrc") as file:
        assert file.voxel_size.x == pytest.approx(20.0)
        assert file.is_volume()
        np.testing.assert_array_equal(file.data, voxels(tmp_path / "t.ome.zarr"))
    again = reconstruct_series(
        options(tmp_path / "t.mrc", **series, model=str(model), thickness=14, precision="float32", bin=2)
    )
    assert again.status == "already complete"
    with pytest.raises(OutputError):
        reconstruct_series(
            options(tmp_path / "t.mrc", **series, model=str(model), thickness=12, precision="float32", bin=2)
        )


def test_invert_turns_the_data_once(series, model, tmp_path):
    run(tmp_path / "a.ome.zarr", series, model, method="fbp")
    run(tmp_path / "b.ome.zarr", series, model, method="fbp", invert=True)
    np.testing.assert_allclose(voxels(tmp_path / "b.ome.zarr"), -voxels(tmp_path / "a.ome.zarr"), atol=1e-5)


def test_three_lines_of_python(series, model, tmp_path):
    result = cryolithe_stream.reconstruct(
        series["stack"], series["angles"], out=tmp_path / "t.ome.zarr", model=model, thickness=14, precision="float32"
    )
    assert open_tomogram(result.outputs[0]).shape_zyx == (14, 40, 56)


def test_points_between_voxels(series, model, tmp_path):
    run(tmp_path / "t.ome.zarr", series, model, engine="exact", roi="4:8,10:14,20:26")
    grid = np.stack(np.meshgrid(range(4, 8), range(10, 14), range(20, 26), indexing="ij"), axis=-1).reshape(-1, 3)
    tilt_series = cryolithe_stream.read_tilt_series(series["stack"], angles=series["angles"])
    network = cryolithe_stream.load_model(model)
    on_grid = cryolithe_stream.reconstruct_points(tilt_series, grid, network, thickness=14)
    np.testing.assert_allclose(on_grid, voxels(tmp_path / "t.ome.zarr").ravel(), rtol=2e-4, atol=2e-4)
    close = cryolithe_stream.reconstruct_points(tilt_series, grid + np.array([0, 0, 1e-3]), network, thickness=14)
    assert 0 < np.abs(close - on_grid).max() < 0.1
    with pytest.raises(InputError, match="shape"):
        cryolithe_stream.reconstruct_points(tilt_series, [[1, 2]], network)


def test_a_plan_reads_no_frame(series, model, tmp_path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Data array contains NaN values")
        write_stack(series["stack"], np.full((13, 40, 56), np.nan, np.float32))
    summary = plan_run(options(tmp_path / "t.ome.zarr", **series, model=str(model), thickness=14)).summary()
    assert summary["blocks"] >= 1
    assert summary["estimated_seconds"] > 0
    with pytest.raises(InputError, match="view 1"):
        reconstruct_series(options(tmp_path / "t.ome.zarr", **series, model=str(model), thickness=14))
    assert not (tmp_path / "t.ome.zarr").exists()


def test_pixel_sizes_outside_the_models_range_are_told(series, tmp_path):
    from dataclasses import replace

    from cryolithe_stream.network import load_model, save_model

    small = load_model(write_model(tmp_path / "m.safetensors"))
    path = tmp_path / "ranged.safetensors"
    save_model(replace(small, pixel_range_angstrom=(15.0, 25.0)), path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plan_run(options(tmp_path / "t.ome.zarr", **series, model=str(path), thickness=14))
    assert any("--bin 2 gives 20 Å" in str(w.message) for w in caught)
    plan = plan_run(options(tmp_path / "t.ome.zarr", **series, model=str(path)))  # nothing that counts voxels
    assert plan.survey.bin == 2
    assert plan.summary()["voxel_angstrom"] == 20.0
    assert plan_run(options(tmp_path / "t.ome.zarr", **series, method="fbp")).survey.bin == 1
