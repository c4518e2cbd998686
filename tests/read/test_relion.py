"""RELION-5 series: what is read, how it compares with the alignments it came from, and what is refused."""

from __future__ import annotations

import pickle
import warnings

import mrcfile
import numpy as np
import pytest
from relion_support import COLUMNS, image, replaced, star_text, write_project

from cryolithe_stream.errors import CryolitheWarning, FormatError, InputError, MissingFileError, UnsupportedError
from cryolithe_stream.read import ImageStack, describe_stack, read_angles, read_tilt_series, read_xf
from cryolithe_stream.read.aretomo import read_aln


def test_views_are_in_the_order_of_their_tilts(tmp_path):
    star = write_project(tmp_path)
    series = read_tilt_series(star)
    np.testing.assert_array_equal(series.tilts_deg, [-20, -10, 0, 10, 20])
    np.testing.assert_array_equal(series.views, np.arange(5))
    np.testing.assert_array_equal(series.dose_e_a2, [3, 12, 6, 9, 0])
    assert isinstance(series.stack, ImageStack)
    assert series.stack.shape == (5, 6, 8)
    assert series.output_yx == (8, 6)  # turned by 85 degrees
    assert series.pixel_angstrom == 2.5
    assert series.provenance["pixel"]["source"].endswith("aligned_tilt_series.star")
    assert series.hint.thickness_px == 40
    with mrcfile.open(tmp_path / "MotionCorr/job002/frames/TS_01_001.mrc") as first:
        np.testing.assert_array_equal(series.frame(0), first.data)
    again = pickle.loads(pickle.dumps(series))
    np.testing.assert_array_equal(again.frame(4), series.frame(4))


def test_halves_are_those_that_the_star_file_names(tmp_path):
    star = write_project(tmp_path)
    for half, ending in (("odd", "_ODD"), ("even", "_EVN")):
        series = read_tilt_series(star, half=half)
        with mrcfile.open(tmp_path / f"MotionCorr/job002/frames/TS_01_000{ending}.mrc") as last:
            np.testing.assert_array_equal(series.frame(4), last.data)
    assert describe_stack(star)["halves"] == ["odd", "even"]
    bare = write_project(tmp_path / "b", columns=[c for c in COLUMNS if "Odd" not in c])
    with pytest.raises(FormatError, match="no column rlnMicrographNameOdd"):
        read_tilt_series(bare, half="odd")


def test_halves_that_share_images_are_refused(tmp_path):
    star = write_project(tmp_path)
    replaced(star, "TS_01_002_ODD.mrc", "TS_01_002_EVN.mrc")
    with pytest.raises(
        InputError, match=r"TS_01_002_EVN.mrc stands in rlnMicrographNameOdd and in rlnMicrographNameEven"
    ):
        read_tilt_series(star, half="odd")
    assert read_tilt_series(star).n_tilts == 5


def test_info_tells_what_a_star_file_lists(tmp_path):
    facts = describe_stack(write_project(tmp_path))
    assert facts["images"] == 5 and facts["shape_vyx"] == [5, 6, 8] and facts["tilts_deg"] == [-20.0, 20.0]
    assert facts["aligned"] and facts["pixel_angstrom"] == 2.5


def test_views_are_excluded_by_their_place_in_that_order(tmp_path):
    series = read_tilt_series(write_project(tmp_path), exclude=(1, 5))
    np.testing.assert_array_equal(series.tilts_deg, [-10, 0, 10])
    np.testing.assert_array_equal(series.dose_e_a2, [12, 6, 9])


