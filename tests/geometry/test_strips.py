"""Strips hold every detector pixel that a box can read, and hardly any other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.geometry import (
    Box,
    Floats,
    SampleGrid,
    StripLayout,
    VolumeFrame,
    column_ranges,
    row_range,
    strips_for_grid,
)

sides = st.integers(1, 14)
halos = st.sampled_from([0.0, 0.5, 1.0, 2.25, 5.0])
angles = st.lists(st.floats(-90, 90), min_size=1, max_size=6).map(np.array)


@st.composite
def grids(draw: st.DrawFn) -> SampleGrid:
    """A box of voxels or of wavelet coefficients of some volume, on the true or the public grid."""
    volume = draw(st.tuples(sides, sides, sides))
    side = max(volume)
    public = draw(st.booleans())
    frame = VolumeFrame(
        volume,
        (side, side) if public else draw(st.tuples(st.integers(1, 20), st.integers(1, 20))),
        axis_offset_px=draw(st.floats(-2, 2)),
        shift_zx_px=(draw(st.floats(-2, 2)), 0.0),
        grid="public" if public else "true",
    )
    nz, ny, nx = volume
    counts = (nz // 2 + 1, ny // 2 + 1, nx // 2 + 1)
    whole = frame.coefficients(counts, (2.0, -0.5)) if draw(st.booleans()) else frame.voxels()
    start = [draw(st.integers(0, n - 1)) for n in whole.shape]
    stop = [draw(st.integers(a + 1, n)) for a, n in zip(start, whole.shape, strict=True)]
    return whole.cut(Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])))


def pixels_read(places: Floats, halo: float) -> tuple[int, int]:
    """First and last pixel that linear interpolation reads at any place and up to `halo` on both sides of it."""
    samples = [p + s for p in places.ravel() for s in (-halo, -halo / 3, 0.0, halo / 3, halo)]
    read = [q for s in samples for q in (int(np.floor(s)), int(np.floor(s)) + 1)]
    return min(read), max(read)


@given(grids(), angles, halos, halos)
def test_strips_hold_every_pixel_that_brute_force_reads_and_at_most_two_more(
    grid: SampleGrid, tilts_deg: Floats, halo_y: float, halo_x: float
) -> None:
    layout = strips_for_grid(grid, tilts_deg, halo_yx_px=(halo_y, halo_x))
    first, last = pixels_read(grid.row_px, halo_y)
    assert layout.first_row <= first
    assert layout.first_row + layout.n_rows > last
    assert layout.n_rows <= last + 1 - first + 2
    needed = [pixels_read(u, halo_x) for u in grid.columns(tilts_deg)]
    for start, (first, last) in zip(layout.first_column, needed, strict=True):
        assert start <= first
        assert start + layout.n_columns > last
        assert first - start <= 2
    assert layout.n_columns <= max(last + 1 - first for first, last in needed) + 2


@given(grids(), angles, halos)
def test_each_tilt_has_a_range_of_its_own_width_and_the_strip_is_as_wide_as_the_widest(
    grid: SampleGrid, tilts_deg: Floats, halo: float
) -> None:
    ranges = column_ranges(grid, tilts_deg, halo_px=halo)
    layout = strips_for_grid(grid, tilts_deg, halo_yx_px=(0.0, halo))
    assert layout.n_columns == (ranges[:, 1] - ranges[:, 0]).max()
    np.testing.assert_array_equal(layout.first_column, ranges[:, 0])
    assert layout.shape == (len(tilts_deg), layout.n_rows, layout.n_columns)


@given(st.integers(2, 20), st.integers(2, 20), angles, halos, st.data())
def test_the_ranges_of_two_halves_unite_to_the_range_of_the_whole(
    nz: int, nx: int, tilts_deg: Floats, halo: float, data: st.DataObject
) -> None:
    whole = VolumeFrame((nz, 1, nx), (5, 30)).voxels()
    if data.draw(st.booleans()):
        cut = data.draw(st.integers(1, nx - 1))
        boxes = [Box((0, 0, 0), (nz, 1, cut)), Box((0, 0, cut), (nz, 1, nx))]
    else:
        cut = data.draw(st.integers(1, nz - 1))
        boxes = [Box((0, 0, 0), (cut, 1, nx)), Box((cut, 0, 0), (nz, 1, nx))]
    a, b = (column_ranges(whole.cut(box), tilts_deg, halo_px=halo) for box in boxes)
    union = np.stack([np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1])], axis=1)
    np.testing.assert_array_equal(union, column_ranges(whole, tilts_deg, halo_px=halo))


@given(grids(), angles, halos, halos)
def test_a_wider_halo_never_needs_less(grid: SampleGrid, tilts_deg: Floats, a: float, b: float) -> None:
    small, large = (column_ranges(grid, tilts_deg, halo_px=h) for h in sorted((a, b)))
    assert (large[:, 0] <= small[:, 0]).all()
    assert (large[:, 1] >= small[:, 1]).all()
    (low_in, high_in), (low_out, high_out) = (row_range(grid, halo_px=h) for h in sorted((a, b)))
    assert low_out <= low_in < high_in <= high_out


def test_untilted_a_box_reads_its_own_columns_and_the_next_one() -> None:
    grid = VolumeFrame((6, 10, 10), (10, 10)).voxels().cut(Box((0, 2, 3), (6, 5, 7)))
    np.testing.assert_array_equal(column_ranges(grid, np.zeros(1), halo_px=0.0), [[3, 8]])
    assert row_range(grid, halo_px=0.0) == (2, 6)
    assert row_range(grid, halo_px=2.0) == (0, 8)


def test_a_strip_at_60_degrees_is_as_wide_as_the_box_seen_from_there() -> None:
    """A box of 101 × 41 voxels spans 100·½ + 40·√3/2 = 84.6 columns around the axis at column 150."""
    grid = VolumeFrame((41, 1, 101), (1, 301)).voxels()
    np.testing.assert_array_equal(column_ranges(grid, np.array([60.0]), halo_px=0.0), [[107, 194]])


def test_pixels_off_the_detector_are_not_stored() -> None:
    layout = StripLayout(-2, 5, np.array([-3, 4, 8, -20, 30]), 6)
    assert layout.stored_pixels((10, 10)) == 3 * (3 + 6 + 2 + 0 + 0)
    assert layout.stored_pixels((2, 10)) == 2 * 11
    assert StripLayout(10, 4, np.array([0]), 6).stored_pixels((10, 10)) == 0


@pytest.mark.parametrize("halo", [0.0, 3.0])
def test_the_whole_volume_at_zero_tilt_stores_the_whole_detector(halo: float) -> None:
    grid = VolumeFrame((4, 12, 9), (12, 9)).voxels()
    layout = strips_for_grid(grid, np.zeros(1), halo_yx_px=(halo, halo))
    assert layout.stored_pixels((12, 9)) == 12 * 9
