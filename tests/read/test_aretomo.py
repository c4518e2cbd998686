"""AreTomo's alignments against what AreTomo does with them, and every way in which it numbers views."""

from __future__ import annotations

import numpy as np
import pytest

from cryolithe_stream.errors import CryolitheWarning, FormatError, UnsupportedError
from cryolithe_stream.read import read_angles
from cryolithe_stream.read.aretomo import read_aln


def aln(rows, dark=(), n=None, extra="", size="64 32"):
    """Text of an .aln file: `rows` (SEC, ROT, TX, TY, TILT), `dark` (place, SEC, tilt)."""
    lines = [
        "# AreTomo Alignment / Priims bprmMn",
        f"# RawSize = {size} {n or len(rows) + len(dark)}",
        "# NumPatches = 0",
    ]
    lines += [f"# DarkFrame =  {place:4d} {sec:4d} {tilt:8.2f}" for place, sec, tilt in dark]
    lines += [extra, "# SEC     ROT         GMAG       TX          TY      SMEAN     SFIT    SCALE     BASE     TILT"]
    lines += [f"{s:5d} {r:9.4f} 1.00000 {x:9.3f} {y:9.3f} 1.00 1.00 1.00 0.00 {t:8.2f}" for s, r, x, y, t in rows]
    return "\n".join(lines) + "\n"


def test_the_transforms_undo_what_aretomo_samples(data):
    """AreTomo fills pixel X of its output with the input at R(ROT)·X + T, from the centres (GCorrPatchShift.cu)."""
    folder = data / "alnfile-0.1.1"
    path = folder / "global_no_local.aln"
    solution = read_aln(path, 61)
    rows = np.array([line.split() for line in path.read_text().splitlines() if not line.startswith("#")], dtype=float)
    out_x, out_y = 100.0, -37.0
    for row, matrix_yx, shift_yx in zip(rows, solution.matrix_yx, solution.shift_yx_px, strict=True):
        cos, sin = np.cos(np.deg2rad(row[1])), np.sin(np.deg2rad(row[1]))
        in_x, in_y = out_x * cos - out_y * sin + row[3], out_x * sin + out_y * cos + row[4]
        np.testing.assert_allclose(matrix_yx @ (in_y, in_x) + shift_yx, (out_y, out_x), atol=1e-9)
    np.testing.assert_allclose(solution.angles.tilts_deg, read_angles(folder / "global_no_local.tlt"), atol=0.011)
    np.testing.assert_array_equal(solution.views, np.arange(61))
    assert solution.hint.thickness_px == 2050
    assert solution.solved_yx == solution.output_yx == (4096, 4096)


def test_a_shift_along_x_by_hand(write):
    """ROT 90°: A = R(−90°) turns +x into −y, and D = A·(−TX, −TY)."""
    solution = read_aln(write("a.aln", aln([(1, 90.0, 10.0, 0.0, -1.0), (2, 90.0, 0.0, 4.0, 1.0)])), 2)
    np.testing.assert_allclose(solution.matrix_yx[0] @ (0.0, 1.0), (-1.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(solution.shift_yx_px, [[10.0, 0.0], [0.0, -4.0]], atol=1e-12)
    assert solution.solved_yx == (32, 64)
    assert solution.output_yx == (64, 32)


def test_dark_frames_of_a_real_file_that_numbers_bright_views_only(data):
    with pytest.warns(CryolitheWarning, match=r"local alignment \(592 patch rows\) is not applied"):
        solution = read_aln(data / "alnfile-0.1.1" / "global_and_local.aln", 51)
    np.testing.assert_array_equal(solution.views, np.arange(14, 51))
    assert solution.notes["dark_frames"] == 14
    assert solution.angles.tilts_deg[0] == -27.71


@pytest.mark.parametrize("base", [0, 1])
def test_sec_numbers_the_raw_stack_from_0_or_from_1(write, base):
    """An unsorted stack (dose-symmetric), views 2 and 4 (0-based) dark."""
    raw = [0.0, 3.0, -3.0, 6.0, -6.0]
    rows = [(view + base, 0.0, 0.0, 0.0, raw[view]) for view in (0, 1, 3)]
    dark = [(1, 2 + base, -3.0), (0, 4 + base, -6.0)]
    solution = read_aln(write("a.aln", aln(rows, dark)), 5)
    np.testing.assert_array_equal(solution.views, [0, 1, 3])
    np.testing.assert_array_equal(solution.angles.tilts_deg, [0.0, 3.0, 6.0])


def test_rows_without_dark_frames_may_be_in_another_order_than_the_stack(write):
    rows = [(3, 0, 0, 0, -3.0), (1, 0, 0, 0, 0.0), (2, 0, 0, 0, 3.0)]
    np.testing.assert_array_equal(read_aln(write("a.aln", aln(rows)), 3).views, [2, 0, 1])


def test_the_stack_that_aretomo_wrote_without_dark_frames(write):
    rows = [(1, 0, 0, 0, -3.0), (3, 0, 0, 0, 3.0)]
    path = write("a.aln", aln(rows, [(1, 2, 0.0)]))
    np.testing.assert_array_equal(read_aln(path, 2).views, [0, 1])
    np.testing.assert_array_equal(read_aln(path, 3).views, [0, 2])


@pytest.mark.parametrize(
    ("text", "n_views", "message"),
    [
        (aln([(1, 0, 0, 0, 0), (2, 0, 0, 0, 3)], n=5), 5, "2 rows and 0 dark frames for a stack of 5"),
        (aln([(1, 0, 0, 0, 0), (2, 0, 0, 0, 3)]), 3, "is for 2 views .* the stack has 3"),
        (aln([(1, 0, 0, 0, 0), (1, 0, 0, 0, 3)]), 2, "SEC and DarkFrame do not number"),
        ("1 2 3\n", 2, "not an AreTomo"),
        ("# RawSize = 4 4 4\n", 2, "no rows of views"),
        ("# SEC\n1 0 1 0 0 1 1 1 0 0\n", 2, "no # RawSize"),
        ("# RawSize = 4 4\n", 2, "line 1"),
        ("# RawSize = 4 4 2\n# SEC\n1 2 3\n", 2, "line 3"),
        ("# RawSize = 4 4 2\n# SEC\n1 0 1 0 0 1 1 1 0 nan\n", 2, "finite"),
    ],
)
def test_damaged_files_are_refused(write, text, n_views, message):
    with pytest.raises(FormatError, match=message):
        read_aln(write("a.aln", text), n_views)


def test_magnification_is_refused_by_name(write):
    text = aln([(1, 0, 0, 0, 0), (2, 0, 0, 0, 3)]).replace("1.00000", "1.01000")
    with pytest.raises(UnsupportedError, match="GMAG"):
        read_aln(write("a.aln", text), 2)


@pytest.mark.parametrize("name", ["test.aln", "test_thickness.aln"])
def test_the_excerpts_of_cryoet_alignment_are_cut_short(data, name):
    with pytest.raises(FormatError, match="4 rows and 4 dark frames for a stack of 90 views"):
        read_aln(data / "cryoet_alignment-0.2.0" / name, 90)