def test_a_transform_by_hand(tmp_path):
    """An even image: RELION turns about pixel n // 2, half a pixel beyond the middle; 90° takes image x to −y."""
    star = write_project(tmp_path, rlnTomoZRot=90.0, rlnTomoXShiftAngst=5.0, rlnTomoYShiftAngst=-2.5)
    aligned = read_tilt_series(star).alignment
    np.testing.assert_allclose(aligned.matrix_yx[0] @ (0.0, 1.0), (-1.0, 0.0), atol=1e-12)
    # shift (x, y) = (2, −1) and half a pixel each: (2.5, −0.5) in image pixels, undone and turned by −90°
    np.testing.assert_allclose(aligned.shift_yx_px[0], (2.5, 0.5), atol=1e-12)
    odd = write_project(tmp_path / "odd", shape_yx=(7, 9), rlnTomoZRot=90.0, rlnTomoXShiftAngst=5.0)
    np.testing.assert_allclose(read_tilt_series(odd).alignment.shift_yx_px[0], (2.0, 0.0), atol=1e-12)


def test_an_imod_alignment_that_relion_imported(tmp_path, data):
    """RELION's readIMODResults: shift = −A⁻¹·D, ZRot = acos A11 with the sign of the nominal axis.

    What differs from the .xf file itself is half a pixel of the image, by RELION's centre n // 2, and magnification.
    """
    folder = data / "empiar-10499-ts254"
    matrix, shift = read_xf(folder / "00254.xf")
    tilts = read_angles(folder / "00254.tlt")
    pixel = 2.5
    back_yx = -np.einsum("tij,tj->ti", np.linalg.inv(matrix), shift) * pixel
    nominal = np.rad2deg(np.arctan2(matrix[0, 1, 0], matrix[0, 1, 1]))
    turns = np.rad2deg(np.arccos(np.minimum(matrix[:, 1, 1], 1.0)))
    turns = np.where(np.abs(-nominal - turns) < np.abs(nominal - turns), -turns, turns)
    values = {"rlnTomoZRot": turns, "rlnTomoXShiftAngst": back_yx[:, 1], "rlnTomoYShiftAngst": back_yx[:, 0]}
    star = write_project(tmp_path, tilts=tilts, shape_yx=(10, 8), pixel=pixel, **values)
    series = read_tilt_series(star)
    order = np.argsort(tilts, kind="stable")
    np.testing.assert_allclose(series.tilts_deg, tilts[order])
    read = series.alignment
    np.testing.assert_allclose(read.matrix_yx, matrix[order], atol=2e-3)
    half = np.einsum("tij,j->ti", read.matrix_yx, [0.5, 0.5])
    largest = np.abs(shift).max()
    np.testing.assert_allclose(read.shift_yx_px + half, shift[order], atol=2e-3 * largest)


def test_an_aretomo_alignment_that_relion_imported(tmp_path, data):
    """RELION's readAreTomoResults: ROT, TX and TY as they are; again half a pixel apart, and nothing else."""
    path = data / "alnfile-0.1.1" / "global_no_local.aln"
    expected = read_aln(path, 61)
    rows = np.array([line.split() for line in path.read_text().splitlines() if not line.startswith("#")], dtype=float)
    x, y = rows[:, 3] * 2.5, rows[:, 4] * 2.5
    values = {"rlnTomoZRot": rows[:, 1], "rlnTomoXShiftAngst": x, "rlnTomoYShiftAngst": y}
    read = read_tilt_series(write_project(tmp_path, tilts=rows[:, 9], **values)).alignment
    order = np.argsort(rows[:, 9], kind="stable")
    np.testing.assert_allclose(read.matrix_yx, expected.matrix_yx[order], atol=1e-12)
    half = np.einsum("tij,j->ti", read.matrix_yx, [0.5, 0.5])
    np.testing.assert_allclose(read.shift_yx_px + half, expected.shift_yx_px[order], atol=1e-9)


