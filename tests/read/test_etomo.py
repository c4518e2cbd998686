"""Etomo folders and command files: signs against IMOD's own formulas, exclusions, and refusals by name."""

from __future__ import annotations

import itertools
import tempfile
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from etomo_support import IDENTITY, newst_com, tilt_com
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import (
    CryolitheError,
    CryolitheWarning,
    FormatError,
    InputError,
    MissingFileError,
    UnsupportedError,
)
from cryolithe_stream.geometry import VolumeFrame
from cryolithe_stream.read import read_tilt_series
from cryolithe_stream.read.newst import read_newst
from cryolithe_stream.read.tiltcom import read_tilt_com


def imod_column(j, i, theta, com, *, n_proj, width, thick):
    """Column (0-based) of voxel j, row i of the slice (1-based) as tilt.f90 computes it, n_proj the aligned width."""
    full, subset = com.full_xy[0], com.subset_xy[0]
    xcen_in = full / 2 + 0.5 - subset
    x_off_adj = com.shift_xz_px[0] - (n_proj // 2 + subset - full // 2)
    xcen_out = width // 2 + 0.5 + com.axis_offset_px + x_off_adj
    ycen_out = thick // 2 + 0.5 + com.shift_xz_px[1]
    return (j - xcen_out) * np.cos(theta) + (i - ycen_out) * -np.sin(theta) + xcen_in + com.axis_offset_px - 1


@pytest.mark.parametrize(
    ("lines", "full", "n_proj"),
    [
        ((), "FULLIMAGE 64 48", 64),
        (("SHIFT 5 -3",), "FULLIMAGE 64 48", 64),
        (("SHIFT 0 7", "OFFSET 1.5 4"), "FULLIMAGE 64 48", 64),
        (("SHIFT 2.5 1", "SUBSETSTART -4 0"), "FULLIMAGE 64 48", 72),
        (("SUBSETSTART 6 0",), "FULLIMAGE 64 48", 60),
    ],
)
def test_the_volume_lies_where_imod_puts_it(write, lines, full, n_proj):
    """Every voxel of the slice, turned as trimvol -rx does (z = thickness − i), is seen where tilt.f90 sees it."""
    thick, width = 20, n_proj
    com = read_tilt_com(write("tilt.com", tilt_com(f"THICKNESS {thick}", *lines, full=full)))
    hint = com.hint(n_proj)
    frame = VolumeFrame((thick, 48, width), (48, n_proj), hint.axis_offset_px, hint.shift_zx_px)
    tilts = np.array([-50.0, 0.0, 33.0])
    columns = frame.voxels().columns(tilts)
    for (t, tilt), i, j in itertools.product(enumerate(tilts), (1, 7, thick), (1, 20, width)):
        expected = imod_column(j, i, np.deg2rad(tilt), com, n_proj=n_proj, width=width, thick=thick)
        assert columns[t, thick - i, j - 1] == pytest.approx(expected, abs=1e-9)


def test_the_hint_is_in_pixels_of_the_raw_stack_whatever_imagebinned_says(project):
    stack = project(tilt=tilt_com("THICKNESS 900", "SHIFT 6 -4", "OFFSET 0 2", "IMAGEBINNED 2"))
    series = read_tilt_series(stack, alignment=stack.parent)
    assert series.hint.thickness_px == 900
    assert series.hint.shift_zx_px == (-4.0, -8.0)
    assert series.hint.axis_offset_px == 2.0


def test_a_raw_stack_that_is_coarser_than_the_alignment(project):
    stack = project(
        tilt=tilt_com("THICKNESS 900", "SHIFT 6 -4", full="FULLIMAGE 16 12"), newst=newst_com("OffsetsInXandY 4,0")
    )
    with pytest.raises(InputError, match=r"images of 16 x 12 pixels, .* has 8 x 6.*--alignment-pixel-size"):
        read_tilt_series(stack, alignment=stack.parent)
    series = read_tilt_series(stack, alignment=stack.parent, alignment_angstrom=1.25)
    assert series.hint.thickness_px == 450
    assert series.hint.shift_zx_px == (-2.0, -3.0)
    np.testing.assert_array_equal(series.alignment.shift_yx_px, [[0.0, -2.0]] * 5)
    assert series.output_yx == (6, 8)


def test_the_aligned_stack_is_not_aligned_again(project):
    stack = project(
        "ts_ali.mrc",
        tilt=tilt_com("THICKNESS 40", "SHIFT 0 6", "IMAGEBINNED 2", full="FULLIMAGE 16 12"),
        newst=newst_com("BinByFactor 2"),
    )
    series = read_tilt_series(stack, alignment=stack.parent / "tilt.com")
    assert series.alignment is None
    assert series.hint.thickness_px == 20
    assert series.hint.shift_zx_px == (3.0, 0.0)
    assert series.provenance["alignment"]["stack_is_aligned"] is True


@pytest.mark.parametrize("source", ["", "tilt.com", "newst.com"])
def test_a_folder_and_either_command_file_say_the_same(project, source):
    stack = project(tilt=tilt_com("THICKNESS 4", "OFFSET 2.5", "EXCLUDELIST 1,3-4"))
    series = read_tilt_series(stack, alignment=stack.parent / source)
    np.testing.assert_array_equal(series.views, [1, 4])
    np.testing.assert_array_equal(series.tilts_deg, [-7.5, 22.5])
    assert series.hint.thickness_px == 4
    assert series.provenance["left_out_views"] == "1,3-4"


@pytest.mark.parametrize(
    ("line", "views"),
    [
        ("EXCLUDELIST2 2 4", [0, 2, 4]),
        ("EXCLUDE 1-2", [2, 3, 4]),
        ("excludelist 5", [0, 1, 2, 3]),
        ("INCLUDE 2-4", [1, 2, 3]),
        ("EXCLUDELIST2 1\nEXCLUDELIST2 5", [1, 2, 3]),
    ],
)
def test_excluded_views_in_every_spelling(project, line, views):
    stack = project(tilt=tilt_com(line))
    np.testing.assert_array_equal(read_tilt_series(stack, alignment=stack.parent).views, views)


def test_views_excluded_in_the_edf_and_by_the_user_add_up(project):
    stack = project(tilt=tilt_com("EXCLUDELIST 1"), edf="Setup.DatasetName=ts\nSetup.AxisA.ExcludeProjections=5\n")
    np.testing.assert_array_equal(read_tilt_series(stack, alignment=stack.parent, exclude=[3]).views, [1, 3])


def test_an_excluded_view_that_the_stack_has_not(project):
    stack = project(tilt=tilt_com("EXCLUDELIST 4-7"))
    with pytest.raises(InputError, match="excludes views 6-7, the stack has 5"):
        read_tilt_series(stack, alignment=stack.parent)


REFUSED = {
    "XAXISTILT 1.5": "XAXISTILT 1.5",
    "LOCALFILE tslocal.xf": "LOCALFILE tslocal.xf",
    "ZFACTORFILE ts.zfac": "ZFACTORFILE ts.zfac",
    "XTILTFILE ts.xtilt": "XTILTFILE tilts views",
    "WIDTH 4": "WIDTH 4",
    "SLICE 1 3": "SLICE 1 3",
    "TOTALSLICES 0 5": "TOTALSLICES",
    "COMPRESS 1 1 1 1 1": "COMPRESS",
    "SIRTIterations 10": "SIRTITERATIONS",
    "REPROJECT 0": "REPROJECT",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_honoured_is_refused_by_name(project, write, line):
    write("ts.zfac", "0.1 0.2\n" * 5)
    write("ts.xtilt", "1.0\n" * 5)
    stack = project(tilt=tilt_com("THICKNESS 400", line))
    with pytest.raises(UnsupportedError, match=REFUSED[line]):
        read_tilt_series(stack, alignment=stack.parent)


def test_what_comes_to_nothing_passes(project, write):
    write("ts.zfac", "0.0 0.0\n" * 5)
    write("ts.xtilt", "0.00\n" * 5)
    lines = (
        "XAXISTILT -0.0",
        "ZFACTORFILE ts.zfac",
        "XTILTFILE ts.xtilt",
        "LOCALFILE ts.xf",
        "RADIAL 0.35 0.05",
        "Mode 2",
    )
    stack = project(tilt=tilt_com(*lines))
    assert read_tilt_series(stack, alignment=stack.parent).n_tilts == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("XTILTFILE ts.xtilt", "move rows by 0.07 pixels"),
        ("LOG 0.0", "LOG is not applied"),
        ("WEIGHTFILE w", "WEIGHTFILE"),
    ],
)
def test_what_hardly_matters_is_told(project, write, line, message):
    write("ts.xtilt", "0.02\n-0.01\n0 0 0\n")
    stack = project(tilt=tilt_com("THICKNESS 400", line))
    with pytest.warns(CryolitheWarning, match=message):
        read_tilt_series(stack, alignment=stack.parent)


