"""Facts of the frame, solved by hand: centres, sign of the tilt, handedness, sample spacings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.geometry import Box, Floats, SampleGrid, VolumeFrame

TILTS = np.array([-90.0, -60.0, -17.3, 0.0, 3.0, 45.0, 90.0])

frames = st.builds(
    VolumeFrame,
    volume_zyx=st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8)),
    detector_yx=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    axis_offset_px=st.floats(-3, 3),
    shift_zx_px=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)


def columns(frame: VolumeFrame, *tilts_deg: float) -> Floats:
    """Detector columns `(tilt, z, x)` of a frame's voxels."""
    return frame.voxels().columns(np.array(tilts_deg))


def test_the_centre_voxel_of_odd_sides_is_seen_at_the_centre_of_the_detector_at_every_angle() -> None:
    grid = VolumeFrame((5, 7, 9), (7, 9)).voxels()
    np.testing.assert_allclose(grid.columns(TILTS)[:, 2, 4], 4.0)
    assert grid.row_px[3] == 3.0


@pytest.mark.parametrize("n", [6, 7])
def test_untilted_a_voxel_is_seen_at_its_own_column_and_row_whatever_its_depth(n: int) -> None:
    grid = VolumeFrame((4, n, n), (n, n)).voxels()
    np.testing.assert_allclose(grid.columns(np.zeros(1))[0], np.tile(np.arange(n), (4, 1)))
    np.testing.assert_allclose(grid.row_px, np.arange(n))


def test_a_volume_smaller_than_the_detector_lies_at_its_centre() -> None:
    grid = VolumeFrame((1, 4, 4), (10, 10)).voxels()
    np.testing.assert_allclose(grid.columns(np.zeros(1))[0, 0], [3, 4, 5, 6])
    np.testing.assert_allclose(grid.row_px, [3, 4, 5, 6])


def test_at_a_positive_tilt_what_lies_at_larger_z_is_seen_at_larger_columns() -> None:
    u = columns(VolumeFrame((3, 1, 3), (1, 21)), 30.0, -30.0)
    np.testing.assert_allclose(u[0, :, 1], [10 - 0.5, 10, 10 + 0.5])
    np.testing.assert_allclose(u[1, :, 1], [10 + 0.5, 10, 10 - 0.5])


def test_at_plus_90_degrees_columns_are_depths_and_at_minus_90_mirrored_depths() -> None:
    u = columns(VolumeFrame((5, 1, 3), (1, 5)), 90.0, -90.0)
    np.testing.assert_allclose(u[0], np.arange(5)[:, None] * np.ones(3), atol=1e-12)
    np.testing.assert_allclose(u[1], np.arange(5)[::-1, None] * np.ones(3), atol=1e-12)


def test_at_60_degrees_a_step_in_x_is_half_a_column_and_a_step_in_z_is_root_three_halves() -> None:
    u = columns(VolumeFrame((4, 1, 4), (1, 9)), 60.0)[0]
    np.testing.assert_allclose(np.diff(u, axis=1), 0.5)
    np.testing.assert_allclose(np.diff(u, axis=0), np.sqrt(3) / 2)


def test_two_beads_tell_the_hand_from_its_mirror_image() -> None:
    """Bead A lies at x = +3, z = +4 from the axis; the mirrored volume has it at z = −4.

    At the angle whose tangent is 4/3 the line of sight of the true volume is 5 pixels off the axis, of the mirrored
    one 3·0.6 − 4·0.8 = −1.4: a mirrored frame cannot pass.
    """
    frame = VolumeFrame((9, 1, 7), (1, 21))
    u = columns(frame, np.degrees(np.arctan2(4, 3)))[0]
    assert u[8, 6] == pytest.approx(10 + 5)
    assert u[0, 6] == pytest.approx(10 - 1.4)


def test_the_tilt_axis_runs_along_y_so_rows_and_columns_do_not_mix() -> None:
    grid = VolumeFrame((3, 6, 4), (6, 8)).voxels()
    assert grid.columns(TILTS).shape == (len(TILTS), 3, 4)
    np.testing.assert_allclose(np.diff(grid.row_px), 1.0)


@given(frames, st.floats(-90, 90))
def test_a_volume_mirrored_in_z_is_seen_as_the_same_at_the_opposite_tilt(frame: VolumeFrame, tilt: float) -> None:
    grid = frame.voxels()
    mirrored = SampleGrid(-grid.z_px, grid.row_px, grid.x_px, grid.axis_px)
    np.testing.assert_allclose(mirrored.columns(np.array([-tilt])), grid.columns(np.array([tilt])), atol=1e-9)


@given(frames, st.floats(-90, 90))
def test_half_a_turn_mirrors_the_projection_at_the_axis(frame: VolumeFrame, tilt: float) -> None:
    grid = frame.voxels()
    here, there = grid.columns(np.array([tilt, tilt + 180])) - grid.axis_px
    np.testing.assert_allclose(there, -here, atol=1e-9)


