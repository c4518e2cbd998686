"""Laws of the one resampling that aligns and bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import InputError
from cryolithe_stream.prepare import resample, resampling


def turned(degrees, magnification=1.0):
    """Matrix (y, x) of a turn and magnification."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return magnification * np.array([[c, -s], [s, c]])


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(30, 8, shape).astype(np.float32)


def band_limited(shape, highest, seed=0, centre_yx=(0.0, 0.0)):
    """A sum of localised waves below `highest` cycles/pixel, as a function of places from the frame's centre."""
    rng = np.random.default_rng(seed)
    waves = [
        (rng.uniform(-0.1, 0.1, 2) * min(shape), rng.uniform(-highest, highest, 2), rng.uniform(0, 6.28))
        for _ in range(12)
    ]
    sigma = min(shape) / 12

    def image(y, x):
        total = 0.0
        for (cy, cx), (fy, fx), phase in waves:
            dy, dx = y - cy, x - cx
            total = total + np.exp(-(dy**2 + dx**2) / (2 * sigma**2)) * np.cos(
                6.283185307 * (fy * dy + fx * dx) + phase
            )
        return total

    return image


def places(shape, step=1.0):
    """Distances (y, x) of pixels from the centre of a frame, in raw pixels."""
    return np.meshgrid(*((np.arange(n) - (n - 1) / 2) * step for n in shape), indexing="ij")


def test_nothing_to_do_returns_the_frame_bit_for_bit():
    frame = noise((31, 44))
    assert resample(frame, resampling((31, 44), (31, 44), 1)) is frame


@given(dy=st.integers(-12, 12), dx=st.integers(-12, 12), shape=st.tuples(st.integers(9, 24), st.integers(9, 24)))
@settings(max_examples=40, deadline=None)
def test_whole_shift_moves_pixels_unchanged(dy, dx, shape):
    frame = noise(shape)
    moved = resample(frame, resampling(shape, shape, 1, shift_yx_px=np.array([dy, dx])))
    rows, columns = (np.arange(n) - d for n, d in zip(shape, (dy, dx), strict=True))
    inside = ((rows >= 0) & (rows < shape[0]))[:, None] & ((columns >= 0) & (columns < shape[1]))
    whole = frame[np.clip(rows, 0, shape[0] - 1)][:, np.clip(columns, 0, shape[1] - 1)]
    np.testing.assert_array_equal(moved[inside], whole[inside])


@pytest.mark.parametrize("shape", [(20, 20), (21, 21), (20, 23)])
@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_quarter_turns_are_exact(shape, quarter_turns):
    frame = noise(shape)
    expected = np.rot90(frame, quarter_turns)
    way = resampling(shape, expected.shape, 1, matrix_yx=turned(90.0 * quarter_turns))
    np.testing.assert_array_equal(resample(frame, way), expected)


@pytest.mark.parametrize("binning", [1, 2, 3])
@pytest.mark.parametrize("degrees", [0.0, 7.0, 84.0])
def test_constant_stays_constant(binning, degrees):
    way = resampling((40, 50), (44, 52), binning, matrix_yx=turned(degrees), shift_yx_px=np.array([3.3, -9.0]))
    np.testing.assert_array_equal(resample(np.full((40, 50), 7.25, np.float32), way), np.float32(7.25))


@pytest.mark.parametrize("binning", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(64, 64), (65, 64), (66, 67), (63, 70)])
@pytest.mark.parametrize("degrees", [0.0, 4.3, 90.0])
def test_centre_is_kept(shape, binning, degrees):
    y, x = places(shape)
    frame = np.exp(-(y**2 + x**2) / (2 * (1.5 * binning + 1) ** 2)).astype(np.float32)
    image = resample(frame, resampling(shape, shape, binning, matrix_yx=turned(degrees))).astype(float)
    assert image.shape == tuple(n // binning for n in shape)
    weights = image * (image > 1e-3)
    for axis, n in enumerate(image.shape):
        places_along = np.arange(n) - (n - 1) / 2
        centre = (weights.sum(axis=1 - axis) * places_along).sum() / weights.sum()
        assert abs(centre) < 2e-3


@pytest.mark.parametrize("binning", [1, 2, 3])
def test_a_bead_goes_where_the_alignment_says(binning):
    shape_in, shape_out = (90, 110), (120, 100)
    matrix, shift = turned(12.0, 1.03), np.array([6.3, -4.9])
    bead = np.array([31.0, 70.0])
    y, x = np.mgrid[: shape_in[0], : shape_in[1]]
    frame = np.exp(-((y - bead[0]) ** 2 + (x - bead[1]) ** 2) / (2 * 4.0**2)).astype(np.float32)
    image = resample(frame, resampling(shape_in, shape_out, binning, matrix_yx=matrix, shift_yx_px=shift)).astype(float)
    centre_in, centre_out = ((np.array(s) - 1) / 2 for s in (shape_in, shape_out))
    expected = (matrix @ (bead - centre_in) + shift) / binning + (np.array(image.shape) - 1) / 2
    weights = image**4
    found = np.array([(weights * at).sum() for at in np.indices(image.shape)]) / weights.sum()
    np.testing.assert_allclose(found, expected, atol=5e-3)
    assert binning > 1 or np.allclose(expected, matrix @ (bead - centre_in) + shift + centre_out)


@pytest.mark.parametrize("binning", [1, 2, 3, 4])
def test_unturned_image_is_exact(binning):
    shape = (48 * binning + 1, 50 * binning)
    image, shift = band_limited(shape, 0.25 / binning), np.array([2.37, -1.61])
    way = resampling(shape, shape, binning, shift_yx_px=shift)
    y, x = places(way.output_yx, binning)
    found, expected = resample(image(*places(shape)).astype(np.float32), way), image(y - shift[0], x - shift[1])
    np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-4)


