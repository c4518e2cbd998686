"""Runs from a star file of RELION-5: halves, resuming, and what the command line says."""

from __future__ import annotations

import json

import mrcfile
import numpy as np
import pytest
from relion_support import write_project
from run_support import options
from typer.testing import CliRunner

from cryolithe_stream.errors import InputError, UnsupportedError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import RunOptions, reconstruct_series
from cryolithe_stream.run.inputs import Stamp
from cryolithe_stream.run.survey import read_series
from cryolithe_stream.store import open_tomogram
from cryolithe_stream_cli.main import app

TILTS = np.linspace(60, -60, 13)


def volume(path):
    tomogram = open_tomogram(path)
    return tomogram.read_box(Box.whole(tomogram.layout.shape_zyx))


def test_halves_of_frames_have_tomograms_of_their_own(tmp_path):
    star = write_project(tmp_path, tilts=TILTS, shape_yx=(40, 56), pixel=10.0)
    out = tmp_path / "t.ome.zarr"
    reconstruct_series(options(out, stack=star, odd=star, even=star, thickness=16, method="fbp"))
    found = [volume(tmp_path / f"t{ending}.ome.zarr") for ending in ("", "_odd", "_even")]
    assert found[0].shape == (16, 56, 40)
    correlation = np.corrcoef([each.ravel() for each in found])
    assert np.all(np.abs(correlation - np.eye(3)) < 0.5)  # the images are noise of their own


def test_the_stamp_knows_every_image(tmp_path):
    star = write_project(tmp_path)
    before = Stamp.of(read_series(RunOptions(stack=star, output=tmp_path / "t.ome.zarr"))[0])
    with mrcfile.open(tmp_path / "MotionCorr/job002/frames/TS_01_002.mrc", "r+") as mrc:
        mrc.set_data(mrc.data + 1)
    after = Stamp.of(read_series(RunOptions(stack=star, output=tmp_path / "t.ome.zarr"))[0])
    assert before.size == after.size and before.modified != after.modified


def test_other_files_given_as_both_halves_are_refused_still(tmp_path):
    with pytest.raises(InputError, match="would not be independent"):
        RunOptions(stack="a.mrc", odd="b.mrc", even="b.mrc", output=tmp_path / "t.ome.zarr")


def test_a_star_file_at_an_address_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="names images that are not fetched"):
        reconstruct_series(options(tmp_path / "t.ome.zarr", stack="https://example.org/TS_01.star", method="fbp"))


def test_info_plan_and_run(tmp_path):
    star = write_project(tmp_path, tilts=TILTS, shape_yx=(40, 56), pixel=10.0)
    runner = CliRunner()
    told = json.loads(runner.invoke(app, ["info", str(star), "--json"]).stdout)
    assert told["shape_vyx"] == [13, 40, 56] and told["aligned"]
    out = tmp_path / "t.ome.zarr"
    flags = [str(star), "-o", str(out), "--method", "fbp", "--cluster", "threads"]
    checked = runner.invoke(app, ["plan", *flags])
    assert checked.exit_code == 0, checked.output
    assert not out.exists()
    done = runner.invoke(app, ["run", *flags])
    assert done.exit_code == 0, done.output
    assert volume(out).shape == (40, 56, 40)  # the thickness that the job's table holds