@pytest.mark.parametrize("job", ["AlignTiltSeries/job005", "Tomograms/job006", "CtfRefine/job027"])
def test_a_real_project_with_images_of_its_names(tmp_path, shared_data, job):
    """EMPIAR-10164 as RELION-5 has it; its images are holes of the right size."""
    source = shared_data / "alignments" / "relion5-empiar-10164"
    if not source.is_dir():
        pytest.skip(f"no project of RELION at {source}")
    folder = tmp_path / job
    (folder / "tilt_series").mkdir(parents=True)
    for name in ("tilt_series/TS_01.star", "aligned_tilt_series.star", "tomograms.star"):
        if (source / job / name).is_file():
            (folder / name).write_bytes((source / job / name).read_bytes())
    star = folder / "tilt_series" / "TS_01.star"
    text = star.read_text()
    for name in {word for word in text.split() if word.startswith("MotionCorr") and word.endswith(".mrc")}:
        path = image(tmp_path / name, np.zeros((2, 2)), 1.35)
        header = bytearray(path.read_bytes()[:1024])
        header[0:12] = header[28:40] = np.array([3838, 3710, 1], "<i4").tobytes()
        header[40:52] = np.array([3838 * 1.35, 3710 * 1.35, 1.35], "<f4").tobytes()
        with path.open("wb") as file:
            file.write(header)
            file.truncate(1024 + 4 * 3838 * 3710)
    series = read_tilt_series(star)
    assert series.stack.shape == (text.count("EVN.mrc"), 3710, 3838)
    assert series.pixel_angstrom == 1.35
    assert series.output_yx == (3838, 3710)
    assert np.all(np.diff(series.tilts_deg) > 0)
    assert np.all(np.abs(np.linalg.norm(series.alignment.shift_yx_px, axis=1)) < 300)
    assert series.hint.thickness_px == (None if job.startswith("Align") else 2000)


def test_pixel_size_from_table_headers_or_the_user(tmp_path):
    """Shifts are turned into pixels by the size that RELION knew, whatever the user says of the scale."""
    shifts = {"rlnTomoXShiftAngst": 10.0, "rlnTomoZRot": 0.0, "shape_yx": (7, 9)}
    star = write_project(tmp_path / "a", **shifts)
    assert read_tilt_series(star, pixel_angstrom=2.4).pixel_angstrom == 2.4
    np.testing.assert_allclose(read_tilt_series(star, pixel_angstrom=2.4).alignment.shift_yx_px[0], (0, -4), atol=1e-12)
    bare = write_project(tmp_path / "b", table=None, header_pixel=5.0, **shifts)
    series = read_tilt_series(bare)
    assert (series.pixel_angstrom, series.provenance["pixel"]["source"]) == (5.0, "header")
    np.testing.assert_allclose(series.alignment.shift_yx_px[0], (0, -2), atol=1e-12)
    with pytest.warns(CryolitheWarning, match="which holds; the images say 5"):
        both = read_tilt_series(write_project(tmp_path / "c", header_pixel=5.0, **shifts))
    assert both.pixel_angstrom == 2.5
    none = write_project(tmp_path / "d", table=None, **shifts)
    for file in (tmp_path / "d" / "MotionCorr/job002/frames").iterdir():
        with mrcfile.open(file, "r+") as mrc:
            mrc.voxel_size = 0
    with pytest.raises(InputError, match="nothing tells the pixel size"):
        read_tilt_series(none)
    assert read_tilt_series(none, pixel_angstrom=2.5).pixel_angstrom == 2.5


def test_a_table_that_cannot_be_read_is_told(tmp_path):
    star = write_project(tmp_path)
    (star.parent.parent / "aligned_tilt_series.star").write_text("data_global\nloop_\n_rlnTomoName\n_x\nTS_01\n")
    with pytest.warns(CryolitheWarning, match=r"not used: star file .*aligned_tilt_series.star, line 5"):
        assert read_tilt_series(star).pixel_angstrom == 2.5