@given(frames, st.floats(-90, 90))
def test_u_is_x_cos_plus_z_sin_plus_the_axis(frame: VolumeFrame, tilt: float) -> None:
    (nz, ny, nx), (rows, width), theta = frame.volume_zyx, frame.detector_yx, np.deg2rad(tilt)
    shift_z, shift_x = frame.shift_zx_px
    u = columns(frame, tilt)[0]
    for z, x in [(0, 0), (nz - 1, 0), (0, nx - 1), (nz - 1, nx - 1)]:
        across = (x - (nx - 1) / 2 + shift_x) * np.cos(theta) + (z - (nz - 1) / 2 + shift_z) * np.sin(theta)
        assert u[z, x] == pytest.approx(across + (width - 1) / 2 + frame.axis_offset_px, abs=1e-9)
    assert frame.voxels().row_px[0] == pytest.approx((rows - ny) / 2)


def test_an_axis_offset_moves_every_column_and_a_shift_of_the_volume_follows_the_tilt() -> None:
    still = columns(VolumeFrame((3, 1, 5), (1, 11)), 0.0, 90.0)
    axis = columns(VolumeFrame((3, 1, 5), (1, 11), axis_offset_px=1.5), 0.0, 90.0)
    moved = columns(VolumeFrame((3, 1, 5), (1, 11), shift_zx_px=(2.0, 0.25)), 0.0, 90.0)
    np.testing.assert_allclose(axis - still, 1.5)
    np.testing.assert_allclose((moved - still)[0], 0.25)
    np.testing.assert_allclose((moved - still)[1], 2.0)


@given(frames, st.data())
def test_the_columns_of_a_cut_are_the_cut_of_the_columns(frame: VolumeFrame, data: st.DataObject) -> None:
    start = tuple(data.draw(st.integers(0, n - 1)) for n in frame.volume_zyx)
    stop = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(start, frame.volume_zyx, strict=True))
    box = Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))
    grid, (z, y, x) = frame.voxels(), box.slices
    np.testing.assert_array_equal(grid.cut(box).columns(TILTS), grid.columns(TILTS)[:, z, x])
    np.testing.assert_array_equal(grid.cut(box).row_px, grid.row_px[y])
    assert grid.cut(box).shape == box.shape


@pytest.mark.parametrize("n", [8, 9])
def test_haar_coefficients_lie_midway_between_two_voxels(n: int) -> None:
    """A haar low-pass coefficient averages voxels 2k and 2k + 1, so it lies at 2k + ½."""
    frame = VolumeFrame((n, n, n), (n, n))
    grid, voxels = frame.coefficients((4, 4, 4), (2.0, 0.5)), frame.voxels()
    for ours, theirs in [(grid.x_px, voxels.x_px), (grid.z_px, voxels.z_px), (grid.row_px, voxels.row_px)]:
        np.testing.assert_allclose(ours, (theirs[0:8:2] + theirs[1:8:2]) / 2)


def test_bior31_coefficients_of_an_even_side_start_half_a_voxel_before_it() -> None:
    frame = VolumeFrame((8, 8, 8), (8, 8))
    grid = frame.coefficients((5, 5, 5), (2.0, -0.5))
    np.testing.assert_allclose(grid.row_px, [-0.5, 1.5, 3.5, 5.5, 7.5])
    np.testing.assert_allclose(grid.x_px, [-4.0, -2.0, 0.0, 2.0, 4.0])


@pytest.mark.parametrize(("n", "nz"), [(64, 32), (65, 17), (100, 100)])
def test_the_public_grid_has_unit_spacing_across_and_its_own_in_depth(n: int, nz: int) -> None:
    """Spacing nz(n − 1)/(n(nz − 1)) along z: `linspace(-1, 1, nz)·nz/n` in units of (n − 1)/2 pixels."""
    grid = VolumeFrame((nz, n, n), (n, n), grid="public").voxels()
    true = VolumeFrame((nz, n, n), (n, n)).voxels()
    np.testing.assert_allclose(grid.x_px, true.x_px, atol=1e-12)
    np.testing.assert_allclose(grid.row_px, true.row_px, atol=1e-12)
    np.testing.assert_allclose(np.diff(grid.z_px), nz * (n - 1) / (n * (nz - 1)))
    assert grid.z_px[0] == pytest.approx(-grid.z_px[-1])
    assert abs(grid.z_px[0] - true.z_px[0]) <= 0.5


def test_the_public_coefficients_span_the_detector_by_their_own_counts() -> None:
    """64 voxels have 33 bior3.1 coefficients, 32 deep 17: linspace(-1, 1, 17)·17/33 in half sides of 31.5 pixels."""
    grid = VolumeFrame((32, 64, 64), (64, 64), grid="public").coefficients((17, 33, 33), (2.0, -0.5))
    np.testing.assert_allclose(grid.x_px, np.linspace(-31.5, 31.5, 33))
    np.testing.assert_allclose(grid.row_px, np.linspace(0, 63, 33), atol=1e-12)
    np.testing.assert_allclose(grid.z_px, np.linspace(-31.5, 31.5, 17) * 17 / 33)
