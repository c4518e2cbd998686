"""Rows of an alignment find their views by angle, or nothing is said."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.read.match import match_by_angle

GRID = np.arange(-60.0, 61.0, 3.0)


def test_views_missing_from_the_inside(data=None):
    left = np.delete(np.arange(41), [7, 30])
    np.testing.assert_array_equal(match_by_angle(GRID[left] + 2.87, GRID), left)


def test_views_missing_at_the_end_of_an_even_grid_are_found_only_without_offset():
    np.testing.assert_array_equal(match_by_angle(GRID[3:], GRID), np.arange(3, 41))
    assert match_by_angle(GRID[3:] + 1.2, GRID) is None
    assert match_by_angle(GRID[:-5] + 12.3, GRID) is None


def test_an_uneven_grid_tells_the_offset_apart():
    nominal = GRID + np.random.default_rng(3).normal(0, 0.02, 41)
    np.testing.assert_array_equal(match_by_angle(nominal[4:] + 12.3, nominal), np.arange(4, 41))


def test_unsorted_stacks():
    nominal = np.array([0.0, 3.0, -3.0, -6.0, 6.0, 9.0, -9.0])
    rows = np.array([-9.0, -6.0, 0.0, 3.0, 6.0, 9.0])
    np.testing.assert_array_equal(match_by_angle(rows, nominal), [6, 3, 0, 1, 4, 5])


def test_views_of_one_angle_compete():
    nominal = np.array([-6.0, -3.0, 0.0, 0.0, 3.0, 6.0])
    assert match_by_angle(np.array([-6.0, -3.0, 0.0, 3.0, 6.0]), nominal) is None
    np.testing.assert_array_equal(match_by_angle(np.array([-6.0, 0.0, 0.0, 3.0, 6.0]), nominal), [0, 2, 3, 4, 5])


def test_angles_of_another_series_do_not_match():
    assert match_by_angle(np.arange(-50.0, 50.0, 5.0), GRID) is None
    assert match_by_angle(np.zeros(3), np.zeros(5)) is None
    assert match_by_angle(GRID, GRID[:-1]) is None


@given(st.data())
def test_a_match_is_never_wrong(data):
    """Whatever was left out and whatever offset was added, the answer is right or there is none."""
    steps = data.draw(st.lists(st.floats(1.0, 5.0), min_size=4, max_size=30))
    nominal = np.cumsum(steps) - np.sum(steps) / 2
    order = np.random.default_rng(len(steps)).permutation(len(nominal))
    nominal = nominal[order]
    keep = sorted(data.draw(st.sets(st.integers(0, len(nominal) - 1), min_size=3)))
    offset = data.draw(st.floats(-0.09, 0.09))
    views = match_by_angle(nominal[keep] + offset, nominal)
    assert views is None or views.tolist() == keep
