"""The images that a star file of RELION names: where they are, and which are refused."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from relion_support import image, replaced, write_project

from cryolithe_stream.errors import CryolitheWarning, FormatError, InputError, MissingFileError
from cryolithe_stream.read import read_tilt_series


def test_missing_images_are_counted(tmp_path):
    star = write_project(tmp_path)
    for number in (1, 3):
        (tmp_path / f"MotionCorr/job002/frames/TS_01_{number:03d}.mrc").unlink()
    with pytest.raises(MissingFileError, match=r"2 of 5 images of .* are not there, the first is .*MotionCorr/job002"):
        read_tilt_series(star)
    star = write_project(tmp_path / "gone")
    (tmp_path / "gone" / "MotionCorr").rename(tmp_path / "elsewhere")
    with pytest.raises(MissingFileError, match=f"5 of 5 .*{tmp_path}/gone/MotionCorr"):
        read_tilt_series(star)  # and no image of the same name in a project around this one


def test_a_star_file_may_lie_elsewhere_in_its_project(tmp_path):
    star = write_project(tmp_path)
    (tmp_path / "mine").mkdir()
    series = read_tilt_series(star.rename(tmp_path / "mine" / "TS_01.star"))
    assert (series.n_tilts, series.provenance["pixel"]["source"]) == (5, "header")


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000 + "b", "/dev/zero", ".", "/", "1@", "@x"])
def test_names_that_no_image_can_have(tmp_path, name):
    star = replaced(write_project(tmp_path), "MotionCorr/job002/frames/TS_01_000.mrc", name)
    with pytest.raises(InputError, match=r"1 of 5 images of .* are not there|no name of an image") as told:
        read_tilt_series(star)
    assert len(str(told.value)) < 1200


def test_images_of_different_sizes_are_refused(tmp_path):
    star = write_project(tmp_path)
    image(tmp_path / "MotionCorr/job002/frames/TS_01_002.mrc", np.zeros((8, 6)), 2.5)
    with pytest.raises(InputError, match=r"has 6 x 8 pixels, .* has 8 x 6"):
        read_tilt_series(star)


def test_sections_of_a_stack_are_images_too(tmp_path):
    star = write_project(tmp_path)
    frames = np.random.default_rng(2).normal(50, 10, (5, 6, 8)).astype("f4")
    with mrcfile.new(tmp_path / "raw.mrcs") as mrc:
        mrc.set_data(frames)
        mrc.voxel_size = 2.5
    for number in range(5):
        replaced(star, f"MotionCorr/job002/frames/TS_01_{number:03d}.mrc", f"{number + 1:06d}@raw.mrcs:mrcs")
    np.testing.assert_array_equal(read_tilt_series(star).frame(0), frames[1])
    with pytest.raises(FormatError, match=r"holds 5 images, 9@raw.mrcs is asked for"):
        read_tilt_series(replaced(star, "000002@", "000009@"))
    with pytest.raises(FormatError, match=r"holds 5 images and none is named.*1@raw"):
        read_tilt_series(replaced(star, "000009@", ""))


def test_relative_names_stay_in_the_project_and_absolute_ones_hold(tmp_path):
    star = write_project(tmp_path / "p")
    outside = image(tmp_path / "outside.mrc", np.ones((6, 8)), 2.5)
    name = "MotionCorr/job002/frames/TS_01_000.mrc"
    for wrong in ("../outside.mrc", "MotionCorr/../../outside.mrc", "0@x.mrc"):
        with pytest.raises(FormatError, match=r"leads out of the project|no name of an image"):
            read_tilt_series(replaced(write_project(tmp_path / "p"), name, wrong))
    series = read_tilt_series(replaced(write_project(tmp_path / "p"), name, str(outside)))
    assert series.stack.frame(4).max() == 1
    assert star.is_file()


def test_the_projects_folder_may_be_named_from_within(tmp_path, monkeypatch):
    write_project(tmp_path)
    monkeypatch.chdir(tmp_path / "AlignTiltSeries" / "job005")
    assert read_tilt_series("tilt_series/TS_01.star").n_tilts == 5


def test_doubts_of_many_images_are_told_once(tmp_path):
    star = write_project(tmp_path)
    for file in (tmp_path / "MotionCorr").rglob("*.mrc"):
        with file.open("ab") as image_file:
            image_file.write(b"more")
    with pytest.warns(CryolitheWarning) as told:
        read_tilt_series(star)
    (warning,) = told
    assert "5 images of" in str(warning.message) and "4 bytes follow the data" in str(warning.message)
