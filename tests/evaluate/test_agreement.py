"""Signal-to-noise ratio, correlation and error after the best affine fit."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from evaluate_support import coloured, noise
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import CryolitheWarning, InputError
from cryolithe_stream.evaluate import ArrayVolume, Region, agreement, compare, correlation, snr_db
from cryolithe_stream.evaluate.volumes import pieces
from cryolithe_stream.geometry import Box

SHAPES = st.tuples(st.integers(2, 9), st.integers(2, 9), st.integers(2, 9))


@pytest.mark.parametrize("level_db", [-10.0, -5.0, 0.0, 12.0])
def test_of_a_known_noise_level(level_db):
    truth = coloured((40, 40, 40), 1)
    estimate = truth + 10 ** (-level_db / 20) * noise(truth.shape, 2)
    ratio = 10 ** (level_db / 10)
    # The fit takes the noisy estimate back by the share of it that is signal: var/residual is 1 + SNR.
    assert snr_db(estimate, truth) == pytest.approx(10 * math.log10(1 + ratio), abs=0.1)
    assert correlation(estimate, truth) == pytest.approx(math.sqrt(ratio / (1 + ratio)), abs=0.01)
    found = agreement(estimate, truth)
    assert found.rmse == pytest.approx(math.sqrt(1 / (1 + ratio)), abs=0.01)
    assert found.scale == pytest.approx(ratio / (1 + ratio), abs=0.02)


@settings(max_examples=50)
@given(shape=SHAPES, seed=st.integers(0, 999), scale=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_it_is_the_least_squares_fit_whatever_the_units(shape, seed, scale, offset):
    a, b = noise(shape, seed).astype(np.float64), noise(shape, seed + 1).astype(np.float64)
    assume(a.size > 8)
    found = agreement(a, b)
    design = np.stack([a.ravel().astype(np.float32), np.ones(a.size)], axis=1).astype(np.float64)
    (slope, intercept), *_ = np.linalg.lstsq(design, b.ravel(), rcond=None)
    residual = design @ [slope, intercept] - b.ravel()
    assert found.scale == pytest.approx(slope, abs=1e-6)
    assert found.offset == pytest.approx(intercept, abs=1e-6)
    assert found.rmse == pytest.approx(math.sqrt((residual**2).mean()), rel=1e-4)
    assert found.snr_db == pytest.approx(10 * math.log10(b.var() / (residual**2).mean()), abs=1e-3)
    assert found.correlation == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1], abs=1e-6)
    changed = agreement((scale * a + offset), b)
    assert changed.snr_db == pytest.approx(found.snr_db, abs=0.05)
    swapped = agreement(b, a)
    assert (swapped.snr_db, swapped.correlation) == pytest.approx((found.snr_db, found.correlation), abs=1e-6)


@settings(max_examples=50)
@given(
    shape=SHAPES,
    start=st.tuples(*[st.integers(0, 7)] * 3),
    chunk=st.tuples(*[st.integers(1, 5)] * 3),
    most=st.integers(1, 200),
)
def test_pieces_tile_a_box_and_end_with_chunks(shape, start, chunk, most):
    box = Box.whole(shape).shifted(start)
    count = np.zeros([a + b for a, b in zip(start, shape, strict=True)], int)
    for piece in pieces(box, chunk, most_voxels=most):
        count[piece.slices] += 1
        for axis in (0, 1):
            assert piece.stop[axis] == box.stop[axis] or piece.stop[axis] % chunk[axis] == 0
    assert (count[box.slices] == 1).all()
    assert count.sum() == box.n_voxels


def test_an_exact_fit_is_infinite_and_none_in_json():
    truth = coloured((12, 13, 14), 1)
    found = agreement(1 - 2 * truth, truth)
    assert (found.snr_db, found.correlation, found.rmse) == (math.inf, pytest.approx(-1), 0.0)
    assert (found.scale, found.offset) == (pytest.approx(-0.5, abs=1e-5), pytest.approx(0.5, abs=1e-5))
    assert found.to_json()["snr_db"] is None


def test_a_mask_weighs_voxels():
    truth, other = noise((10, 11, 12), 1), noise((10, 11, 12), 2)
    mask = np.zeros(truth.shape, np.float32)
    mask[3:7] = 1
    inside = agreement(other, truth, mask=mask)
    cut = Box((3, 0, 0), (7, 11, 12))
    apart = agreement(Region(ArrayVolume(other), cut), truth[3:7])
    assert inside.weight == apart.weight == 4 * 11 * 12
    assert inside.snr_db == pytest.approx(apart.snr_db)
    assert agreement(other, truth, mask=mask * 0.25).rmse == pytest.approx(inside.rmse)


def test_what_cannot_be_fitted_is_refused():
    a = noise((8, 9, 10), 1)
    for bad, message in ((np.full_like(a, 1e4), "one value everywhere"), (a * np.inf, "NaN or infinite")):
        with pytest.raises(InputError, match=message), np.errstate(invalid="ignore"):
            agreement(bad, a)
        with pytest.raises(InputError, match=message):
            agreement(a, bad)
    with pytest.raises(InputError, match="no voxel above 0"):
        agreement(a, noise((8, 9, 10), 2), mask=np.zeros_like(a))


def test_inverted_density_is_warned_of():
    truth = coloured((16, 16, 16), 1)
    with pytest.warns(CryolitheWarning, match="density of one inverted"):
        compare(-truth + 0.1 * noise(truth.shape, 2), truth)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = compare(truth + 0.1 * noise(truth.shape, 2), truth, tilt_range_deg=(-60, 60))
    assert found.to_json()["agreement"]["snr_db"] == pytest.approx(20, abs=0.3)
    assert found.fsc.regions == ("all", "visible", "wedge")