@pytest.mark.parametrize("key", ["TransformFile", "TILTFILE", "XTILTFILE"])
def test_files_that_are_named_must_be_there(project, key):
    if key == "TransformFile":
        stack = project(newst=newst_com().replace("ts.xf", "gone.xf"))
    else:
        stack = project(tilt=tilt_com(f"{key} gone.file"))
    with pytest.raises(MissingFileError, match=f"{key.upper()} names gone"):
        read_tilt_series(stack, alignment=stack.parent)


def test_given_angles_replace_those_of_the_command_file_and_its_offset_still_counts(project, write):
    stack = project(tilt=tilt_com("TILTFILE gone.tlt", "OFFSET 1"))
    with pytest.warns(CryolitheWarning, match="OFFSET adds 1 degrees"):
        series = read_tilt_series(stack, alignment=stack.parent, angles=write("my.tlt", "-2 -1 0 1 2"))
    np.testing.assert_array_equal(series.tilts_deg, [-1, 0, 1, 2, 3])


def test_a_real_folder(data, make_mrc, write):
    """TS_001 of etomofiles: view 40 excluded, pixel size in the .edf, x tilts of 0.01°."""
    stack = make_mrc("TS_001.st", (40, 6, 8), pixel=None)
    with pytest.warns(CryolitheWarning, match=r"x axis are not applied|pixel size 0"):
        series = read_tilt_series(stack, alignment=data / "etomofiles-0.1.2" / "TS_001")
    assert series.n_tilts == 39
    assert series.pixel_angstrom == pytest.approx(6.192)
    assert series.tilts_deg[[0, -1]].tolist() == [-57.12, 56.96]
    first = np.loadtxt(data / "etomofiles-0.1.2" / "TS_001" / "TS_001.xf")[0]
    np.testing.assert_array_equal(series.alignment.matrix_yx[0].ravel(), first[[3, 2, 1, 0]])
    np.testing.assert_array_equal(series.alignment.shift_yx_px[0], first[[5, 4]])


