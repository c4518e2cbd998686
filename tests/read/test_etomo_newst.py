"""Transforms of newstack: what its command file does to them, against its own formulas."""

from __future__ import annotations

import numpy as np
import pytest
from etomo_support import newst_com, tilt_com

from cryolithe_stream.errors import (
    FormatError,
    UnsupportedError,
)
from cryolithe_stream.read import read_tilt_series
from cryolithe_stream.read.newst import read_newst


def newst_point(point_xy, matrix, shift, offset, n_in, n_out, binning):
    """Where newstack puts a pixel: binned coordinates from the centres, D and offset divided by the binning."""
    inside = (np.array(point_xy) + 0.5) / binning - np.array(n_in) / 2 / binning
    return matrix @ inside + (np.array(shift) - offset) / binning + np.array(n_out) / 2 - 0.5


@pytest.mark.parametrize("binning", [1, 2])
def test_offsets_size_and_binning_of_newst_are_honoured(write, binning):
    """A raw pixel lands where newstack puts it, in pixels of the binned output."""
    turn = np.deg2rad(20.0)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift, offset, n_in, n_out = (3.0, -2.0), (1.5, 4.0), (8, 6), (10, 4)
    write("ts.xf", " ".join(f"{v:.9f}" for v in (*matrix.ravel(), *shift)))
    lines = (f"OffsetsInXandY {offset[0]},{offset[1]}", "SizeToOutputInXandY 10,4", f"BinByFactor {binning}")
    newst = read_newst(write("newst.com", newst_com(*lines)))
    assert newst.output_yx == (4 * binning, 10 * binning)
    point = (5.0, 1.0)
    centred = np.array(point[::-1]) - (np.array(n_in[::-1]) - 1) / 2
    moved = newst.matrix_yx[0] @ centred + newst.shift_yx_px[0] + (np.array(newst.output_yx) - 1) / 2
    expected = newst_point(point, matrix, shift, offset, n_in, n_out, binning)
    np.testing.assert_allclose((moved[::-1] + 0.5) / binning - 0.5, expected, atol=1e-8)


def test_offsets_that_newst_applies_first_turn_with_the_image(write):
    write("ts.xf", "0 -1 1 0 0 0\n")
    lines = ("OffsetsInXandY 3 0", "ApplyOffsetsFirst")
    np.testing.assert_allclose(read_newst(write("newst.com", newst_com(*lines))).shift_yx_px, [[-3.0, 0.0]])


@pytest.mark.parametrize(
    "line", ["RotateByAngle 90", "ExpandByFactor 2", "ShrinkByFactor 2", "SectionsToRead 0-3", "DistortionField a.idf"]
)
def test_newst_that_moves_images_otherwise_is_refused_by_name(project, line):
    stack = project(newst=newst_com(line))
    with pytest.raises(UnsupportedError, match=line.split()[0].upper()):
        read_tilt_series(stack, alignment=stack.parent)


@pytest.mark.parametrize("line", ["BinByFactor 0", "BinByFactor 1.5", "SizeToOutputInXandY 4", "OffsetsInXandY a b"])
def test_newst_that_makes_no_sense(project, line):
    stack = project(newst=newst_com(line))
    with pytest.raises(FormatError, match=line.split()[0].upper()):
        read_tilt_series(stack, alignment=stack.parent)


def test_etomo_s_default_size_and_the_size_of_a_detector_that_is_turned(project, write):
    """Etomo swaps the sides of the output for an axis near x, and sets SUBSETSTART so that it is centred."""
    tilt = tilt_com("THICKNESS 4", "SUBSETSTART 1 -1")
    stack = project(tilt=tilt, newst=newst_com("SizeToOutputInXandY 6,8"))
    write("ts.xf", "0 -1 1 0 0 0\n" * 5)
    series = read_tilt_series(stack, alignment=stack.parent)
    assert series.output_yx == (8, 6)
    assert series.hint.axis_offset_px == 0.0
    assert read_tilt_series(stack, alignment=stack.parent / "ts.xf").output_yx == (8, 6)