def test_tilts_about_the_x_axis_are_refused_where_they_matter(tmp_path):
    star = write_project(tmp_path / "a", rlnTomoXTilt=1.5, size_z=40)
    with pytest.raises(UnsupportedError, match=r"rlnTomoXTilt .* up to 1.50 degrees.*Set it to 0 in a copy"):
        read_tilt_series(star)
    uneven = write_project(tmp_path / "b", rlnTomoXTilt=[2.0, -2.0, 2.0, -2.0, 0.0], size_z=40)
    with pytest.raises(UnsupportedError, match="before it was refined"):
        read_tilt_series(uneven)
    small = write_project(tmp_path / "c", rlnTomoXTilt=0.01, size_z=40)
    with pytest.warns(CryolitheWarning, match=r"not applied; they move what is seen by 0.00 pixels"):
        read_tilt_series(small)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_tilt_series(write_project(tmp_path / "d"))


def test_series_that_are_not_aligned(tmp_path):
    """An import names no alignment; transforms of another program fit its views in the order of their tilts."""
    columns = [column for column in COLUMNS if not column.startswith(("rlnTomoX", "rlnTomoY", "rlnTomoZ"))]
    star = write_project(tmp_path, columns=columns)
    with pytest.raises(InputError, match=r"holds no alignment .*Name the one of a job that aligned"):
        read_tilt_series(star)
    (tmp_path / "ts.xf").write_text("".join(f"1 0 0 1 {i} 0\n" for i in range(5)))
    with pytest.warns(CryolitheWarning, match="nominal"):
        series = read_tilt_series(star, alignment=tmp_path / "ts.xf")
    np.testing.assert_array_equal(series.tilts_deg, [-20, -10, 0, 10, 20])
    np.testing.assert_array_equal(series.alignment.shift_yx_px[:, 1], np.arange(5))


def test_matrices_of_relion_4_are_refused(tmp_path):
    star = write_project(tmp_path, columns=[*COLUMNS, "rlnTomoProjX"], rlnTomoProjX="[1,0,0,0]")
    with pytest.raises(UnsupportedError, match="RELION-4"):
        read_tilt_series(star)


def test_half_an_alignment_is_refused_by_the_column(tmp_path):
    star = write_project(tmp_path, columns=[column for column in COLUMNS if column != "rlnTomoZRot"])
    with pytest.raises(FormatError, match="no column rlnTomoZRot"):
        read_tilt_series(star)


def test_the_jobs_table_is_no_series(tmp_path):
    star = write_project(tmp_path)
    with pytest.raises(FormatError, match=r"lists tilt series, not their images.*tilt_series/"):
        read_tilt_series(star.parent.parent / "aligned_tilt_series.star")
    with pytest.raises(FormatError, match="lists no images"):
        path = tmp_path / "job.star"
        path.write_text(star_text("job", ("rlnJobTypeLabel",), [("x",)]))
        read_tilt_series(path)
    with pytest.raises(MissingFileError, match="does not exist"):
        read_tilt_series(tmp_path / "none.star")


def test_a_pixel_size_of_the_alignment_makes_no_sense(tmp_path):
    with pytest.raises(InputError, match="in angstrom"):
        read_tilt_series(write_project(tmp_path), alignment_angstrom=3.0)


def test_deformations_are_told(tmp_path):
    star = write_project(tmp_path)
    table = star.parent.parent / "aligned_tilt_series.star"
    labels = ("rlnTomoName", "rlnTomoTiltSeriesPixelSize", "rlnTomoDeformationGridSizeX")
    table.write_text(star_text("global", labels, [("TS_01", 2.5, 4)]))
    with pytest.warns(CryolitheWarning, match="deformations of the images are not applied"):
        read_tilt_series(star)


@pytest.mark.parametrize("entry", ["nan", "1e30", "x"])
@pytest.mark.parametrize("column", ["rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnMicrographPreExposure"])
def test_wrong_numbers_are_refused(tmp_path, column, entry):
    values = {column: [1.0, entry, 2.0, 3.0, 4.0]}
    with pytest.raises(FormatError, match=f"line .*{column}"):
        read_tilt_series(write_project(tmp_path, **values))