def test_real_command_files(data, tmp_path):
    folder = data / "cryoet_alignment-0.2.0"
    source = tmp_path / "tilt.com"
    source.write_text((folder / "convert" / "imod_1" / "tilt.com").read_text())
    (tmp_path / "mka2018-10-01-1.xtilt").write_text((folder / "convert" / "imod_1" / "tilt_1.xtilt").read_text())
    with pytest.warns(CryolitheWarning, match="LOG is not applied"):
        com = read_tilt_com(source)
    assert (com.thickness_px, com.binning, com.full_xy, com.aligned_yx) == (2000.0, 4, (3708.0, 3832.0), (3832, 3712))
    assert com.hint(3712).axis_offset_px == 0.0
    (tmp_path / "mka2018-10-01-1.xf").write_text((folder / "convert" / "imod_1" / "tilt_1.xf").read_text())
    (tmp_path / "newst.com").write_text((folder / "convert" / "imod_1" / "newst.com").read_text())
    newst = read_newst(tmp_path / "newst.com")
    assert (newst.output_yx, newst.binning, len(newst.matrix_yx)) == ((3832, 3712), 4, 59)


def test_imods_own_projects_are_refused_by_name(shared_data, make_mrc):
    folder = shared_data / "alignments" / "imod-outputs" / "BB"
    if not folder.is_dir():
        pytest.skip("no imod-outputs")
    with pytest.raises(UnsupportedError, match=r"XAXISTILT 1\.94"):
        read_tilt_series(make_mrc("BBa.st", (61, 6, 8)), alignment=folder / "tilta.com")
    with pytest.raises(UnsupportedError, match="TOTALSLICES"):
        read_tilt_series(make_mrc("BBa.st", (61, 6, 8)), alignment=folder / "tilt-001.com")
    with pytest.raises(FormatError, match="runs tiltxcorr"):
        read_tilt_series(make_mrc("BBa.st", (61, 6, 8)), alignment=folder / "xcorr.com")
    series = read_tilt_series(make_mrc("BBa.st", (61, 6, 8)), alignment=folder / "BBa.xf")
    assert series.n_tilts == 61


