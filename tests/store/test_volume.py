"""OME-Zarr images of ours and of others, read as volumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from cryolithe_stream.errors import FormatError, InputError, MissingFileError, UnsupportedError
from cryolithe_stream.geometry import Box
from cryolithe_stream.store import downsample_shard, finish_tomogram, open_ome_zarr, open_tomogram

BOX = Box((3, 5, 7), (30, 6, 100))


def image(
    path: Path,
    values: np.ndarray,
    axes="zyx",
    *,
    version="0.5",
    unit: str | None = "nanometer",
    scale: list[float] | None = None,
    more: dict | None = None,
    place="s0",
) -> Path:
    """An OME-Zarr image as another program may write it."""
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    array = group.create_array(
        "s0", shape=values.shape, dtype=values.dtype, chunks=tuple(min(n, 8) for n in values.shape)
    )
    array[:] = values
    names = [
        {"name": axis, "type": "space", **({"unit": unit} if unit else {})}
        if axis in "zyx"
        else {"name": axis, "type": "channel"}
        for axis in axes
    ]
    transforms = [{"type": "scale", "scale": scale or [1.0] * len(axes)}]
    entry = {"axes": names, "datasets": [{"path": place, "coordinateTransformations": transforms}], **(more or {})}
    multiscales = {"multiscales": [{"version": version, **entry}]}
    group.attrs.update({"ome": {"version": version, **multiscales}} if version == "0.5" else multiscales)
    return path


@pytest.mark.parametrize(("dtype", "scaling"), [("float32", None), ("float16", None), ("int16", (0.001, 0.5))])
def test_ours_with_its_levels_scaling_and_tilts(make_tomogram, fill, volume, dtype, scaling):
    tomogram = make_tomogram(dtype, scaling=scaling)
    fill(tomogram, volume)
    for index in tomogram.layout.shard_indices(1):
        downsample_shard(tomogram.path, 1, index)
    with pytest.raises(FormatError, match="unfinished"):
        open_ome_zarr(tomogram.path)
    finish_tomogram(tomogram.path, {"run": {"voxels": {"tilts_deg": [-40, 0.5, 60]}}})
    for level in (0, 1):
        opened = open_ome_zarr(tomogram.path, level=level)
        box = BOX if level == 0 else Box((0, 1, 2), (20, 30, 66))
        np.testing.assert_array_equal(opened.read_box(box), open_tomogram(tomogram.path).read_box(box, level=level))
        assert opened.shape_zyx == tomogram.layout.level_shapes[level]
        assert opened.voxel_angstrom == pytest.approx(7.84 * 2**level)
    assert opened.tilts_deg == (-40.0, 0.5, 60.0)
    assert opened.name == str(tomogram.path)
    with pytest.raises(InputError, match="no level 9"):
        open_ome_zarr(tomogram.path, level=9)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("axes", ["zyx", "xyz", "yzx", "czyx", "tcxzy"])
@pytest.mark.parametrize("dtype", ["f4", "u1", "i2", "f8", "bool"])
def test_others_of_any_axis_order_and_number(tmp_path, version, axes, dtype):
    values = (10 * np.random.default_rng(1).standard_normal((10, 12, 14))).astype(dtype)
    order = [("zyx").index(axis) for axis in axes if axis in "zyx"]
    stored = values.transpose(order).reshape([1] * (len(axes) - 3) + [values.shape[i] for i in order])
    opened = open_ome_zarr(image(tmp_path / "i.zarr", stored, axes, version=version))
    assert opened.shape_zyx == (10, 12, 14)
    assert opened.voxel_angstrom == pytest.approx(10.0)
    assert opened.tilts_deg == ()
    for box in (Box.whole((10, 12, 14)), Box((1, 2, 3), (9, 4, 13))):
        np.testing.assert_array_equal(opened.read_box(box), values[box.slices].astype(np.float32))


def test_the_voxel_size_is_the_product_of_both_scales(tmp_path):
    values = np.zeros((4, 5, 6), np.float32)
    more = {"coordinateTransformations": [{"type": "scale", "scale": [2.0, 2.0, 2.0]}]}
    path = image(tmp_path / "a.zarr", values, unit="angstrom", scale=[3.0, 3.0, 3.0], more=more)
    assert open_ome_zarr(path).voxel_angstrom == pytest.approx(6.0)
    assert open_ome_zarr(path, voxel_angstrom=7.0).voxel_angstrom == 7.0
    assert open_ome_zarr(image(tmp_path / "b.zarr", values, unit=None)).voxel_angstrom is None
    assert open_ome_zarr(image(tmp_path / "c.zarr", values, unit="pixel")).voxel_angstrom is None
    flat = image(tmp_path / "d.zarr", values, unit="angstrom", scale=[20.0, 10.0, 10.0])
    with pytest.raises(InputError, match=r"20 x 10 x 10 .* no cubes"):
        open_ome_zarr(flat)
    assert open_ome_zarr(flat, voxel_angstrom=10.0).voxel_angstrom == 10.0


def test_what_is_no_volume_is_refused(tmp_path):
    values = np.zeros((2, 4, 5, 6), np.float32)
    with pytest.raises(UnsupportedError, match=r"\(2, 4, 5, 6\) along c,z,y,x"):
        open_ome_zarr(image(tmp_path / "channels.zarr", values, "czyx"))
    with pytest.raises(FormatError, match="c, y, x, not z, y and x"):
        open_ome_zarr(image(tmp_path / "flat.zarr", values[0], "cyx"))
    with pytest.raises(FormatError, match="3 axes of float32"):
        open_ome_zarr(image(tmp_path / "short.zarr", values[0], "czyx"))
    with pytest.raises(FormatError, match="complex64"):
        open_ome_zarr(image(tmp_path / "complex.zarr", values[0].astype(np.complex64)))
    with pytest.raises(FormatError, match="is empty"):
        open_ome_zarr(image(tmp_path / "empty.zarr", values[0, :, :0]))
    with pytest.raises(FormatError, match="lacks the array"):
        open_ome_zarr(image(tmp_path / "lacks.zarr", values[0], place="s7"))
    with pytest.raises(FormatError, match="does not name its axes"):
        open_ome_zarr(image(tmp_path / "old.zarr", values[0], more={"axes": None}))
    with pytest.raises(MissingFileError, match="does not exist"):
        open_ome_zarr(tmp_path / "absent.zarr")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FormatError, match="no Zarr group"):
        open_ome_zarr(tmp_path / "folder")
    zarr.create_group(tmp_path / "bare.zarr")
    with pytest.raises(FormatError, match="no multiscales metadata"):
        open_ome_zarr(tmp_path / "bare.zarr")


@pytest.mark.parametrize("place", ["../other.zarr/s0", "/etc", "", ".."])
def test_a_level_outside_the_image_is_not_opened(tmp_path, place):
    image(tmp_path / "other.zarr", np.zeros((4, 5, 6), np.float32))
    with pytest.raises(FormatError, match="no place inside it"):
        open_ome_zarr(image(tmp_path / "i.zarr", np.zeros((4, 5, 6), np.float32), place=place))


def test_a_damaged_chunk_is_an_error_and_not_zeros(make_tomogram, fill, volume):
    tomogram = make_tomogram()
    fill(tomogram, volume)
    finish_tomogram(tomogram.path, {})
    chunk = next(
        p for p in sorted((tomogram.path / "0").rglob("*")) if p.is_file() and p.suffix != ".json" and p.name[0] != "."
    )
    chunk.write_bytes(b"\1" * (chunk.stat().st_size // 2))
    with pytest.raises(FormatError, match="cannot be read"):
        open_ome_zarr(tomogram.path).read_box(Box.whole(tomogram.shape_zyx))


@pytest.mark.parametrize(
    "more",
    [
        {"datasets": {"a": 1}},
        {"datasets": ["s0"]},
        {"datasets": [{"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": ["a", "b", "c"]}]}]},
        {"axes": [1, 2, 3]},
    ],
)
def test_metadata_that_make_no_sense_are_the_files_fault(tmp_path, more):
    with pytest.raises(InputError):
        open_ome_zarr(image(tmp_path / "i.zarr", np.zeros((4, 5, 6), np.float32), more=more))


@pytest.mark.parametrize("more", [{"coordinateTransformations": 3}, {"coordinateTransformations": ["x"]}])
def test_metadata_that_are_not_needed_may_make_no_sense(tmp_path, more):
    path = image(tmp_path / "i.zarr", np.zeros((4, 5, 6), np.float32), more=more)
    assert open_ome_zarr(path).voxel_angstrom == pytest.approx(10.0)


@pytest.mark.parametrize("tilts", ["no list", [1, "two"], [400.0], {"a": 1}, None])
def test_provenance_that_holds_no_tilts_gives_none(tmp_path, tilts):
    path = image(tmp_path / "i.zarr", np.zeros((4, 5, 6), np.float32))
    metadata = json.loads((path / "zarr.json").read_text())
    metadata["attributes"]["cryolithe_stream"] = {"run": {"voxels": {"tilts_deg": tilts}}}
    (path / "zarr.json").write_text(json.dumps(metadata))
    assert open_ome_zarr(path).tilts_deg == ()


@pytest.mark.parametrize(
    ("file", "keys", "value"),
    [
        ("s0/zarr.json", ("shape",), [10**9] * 3),
        ("s0/zarr.json", ("chunk_grid", "configuration", "chunk_shape"), [0, 0, 0]),
        ("s0/zarr.json", ("attributes",), [1]),
        ("s0/zarr.json", ("attributes",), {"scale_factor": 10**400}),
        ("s0/zarr.json", ("attributes",), {"add_offset": float("nan")}),
        ("zarr.json", ("attributes", "ome", "multiscales", 0, "datasets", 0, "path"), "\0s0"),
        (
            "zarr.json",
            ("attributes", "ome", "multiscales", 0, "coordinateTransformations"),
            [{"type": "scale", "scale": [10**400] * 3}],
        ),
    ],
)
def test_altered_metadata_are_the_files_fault(tmp_path, file, keys, value):
    path = image(tmp_path / "i.zarr", np.zeros((4, 5, 6), np.float32))
    metadata = json.loads((path / file).read_text())
    place = metadata
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (path / file).write_text(json.dumps(metadata))
    with pytest.raises(FormatError):
        open_ome_zarr(path)


def test_metadata_nested_without_end_are_the_files_fault(tmp_path):
    path = image(tmp_path / "i.zarr", np.zeros((4, 5, 6), np.float32))
    (path / "zarr.json").write_text('{"a":' * 100_000)
    with pytest.raises(FormatError, match="no Zarr group"):
        open_ome_zarr(path)
