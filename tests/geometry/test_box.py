"""Boxes: what a region's text means, and the laws of half-open boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Box

VOLUME = (5, 70, 80)


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("1:4,20:40,0:80", (1, 20, 0), (4, 40, 80)),
        (":,:,:", (0, 0, 0), VOLUME),
        ("2:,:10,30:", (2, 0, 30), (5, 10, 80)),
        (" 1 : 2 , 0:70 ,0 :1", (1, 0, 0), (2, 70, 1)),
    ],
)
def test_a_region_is_three_half_open_ranges_and_an_omitted_end_is_the_volumes(
    text: str, start: tuple[int, int, int], stop: tuple[int, int, int]
) -> None:
    assert Box.parse(text, VOLUME) == Box(start, stop)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1:2",
        "1:2,3:4",
        "1:2,3:4,5:6,7:8",
        "a:b,:,:",
        "1-2,:,:",
        "1:2:3,:,:",
        "-1:3,:,:",
        "0.5:2,:,:",
        "1,2,3",
        ":;:;:",
    ],
)
def test_a_text_that_is_no_region_is_refused_with_the_form_it_should_have(text: str) -> None:
    with pytest.raises(InputError, match="z0:z1,y0:y1,x0:x1"):
        Box.parse(text, VOLUME)


@pytest.mark.parametrize(
    ("text", "axis"),
    [("0:6,:,:", "z 0:6"), (":,3:3,:", "y 3:3"), (":,:,9:8", "x 9:8"), (":,70:,:", "y 70:70"), (":0,:,:", "z 0:0")],
)
def test_a_region_that_is_empty_or_leaves_the_volume_is_refused_by_axis(text: str, axis: str) -> None:
    with pytest.raises(InputError, match=axis):
        Box.parse(text, VOLUME)


@st.composite
def boxes_in_volumes(draw: st.DrawFn) -> tuple[Box, tuple[int, int, int]]:
    shape = draw(st.tuples(*[st.integers(1, 9)] * 3))
    start = tuple(draw(st.integers(0, n - 1)) for n in shape)
    stop = tuple(draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])), (shape[0], shape[1], shape[2])


@given(boxes_in_volumes())
def test_the_text_of_a_box_parses_to_the_same_box(case: tuple[Box, tuple[int, int, int]]) -> None:
    box, volume = case
    assert Box.parse(str(box), volume) == box


@given(boxes_in_volumes())
def test_shape_count_and_slices_are_those_of_the_array_that_a_box_cuts(case: tuple[Box, tuple[int, int, int]]) -> None:
    box, volume = case
    cut = np.zeros(volume)[box.slices]
    assert cut.shape == box.shape
    assert cut.size == box.n_voxels


@given(boxes_in_volumes(), st.tuples(*[st.integers(-20, 20)] * 3))
def test_a_shift_keeps_the_shape_and_is_undone_by_its_opposite(
    case: tuple[Box, tuple[int, int, int]], offset: tuple[int, int, int]
) -> None:
    box, _ = case
    moved = box.shifted(offset)
    assert moved.shape == box.shape
    assert moved.shifted((-offset[0], -offset[1], -offset[2])) == box


def test_the_whole_box_is_the_volume() -> None:
    assert Box.whole(VOLUME) == Box((0, 0, 0), VOLUME)
    assert Box.whole(VOLUME).n_voxels == 5 * 70 * 80