def test_a_dual_axis_project(make_mrc, write):
    for letter, size in (("a", 4), ("b", 6)):
        write(f"BB{letter}.xf", IDENTITY * 5)
        write(f"BB{letter}.tlt", "-20 -10 0 10 20")
        write(f"tilt{letter}.com", tilt_com(f"THICKNESS {size}").replace("ts.tlt", f"BB{letter}.tlt"))
    edf = write("BB.edf", "Setup.DatasetName=BB\nSetup.AxisA.ExcludeProjections=1\nSetup.AxisB.ExcludeProjections=5\n")
    series = {x: read_tilt_series(make_mrc(f"BB{x}.st"), alignment=edf.parent) for x in "ab"}
    assert {x: s.hint.thickness_px for x, s in series.items()} == {"a": 4, "b": 6}
    assert {x: s.provenance["left_out_views"] for x, s in series.items()} == {"a": "1", "b": "5"}
    with pytest.raises(InputError, match="has two axes"):
        read_tilt_series(make_mrc("other.st"), alignment=edf.parent)


def test_a_folder_without_an_alignment(make_mrc, tmp_path):
    stack = make_mrc()
    with pytest.raises(FormatError, match=r"neither newst\.com nor ts\.xf"):
        read_tilt_series(stack, alignment=tmp_path)


_VALUES = st.sampled_from("0 1 -2 1e8 4 5-9 nan / a ts.xf ts.tlt . 0.0,0.0 1,2 8 6 -8 tilt 2147483648 ,".split())
_KEYS = st.sampled_from(
    "THICKNESS SHIFT OFFSET FULLIMAGE SUBSETSTART EXCLUDELIST INCLUDE IMAGEBINNED TILTFILE XTILTFILE ANGLES LOCALFILE "
    "TransformFile SizeToOutputInXandY BinByFactor OffsetsInXandY ApplyOffsetsFirst OutputFile $ #".split()
)
_LINES = st.lists(st.tuples(_KEYS, st.lists(_VALUES, max_size=3)).map(lambda t: " ".join([t[0], *t[1]])), max_size=4)


@given(tilt=_LINES, newst=_LINES, exclude=st.lists(_VALUES, max_size=3))
def test_odd_projects_raise_nothing_but_our_errors(tilt, newst, exclude):
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore", CryolitheWarning)
        folder = Path(name)
        with mrcfile.new(folder / "ts.mrc") as mrc:
            mrc.set_data(np.arange(5 * 6 * 8, dtype=np.float32).reshape(5, 6, 8))
            mrc.voxel_size = 2.0
        (folder / "ts.xf").write_text(IDENTITY * 5)
        (folder / "ts.tlt").write_text("-20 -10 0 10 20")
        (folder / "tilt.com").write_text(tilt_com(*tilt))
        (folder / "newst.com").write_text(newst_com(*newst))
        (folder / "ts.edf").write_text("Setup.DatasetName=ts\nSetup.AxisA.ExcludeProjections=" + ",".join(exclude))
        try:
            series = read_tilt_series(folder / "ts.mrc", alignment=folder)
        except CryolitheError as error:
            assert error.exit_code == 2
        else:
            assert min(series.output_yx) > 0
            assert np.isfinite([*series.tilts_deg, *series.hint.shift_zx_px, series.hint.axis_offset_px]).all()
