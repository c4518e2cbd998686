"""Volumes in files: MRC of every order, and the two formats under one roof."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from evaluate_support import noise, write_mrc, write_tomogram
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import FormatError, InputError, MissingFileError, UnsupportedError
from cryolithe_stream.evaluate import ArrayVolume, agreement, half_volumes, open_volume
from cryolithe_stream.evaluate.volumes import common_voxel
from cryolithe_stream.geometry import Box
from cryolithe_stream.run.workspace import Workspace
from cryolithe_stream.store import write_mrc as export_mrc

SHAPE = (12, 14, 18)
BOX = Box((2, 3, 4), (9, 14, 5))


@pytest.mark.parametrize("write", [write_mrc, write_tomogram])
def test_boxes_of_a_file_are_those_of_the_array(tmp_path, write):
    values = noise(SHAPE, 1)
    volume = open_volume(write(tmp_path / ("v.mrc" if write is write_mrc else "v.ome.zarr"), values, 7.84))
    assert volume.shape_zyx == SHAPE
    assert volume.voxel_angstrom == pytest.approx(7.84)
    for box in (BOX, Box.whole(SHAPE)):
        got = volume.read_box(box)
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, values[box.slices])


@pytest.mark.parametrize("mapped", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (2, 3, 1)])
@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f2", "f4", ">f4", ">i2"])
def test_mrc_of_any_axis_order_number_and_byte_order(tmp_path, mapped, dtype):
    values = np.random.default_rng(0).integers(-100, 100, SHAPE).astype(np.dtype(dtype).newbyteorder("="))
    places = [3 - m for m in mapped[::-1]]  # which of (z, y, x) the file's sections, rows, columns run along
    with mrcfile.new(tmp_path / "v.mrc") as file:
        file.set_data(np.ascontiguousarray(values.transpose(places)))
        file.set_volume()
        file.voxel_size = 5.0
        file.header.mapc, file.header.mapr, file.header.maps = mapped
    if dtype.startswith(">"):
        raw = (tmp_path / "v.mrc").read_bytes()
        with mrcfile.open(tmp_path / "v.mrc") as file:
            header = file.header.copy().astype(file.header.dtype.newbyteorder(">"))
            data = file.data.astype(dtype)
        header["machst"] = [0x11, 0x11, 0, 0]
        assert len(raw) == len(header.tobytes()) + data.nbytes
        (tmp_path / "v.mrc").write_bytes(header.tobytes() + data.tobytes())
    volume = open_volume(tmp_path / "v.mrc")
    assert volume.shape_zyx == SHAPE
    np.testing.assert_array_equal(volume.read_box(BOX), values[BOX.slices].astype(np.float32))


def test_scaled_integers_of_ours_come_back_in_their_units(tmp_path):
    values = noise(SHAPE, 1)
    export_mrc(
        tmp_path / "v.mrc",
        [(Box.whole(SHAPE), values)],
        shape_zyx=SHAPE,
        voxel_angstrom=10.0,
        dtype="int16",
        scaling=(0.001, 0.25),
    )
    volume = open_volume(tmp_path / "v.mrc")
    np.testing.assert_allclose(volume.read_box(BOX), values[BOX.slices], atol=6e-4)
    assert agreement(volume, values).scale == pytest.approx(1, abs=1e-3)


def test_the_given_voxel_size_wins_and_a_missing_one_is_none(tmp_path):
    path = write_mrc(tmp_path / "v.mrc", noise(SHAPE, 1), 0.0)
    assert open_volume(path).voxel_angstrom is None
    assert open_volume(path, voxel_angstrom=3.5).voxel_angstrom == 3.5
    with mrcfile.open(path, mode="r+") as file:
        file.voxel_size = (5.0, 5.0, 8.0)
    with pytest.raises(InputError, match=r"8 x 5 x 5 .* no cubes"):
        open_volume(path)
    assert open_volume(path, voxel_angstrom=5.0).voxel_angstrom == 5.0


def test_files_that_are_no_volumes_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        open_volume(tmp_path / "absent.mrc")
    (tmp_path / "text.mrc").write_text("no volume")
    with pytest.raises(FormatError, match="9 bytes"):
        open_volume(tmp_path / "text.mrc")
    path = write_mrc(tmp_path / "v.mrc", noise(SHAPE, 1))
    with pytest.raises(InputError, match="no level 1"):
        open_volume(path, level=1)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match="truncated"):
        open_volume(path)
    with mrcfile.new(tmp_path / "many.mrc") as file:
        file.set_data(np.zeros((2, 3, 4, 5), np.float32))
    with pytest.raises(UnsupportedError, match="stack of volumes"):
        open_volume(tmp_path / "many.mrc")


def test_two_volumes_share_one_grid_or_the_error_names_both():
    values = noise(SHAPE, 1)
    a, b = ArrayVolume(values, "a", 10.0), ArrayVolume(values, "b", 13.48)
    assert common_voxel(a, ArrayVolume(values, "c", 10.05)) == 10.0
    assert common_voxel(ArrayVolume(values), b) == 13.48
    assert common_voxel(ArrayVolume(values), ArrayVolume(values)) is None
    with pytest.raises(InputError, match=r"a has voxels of 10 angstrom, b of 13\.48\. .*--voxel-size"):
        common_voxel(a, b)
    with pytest.raises(InputError, match=r"a has 12 x 14 x 18 voxels \(z, y, x\), d has 12 x 14 x 17\. .*--level"):
        common_voxel(a, ArrayVolume(values[:, :, 1:], "d", 10.0))


@settings(max_examples=20)
@given(
    stem=st.from_regex(r"[A-Za-z0-9_.-]{0,8}[A-Za-z0-9]", fullmatch=True), suffix=st.sampled_from(["mrc", "ome.zarr"])
)
def test_halves_bear_the_names_that_a_run_gives_them(stem, suffix, tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    output = folder / f"{stem}.{suffix}"
    _, odd, even = (volume.final for volume in Workspace.of(output, halves=True).volumes)
    with pytest.raises(MissingFileError, match=f"{odd.name} and {even.name} are not beside"):
        half_volumes(output)
    odd.mkdir()
    with pytest.raises(MissingFileError, match=f"{even.name} is not beside"):
        half_volumes(output)
    even.touch()
    assert half_volumes(output) == half_volumes(f"{output}/") == (odd, even)
