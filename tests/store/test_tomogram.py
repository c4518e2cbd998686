from __future__ import annotations

import json

import numpy as np
import ome_zarr_models
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
import yaozarrs
import zarr
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import FormatError, MissingFileError, OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.store import create_tomogram, finish_tomogram, level_shapes, open_tomogram


def multiscales(path):
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    (entry,) = attributes.get("ome", attributes)["multiscales"]
    return entry


@given(st.tuples(*[st.integers(1, 5000)] * 3))
def test_levels_halve_upwards_until_64(shape):
    shapes = level_shapes(shape)
    assert shapes[0] == shape
    assert max(shapes[-1]) <= 64
    for above, below in zip(shapes[1:], shapes, strict=False):
        assert max(below) > 64
        assert all(2 * a - b in (0, 1) for a, b in zip(above, below, strict=True))


def test_level_shapes_by_hand():
    assert level_shapes((200, 1000, 65)) == [
        (200, 1000, 65), (100, 500, 33), (50, 250, 17), (25, 125, 9), (13, 63, 5)
    ]  # fmt: skip
    assert level_shapes((64, 64, 64)) == [(64, 64, 64)]


def test_finished_tomogram_pleases_both_validators(make_tomogram):
    tomogram = make_tomogram()
    finish_tomogram(tomogram.path, {"model": "default"})
    yaozarrs.validate_zarr_store(tomogram.path)
    version = tomogram.layout.version
    group = zarr.open_group(tomogram.path, mode="r")
    image = ome_zarr_models.open_ome_zarr(group, version=version)
    expected = ome_zarr_models.v05.Image if version == "0.5" else ome_zarr_models.v04.Image
    assert isinstance(image, expected)


def test_axes_scales_and_translations(make_tomogram):
    tomogram = make_tomogram(voxel_angstrom=10.0, origin_zyx_px=(4, 0, 30))
    finish_tomogram(tomogram.path, {})
    entry = multiscales(tomogram.path)
    assert entry["axes"] == [{"name": n, "type": "space", "unit": "angstrom"} for n in "zyx"]
    assert [d["path"] for d in entry["datasets"]] == ["0", "1", "2"]
    assert [d["coordinateTransformations"] for d in entry["datasets"]] == [
        [{"type": "scale", "scale": [s] * 3}, {"type": "translation", "translation": [40 + t, t, 300 + t]}]
        for s, t in [(10.0, 0.0), (20.0, 5.0), (40.0, 15.0)]
    ]


def test_finished_and_provenance(make_tomogram):
    tomogram = make_tomogram("int16", scaling=(0.25, 1.0))
    opened = open_tomogram(tomogram.path)
    assert not opened.finished
    assert opened.attributes == {}
    assert opened.layout == tomogram.layout
    finish_tomogram(tomogram.path, {"model": {"name": "default"}, "fingerprint": "f"})
    opened = open_tomogram(tomogram.path)
    assert opened.finished
    assert opened.attributes == {"model": {"name": "default"}, "fingerprint": "f"}
    assert opened.layout == tomogram.layout
    attributes = zarr.open_group(tomogram.path, mode="r").attrs["cryolithe_stream"]
    assert attributes["fingerprint"] == "f"
    level = opened.level(0)
    assert (level.attrs["scale_factor"], level.attrs["add_offset"]) == (0.25, 1.0)


def test_version_05_is_zarr_3_with_shards_and_04_is_zarr_2(make_tomogram):
    tomogram = make_tomogram()
    level = tomogram.level(1)
    if tomogram.layout.version == "0.5":
        assert level.metadata.zarr_format == 3
        assert level.shards == (32, 64, 64)
        assert level.chunks == (16, 32, 32)
        assert level.metadata.dimension_names == ("z", "y", "x")
    else:
        entry = json.loads((tomogram.path / "1" / ".zarray").read_text())
        assert entry["zarr_format"] == 2
        assert entry["dimension_separator"] == "/"
        assert entry["chunks"] == [32, 64, 64]
        assert entry["dtype"] == "<f4"


def test_killed_writers_leave_nothing_behind(make_tomogram):
    tomogram = make_tomogram()
    leftover = tomogram.path / "0" / "c" / "0" / "0" / "0.1f2e.partial"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"torn")
    finish_tomogram(tomogram.path, {})
    assert not list(tomogram.path.rglob("*.partial"))


def test_creation_interrupted_leaves_no_tomogram(make_tomogram, monkeypatch):
    calls = []

    def third_level_fails(self, *args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(self, *args, **options)

    original = zarr.Group.create_array
    monkeypatch.setattr(zarr.Group, "create_array", third_level_fails)
    with pytest.raises(KeyboardInterrupt):
        make_tomogram()
    monkeypatch.undo()
    tomogram = make_tomogram()
    assert [p.name for p in tomogram.path.parent.iterdir()] == ["t.ome.zarr"]


def test_existing_is_never_overwritten(make_tomogram, tmp_path):
    make_tomogram()
    with pytest.raises(OutputError, match="exists already"):
        make_tomogram()


def test_opening_nothing_and_opening_others(tmp_path):
    with pytest.raises(MissingFileError):
        open_tomogram(tmp_path / "nothing")
    zarr.create_group(tmp_path / "foreign", attributes={"ome": {"multiscales": []}})
    (tmp_path / "file.zarr").write_text("x")
    for name in ("foreign", "file.zarr"):
        with pytest.raises(FormatError, match="not a tomogram of cryolithe-stream"):
            open_tomogram(tmp_path / name)
        with pytest.raises(FormatError):
            finish_tomogram(tmp_path / name, {})


def test_levels_that_are_not_there(make_tomogram):
    with pytest.raises(FormatError, match="no level 9"):
        make_tomogram().level(9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float64"}, "data type"),
        ({"scaling": (2.0, 0.0)}, "int16 only"),
        ({"dtype": "int16", "scaling": (0.0, 0.0)}, "scale above 0"),
        ({"version": "0.3"}, "not 0.4 or 0.5"),
        ({"version": "0.4"}, "no shards"),
        ({"shard_zyx": (24, 32, 32)}, "not a multiple"),
        ({"voxel_angstrom": 0.0}, "positive"),
        ({"shape_zyx": (0, 32, 32)}, "positive"),
    ],
)
def test_impossible_layouts_are_refused(tmp_path, change, message):
    options = {
        "shape_zyx": (64, 64, 64), "voxel_angstrom": 1.0, "dtype": "float32", "chunk_zyx": (16, 16, 16),
        "shard_zyx": (32, 32, 32), **change,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        create_tomogram(tmp_path / "t", **options)
    assert not (tmp_path / "t").exists()


def test_boxes_are_read_as_values(make_tomogram, fill, volume):
    tomogram = make_tomogram("int16", scaling=(0.001, 0.5))
    fill(tomogram, volume)
    box = Box((3, 5, 60), (40, 70, 70))
    values = tomogram.read_box(box)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, volume[box.slices], atol=0.0005 + 1e-6)
