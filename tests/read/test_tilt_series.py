"""A stack, its angles and its alignment as one series: what is found, matched, and refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest

from cryolithe_stream.errors import CryolitheWarning, FormatError, InputError, MissingFileError
from cryolithe_stream.read import describe_stack, read_tilt_series

TILTS = [-20.0, -10.0, 0.0, 10.0, 20.0]
ANGLES = "-20\n-10\n0\n10\n20\n"
XF = "1 0 0 1 {} 0\n"


def test_an_aligned_stack(make_mrc, write):
    stack = make_mrc("ts.mrc")
    series = read_tilt_series(stack, angles=write("a.txt", ANGLES))
    assert (series.n_tilts, series.pixel_angstrom, series.alignment, series.output_yx) == (5, 2.5, None, (6, 8))
    assert series.frame(4).shape == (6, 8)
    np.testing.assert_array_equal(series.tilts_deg, TILTS)
    assert series.hint.thickness_px is None
    assert json.loads(json.dumps(series.provenance))["stack"]["shape_vyx"] == [5, 6, 8]
    copy = pickle.loads(pickle.dumps(series))
    np.testing.assert_array_equal(copy.frame(2), series.frame(2))


def test_angles_beside_the_stack_are_found_refined_ones_first(make_mrc, write):
    stack = make_mrc("ts_ali.mrc")
    write("ts.rawtlt", "-21 -11 -1 9 19")
    with pytest.warns(CryolitheWarning, match="nominal angles"):
        assert read_tilt_series(stack).tilts_deg[0] == -21
    write("ts.tlt", ANGLES)
    assert read_tilt_series(stack).provenance["angles"].endswith("ts.tlt")


def test_angles_of_the_metadata_are_the_last_resort(make_mrc, write):
    stack = make_mrc("ts.mrc")
    with pytest.raises(InputError, match=r"no tilt angles.*--angles"):
        read_tilt_series(stack)
    write("ts.mrc.mdoc", "".join(f"[ZValue = {i}]\nTiltAngle = {t}\n" for i, t in enumerate(TILTS)))
    with pytest.warns(CryolitheWarning, match="nominal ones are taken"):
        np.testing.assert_array_equal(read_tilt_series(stack).tilts_deg, TILTS)


def test_excluded_views_are_left_out_with_their_angles_and_rows(make_mrc, write):
    stack = make_mrc()
    xf = write("a.xf", "".join(XF.format(i) for i in range(5)))
    series = read_tilt_series(stack, angles=write("a.tlt", ANGLES), alignment=xf, exclude=[1, 4])
    np.testing.assert_array_equal(series.views, [1, 2, 4])
    np.testing.assert_array_equal(series.tilts_deg, [-10, 0, 20])
    np.testing.assert_array_equal(series.alignment.shift_yx_px[:, 1], [1, 2, 4])
    np.testing.assert_array_equal(series.frame(2), series.stack.frame(4))
    with pytest.raises(InputError, match=r"view 6 is excluded, .* has views 1 to 5"):
        read_tilt_series(stack, exclude=[6])
    with pytest.raises(InputError, match="1 view is left"):
        read_tilt_series(stack, angles=write("a.tlt", ANGLES), exclude=[1, 2, 3, 4])


def test_shifts_solved_at_another_pixel_size(make_mrc, write):
    xf = write("a.xf", XF.format(8.0) * 5)
    write("ts.tlt", ANGLES)
    series = read_tilt_series(make_mrc(), alignment=xf, alignment_angstrom=5.0)
    np.testing.assert_array_equal(series.alignment.shift_yx_px, [[0.0, 16.0]] * 5)
    with pytest.raises(InputError, match="no alignment"):
        read_tilt_series(make_mrc(), alignment_angstrom=5.0)
    with pytest.raises(InputError, match="alignment pixel size 0"):
        read_tilt_series(make_mrc(), alignment=xf, alignment_angstrom=0.0)


def test_transforms_beside_a_raw_stack_are_not_forgotten_silently(make_mrc, write):
    write("ts.tlt", ANGLES)
    write("ts.xf", XF.format(1) * 5)
    with pytest.warns(CryolitheWarning, match="taken as aligned; to align it give --alignment"):
        read_tilt_series(make_mrc("ts.mrc"))
    with pytest.warns(CryolitheWarning, match="aligns it once more"):
        read_tilt_series(make_mrc("ts_ali.mrc"), alignment=write("ts.xf", XF.format(1) * 5))


def test_the_kind_of_an_alignment_is_told_by_its_content(make_mrc, write, data):
    stack = make_mrc(shape=(61, 4, 4), pixel=2560.0)
    aln = write("alignment.txt", (data / "alnfile-0.1.1" / "global_no_local.aln").read_text())
    series = read_tilt_series(stack, alignment=aln, alignment_angstrom=2.5)
    assert series.tilts_deg[0] == -63.2
    assert series.hint.thickness_px == pytest.approx(2050 / 1024)
    write("ts.tlt", " ".join(str(t) for t in range(-30, 31)))
    assert read_tilt_series(stack, alignment=write("shifts.dat", XF.format(2) * 61)).n_tilts == 61


def test_a_stack_with_more_views_than_its_alignment(make_mrc, write):
    """EMPIAR-11830: the stack and its .rawtlt have all views, .tlt and .xf those that AreTomo kept, 4° off."""
    nominal = np.arange(-20, 21, 2) + np.random.default_rng(1).normal(0, 0.03, 21)
    kept = np.delete(np.arange(21), [0, 1, 12])
    write("run.rawtlt", "\n".join(f"{t:.2f}" for t in nominal))
    write("AreTomo/run_dose-filt.tlt", "\n".join(f"{t + 4.1:.2f}" for t in nominal[kept]))
    xf = write("AreTomo/run_dose-filt.xf", "".join(XF.format(i) for i in kept))
    stack = make_mrc("run.st", (21, 4, 4))
    with pytest.warns(CryolitheWarning, match="no row for views 1-2,13"):
        series = read_tilt_series(stack, alignment=xf)
    np.testing.assert_array_equal(series.views, kept)
    np.testing.assert_array_equal(series.alignment.shift_yx_px[:, 1], kept)
    np.testing.assert_allclose(series.tilts_deg, nominal[kept] + 4.1, atol=0.011)
    full = write("full.tlt", "\n".join(f"{t:.2f}" for t in nominal))
    with pytest.warns(CryolitheWarning, match="no row for views"):
        given = read_tilt_series(stack, alignment=xf, angles=full)
    np.testing.assert_allclose(given.tilts_deg, nominal[kept], atol=0.011)


def test_missing_rows_may_be_named_with_exclude(make_mrc, write):
    xf = write("a.xf", "".join(XF.format(i) for i in (0, 1, 3)))
    stack = make_mrc()
    with pytest.raises(InputError, match=r"a\.xf has 3 rows, .* has 5 views.*--exclude"):
        read_tilt_series(stack, angles=write("a.tlt", "-20 -10 10"), alignment=xf)
    series = read_tilt_series(stack, angles=write("a.tlt", "-20 -10 10"), alignment=xf, exclude=[3, 5])
    np.testing.assert_array_equal(series.views, [0, 1, 3])
    both = read_tilt_series(stack, angles=write("a.tlt", ANGLES), alignment=xf, exclude=[3, 5])
    np.testing.assert_array_equal(both.tilts_deg, [-20, -10, 10])


@pytest.mark.parametrize(("text", "n"), [("1 2 3 4", 4), ("1 2 3 4 5 6", 6)])
def test_a_wrong_number_of_angles_is_refused_with_both_numbers(make_mrc, write, text, n):
    with pytest.raises(InputError, match=f"has {n} rows, .* has 5 views"):
        read_tilt_series(make_mrc(), angles=write("a.tlt", text))


def test_transforms_and_angles_of_other_lengths(make_mrc, write):
    with pytest.raises(InputError, match=r"aligns 4 views, .* has 3 angles, .* has 5 views"):
        read_tilt_series(make_mrc(), angles=write("a.tlt", "1 2 3"), alignment=write("a.xf", XF.format(0) * 4))


def test_a_volume_with_the_angles_of_a_series_is_refused(make_mrc, write):
    with pytest.raises(InputError, match=r"has 5 rows, .* has 60 views \(is it a volume\?\)"):
        read_tilt_series(make_mrc(shape=(60, 4, 4)), angles=write("a.tlt", ANGLES))


@pytest.mark.parametrize("ispg", [0, 1])
def test_space_group_0_or_1_tells_nothing(make_mrc, write, ispg):
    assert read_tilt_series(make_mrc(ispg=ispg), angles=write("a.tlt", ANGLES)).n_tilts == 5


def test_a_stack_of_volumes_and_a_single_view_are_refused(make_mrc, write):
    with pytest.raises(InputError, match="stack of volumes"):
        read_tilt_series(make_mrc(ispg=401), angles=write("a.tlt", ANGLES))
    with pytest.raises(InputError, match="has 1 view"):
        read_tilt_series(make_mrc(shape=(1, 4, 4)), angles=write("a.tlt", "0"))
    assert describe_stack(make_mrc(ispg=401))["guess"].startswith("stack of volumes")


@pytest.mark.parametrize("text", ["7 7 7 7 7", "0 0 0 0 0.0001"])
def test_angles_that_are_all_equal_are_refused(make_mrc, write, text):
    with pytest.raises(InputError, match="degrees for all 5 views"):
        read_tilt_series(make_mrc(), angles=write("a.tlt", text))


def test_wrong_files_for_the_stack(tmp_path, write, make_mrc):
    with pytest.raises(MissingFileError, match=r"stack .* does not exist"):
        read_tilt_series(tmp_path / "no.mrc")
    with pytest.raises(InputError, match="is a folder"):
        read_tilt_series(tmp_path)
    with pytest.raises(MissingFileError, match=r"alignment .* does not exist"):
        read_tilt_series(make_mrc(), alignment=tmp_path / "no.xf")
    with pytest.raises(FormatError, match="is binary"):
        read_tilt_series(make_mrc(), angles=make_mrc("b.mrc"))


@pytest.mark.parametrize("pixel", [0.0, -1.0, float("nan"), float("inf")])
def test_no_pixel_size(make_mrc, write, pixel):
    angles = write("a.tlt", ANGLES)
    stack = make_mrc(pixel=None, raw={40: np.float32([pixel] * 3).tobytes()})
    with pytest.raises(InputError, match=r"pixel size 0.*--pixel-size"):
        read_tilt_series(stack, angles=angles)
    assert read_tilt_series(stack, angles=angles, pixel_angstrom=3).pixel_angstrom == 3.0
    with pytest.raises(InputError, match="pixel size"):
        read_tilt_series(stack, angles=angles, pixel_angstrom=pixel)


def test_pixels_that_are_not_square(make_mrc, write):
    stack = make_mrc(raw={40: np.float32([8, 12, 5]).tobytes()})
    with pytest.raises(InputError, match="1 x 2 angstrom, not square"):
        read_tilt_series(stack, angles=write("a.tlt", ANGLES))


def test_the_metadata_knows_the_pixel_size_that_a_placeholder_hides(make_mrc, write):
    mdoc = write("ts.mdoc", "PixelSpacing = 3.3\nImageSize = 8 6\n[ZValue = 0]\n")
    angles = write("a.tlt", ANGLES)
    with pytest.warns(CryolitheWarning, match=r"taken from .*ts\.mdoc: 3\.3"):
        assert read_tilt_series(make_mrc(pixel=1.0), angles=angles).pixel_angstrom == 3.3
    with pytest.warns(CryolitheWarning, match="which holds"):
        assert read_tilt_series(make_mrc(pixel=2.5), angles=angles).pixel_angstrom == 2.5
    mdoc.write_text("PixelSpacing = 3.3\nImageSize = 16 12\n[ZValue = 0]\n")
    assert read_tilt_series(make_mrc(pixel=1.0), angles=angles).pixel_angstrom == 1.0


def test_dose_follows_its_view(make_mrc, write):
    """Sections in the order of exposure, the stack sorted by angle: they find one another."""
    tilts = [0.0, 10.0, -10.0, -20.0, 20.0]
    entries = "[ZValue = {0}]\nTiltAngle = {1}\nExposureDose = 3\nDateTime = 08-Oct-21  07:0{0}:00\n"
    mdoc = write("other.mdoc", "".join(entries.format(i, t + 0.01) for i, t in enumerate(tilts)))
    angles = write("a.tlt", ANGLES)
    series = read_tilt_series(make_mrc(), angles=angles, mdoc=mdoc, exclude=[2])
    np.testing.assert_array_equal(series.dose_e_a2, [9, 0, 3, 12])
    with pytest.warns(CryolitheWarning, match="dose not used"):
        assert read_tilt_series(make_mrc(), angles=write("b.tlt", "1 5 6 7 9"), mdoc=mdoc).dose_e_a2 is None


def test_a_broken_mdoc_matters_only_when_it_was_named(make_mrc, write):
    mdoc = write("ts.mdoc", "nothing")
    angles = write("a.tlt", ANGLES)
    with pytest.warns(CryolitheWarning, match="not used"):
        read_tilt_series(make_mrc(), angles=angles)
    with pytest.raises(FormatError, match="ZValue"):
        read_tilt_series(make_mrc(), angles=angles, mdoc=mdoc)


@pytest.mark.parametrize(
    ("value", "fault"), [(5.0, "is 5 everywhere"), (np.nan, "holds 48 pixels"), (np.inf, "holds 48")]
)
def test_views_that_hold_nothing_are_named_and_may_be_excluded(make_mrc, write, value, fault):
    stack = make_mrc(raw={1024 + 3 * 48 * 4: np.full(48, value, dtype="<f4").tobytes()})
    angles = write("a.tlt", ANGLES)
    series = read_tilt_series(stack, angles=angles, exclude=[1])
    with pytest.raises(InputError, match=rf"view 4 of .* {fault}.*--exclude 4"):
        series.frame(2)
    assert [read_tilt_series(stack, angles=angles, exclude=[4]).frame(i).std() > 0.1 for i in range(4)] == [True] * 4


def test_alignments_that_aretomo_wrote_with_dark_frames(make_mrc, data, write):
    aln = data / "alnfile-0.1.1" / "global_and_local.aln"
    stack = make_mrc("run.mrc", (51, 4, 4), pixel=2560.0)
    with pytest.warns(CryolitheWarning, match="local alignment"):
        series = read_tilt_series(stack, alignment=aln, alignment_angstrom=2.5, exclude=[20])
    assert series.views[0] == 14
    assert 19 not in series.views
    assert series.tilts_deg[0] == -27.71
    assert series.hint.thickness_px == pytest.approx(1910 / 1024)
    raw = write("raw.tlt", " ".join(f"{-68 + 2 * i}" for i in range(51)))
    with pytest.warns(CryolitheWarning, match=r"local alignment|replace those of .*differ by 12\.3"):
        given = read_tilt_series(stack, alignment=aln, alignment_angstrom=2.5, angles=raw)
    assert given.tilts_deg[0] == -40
    with pytest.raises(InputError, match="images of 4096 x 4096"), pytest.warns(CryolitheWarning):
        read_tilt_series(stack, alignment=aln)


def test_a_real_cryo_series(shared_data):
    folder = shared_data / "empiar-10499-ts254"
    series = read_tilt_series(folder / "00254.mrc", alignment=folder / "00254.xf")
    assert (series.n_tilts, series.pixel_angstrom, series.output_yx) == (41, 10.0, (630, 652))
    assert series.tilts_deg[[0, 20, 40]].tolist() == [-60.01, -0.01, 59.98]
    np.testing.assert_array_equal(series.alignment.shift_yx_px[0], [-2.191, -27.094])
    turn = np.rad2deg(np.arctan2(series.alignment.matrix_yx[0, 0, 1], series.alignment.matrix_yx[0, 0, 0]))
    assert turn == pytest.approx(4.3, abs=0.01)  # turns the axis at −4.3° onto y
    assert series.frame(20).mean() == pytest.approx(35, abs=15)


def test_a_real_haadf_series(shared_data, write):
    with pytest.warns(CryolitheWarning) as caught:
        series = read_tilt_series(shared_data / "haadf-needle" / "HAADF.mrc")
    assert series.pixel_angstrom == pytest.approx(33.6)
    np.testing.assert_array_equal(series.tilts_deg, np.arange(-76, 77, 2))
    told = " ".join(str(w.message) for w in caught)
    assert all(word in told for word in ("no map id", "machine stamp", "extended header", "nominal angles"))
    assert "angles in its extended header" in _quiet_guess(shared_data / "haadf-needle" / "HAADF.mrc")


def _quiet_guess(path):
    with pytest.warns(CryolitheWarning):
        return describe_stack(path)["guess"]


def test_all_views_that_hold_nothing_are_named_at_once(make_mrc, write):
    frame = 48 * 4
    raw = {1024 + view * frame: np.full(48, value, dtype="<f4").tobytes() for view, value in [(1, 0.0), (2, np.nan)]}
    series = read_tilt_series(make_mrc(raw=raw), angles=write("a.tlt", ANGLES))
    with pytest.raises(InputError, match=r"view 2 of .* is 0 everywhere; 2 of 5 views .* --exclude 2-3"):
        series.frame(1)
    nothing = read_tilt_series(make_mrc(raw={1024: bytes(5 * frame)}), angles=write("a.tlt", ANGLES))
    with pytest.raises(InputError, match=r"5 of 5 views hold nothing usable. Check how the stack was made"):
        nothing.frame(0)


def test_too_few_angles_are_refused_even_when_others_tell_which_are_meant(make_mrc, write):
    nominal = np.linspace(-40, 40, 9) ** 3 / 2000
    write("ts.tlt", "\n".join(f"{t:.2f}" for t in nominal))
    stack = make_mrc(shape=(9, 4, 4))
    few = write("few.tlt", "\n".join(f"{t:.2f}" for t in nominal[:-2]))
    with pytest.raises(InputError, match=r"few\.tlt has 7 rows, .* 9 views\. By .*ts\.tlt .*--exclude 8-9"):
        read_tilt_series(stack, angles=few)
    assert read_tilt_series(stack, angles=few, exclude=[8, 9]).n_tilts == 7
