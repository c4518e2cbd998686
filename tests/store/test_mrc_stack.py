"""MRC stacks: what other programs expect of a tilt series, and nothing half-written under its name."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest

from cryolithe_stream.errors import CryolitheError, OutputError
from cryolithe_stream.read import read_tilt_series
from cryolithe_stream.store import MrcStack, is_ours

IMAGES = np.random.default_rng(0).normal(3, 2, (5, 7, 12)).astype(np.float32)


def stack(path, order=range(5)):
    made = MrcStack.create(path, shape_tyx=IMAGES.shape, pixel_angstrom=6.25, labels=["of a test"])
    for i in order:
        made.write_image(i, IMAGES[i])
    return made


def test_is_a_valid_image_stack_with_its_pixel_size(tmp_path):
    final = tmp_path / "series.mrc"
    statistics = stack(tmp_path / "unfinished", order=[3, 0, 4, 1, 2]).finish(final)
    assert not (tmp_path / "unfinished").exists()
    assert mrcfile.validate(final)
    with mrcfile.open(final) as file:
        assert file.is_image_stack()
        np.testing.assert_array_equal(file.data, IMAGES)
        assert (file.header.mode, file.header.ispg, file.header.nsymbt) == (2, 0, 0)
        assert float(file.voxel_size.x) == float(file.voxel_size.y) == pytest.approx(6.25)
        assert float(file.header.dmean) == pytest.approx(IMAGES.mean(), rel=1e-6)
        assert [label.decode().strip() for label in file.header.label[:2]] == [
            "of a test",
            "cryolithe-stream tilt series",
        ]
    assert statistics.count == IMAGES.size
    assert is_ours(final)


def test_reads_as_a_tilt_series(tmp_path):
    stack(tmp_path / "unfinished").finish(tmp_path / "series.mrc")
    (tmp_path / "series.tlt").write_text("-40\n-20\n0\n20\n40\n")
    series = read_tilt_series(tmp_path / "series.mrc", angles=tmp_path / "series.tlt")
    assert series.pixel_angstrom == pytest.approx(6.25)
    np.testing.assert_array_equal(series.stack.frame(2), IMAGES[2])


def test_the_same_images_give_the_same_bytes(tmp_path):
    stack(tmp_path / "a").finish(tmp_path / "a.mrc")
    stack(tmp_path / "b").finish(tmp_path / "b.mrc")
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()


def test_an_incomplete_stack_gets_no_name_and_others_files_stay(tmp_path):
    final = tmp_path / "series.mrc"
    with pytest.raises(ValueError, match="another number"):
        stack(tmp_path / "unfinished", order=range(4)).finish(final)
    assert not final.exists()
    with pytest.raises(ValueError, match="image 5 of shape"):
        stack(tmp_path / "unfinished").write_image(5, IMAGES[0])
    with pytest.raises(ValueError, match=r"of shape \(7, 11\)"):
        stack(tmp_path / "unfinished").write_image(0, IMAGES[0, :, 1:])
    with pytest.raises(CryolitheError, match="NaN"):
        stack(tmp_path / "unfinished").write_image(0, np.full((7, 12), np.nan, np.float32))
    final.write_bytes(b"somebody else's")
    with pytest.raises(OutputError, match="exists and stays"):
        stack(tmp_path / "unfinished").finish(final, overwrite=True)
    assert final.read_bytes() == b"somebody else's"