@pytest.mark.parametrize("binning", [1, 2, 3])
@pytest.mark.parametrize("degrees", [4.3, -40.0, 85.0])
def test_turned_image_is_near_exact(binning, degrees):
    shape = (60 * binning, 61 * binning)
    image, shift, matrix = band_limited(shape, 0.25 / binning), np.array([2.37, -1.61]), turned(degrees, 1.01)
    way = resampling(shape, shape, binning, matrix_yx=matrix, shift_yx_px=shift)
    y, x = places(way.output_yx, binning)
    inverse = np.linalg.inv(matrix)
    at = np.tensordot(inverse, np.stack([y - shift[0], x - shift[1]]), 1)
    expected = image(*at)
    found = resample(image(*places(shape)).astype(np.float32), way)
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 2e-3


def test_two_half_shifts_are_one_shift():
    shape = (64, 70)
    frame = band_limited(shape, 0.25)(*places(shape)).astype(np.float32)
    half = resampling(shape, shape, 1, shift_yx_px=np.array([0.5, -0.5]))
    whole = resampling(shape, shape, 1, shift_yx_px=np.array([1.0, -1.0]))
    twice = resample(resample(frame, half), half)
    np.testing.assert_allclose(twice[10:-10, 10:-10], resample(frame, whole)[10:-10, 10:-10], atol=2e-5)


@pytest.mark.parametrize("degrees", [0.0, 4.3])
def test_what_the_output_cannot_hold_is_gone(degrees):
    binning, shape = 3, (192, 192)
    y, x = places(shape)
    for cycles in (0.6, 0.8, 1.0, 1.3):
        wave = (np.exp(-(y**2 + x**2) / 800) * np.cos(6.283185307 * cycles / binning * y)).astype(np.float32)
        image = resample(wave, resampling(shape, shape, binning, matrix_yx=turned(degrees)))
        assert np.abs(image).max() < 2e-3


def test_binned_noise_has_the_variance_of_its_pass_band():
    frame = noise((256, 256))
    image = resample(frame, resampling(frame.shape, frame.shape, 2))
    share = (2 * (0.45 + 0.05 * 13 / 35)) ** 2  # the mean square of the roll-off is 13/35
    assert image.std() ** 2 == pytest.approx(8**2 / 4 * share, rel=0.03)


def test_outside_of_the_frame_stands_its_mean():
    frame = noise((40, 40))
    image = resample(frame, resampling((40, 40), (120, 120), 1, matrix_yx=turned(10.0)))
    np.testing.assert_allclose(image[:20], frame.mean(), atol=0.05)
    np.testing.assert_allclose(image[-20:], frame.mean(), atol=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 3)])
def test_frames_smaller_than_the_border(shape):
    image = resample(noise(shape), resampling(shape, shape, 1, matrix_yx=turned(3.0), shift_yx_px=np.array([0.2, 0.1])))
    assert image.shape == shape
    assert np.isfinite(image).all()


def test_threads_change_nothing():
    frame, way = noise((200, 150)), resampling((200, 150), (150, 200), 1, matrix_yx=turned(85.0))
    np.testing.assert_array_equal(resample(frame, way, threads=1), resample(frame, way, threads=3))


@pytest.mark.parametrize("binning", [0, -1, 33])
def test_binning_that_leaves_nothing_is_refused(binning):
    with pytest.raises(InputError, match="binning of"):
        resampling((64, 32), (64, 32), binning)


def test_singular_matrix_is_refused():
    with pytest.raises(InputError, match="cannot be inverted"):
        resampling((8, 8), (8, 8), 1, matrix_yx=np.zeros((2, 2)))
