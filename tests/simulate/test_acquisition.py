"""Recorded tilt series: noise of the level asked for, reproducible faults."""

from __future__ import annotations

import numpy as np
import pytest

from cryolithe_stream.simulate import CLEAN, Acquisition, acquire, add_white_noise, random_tilts
from cryolithe_stream.simulate.acquisition import ice_shadow, shift

TILTS = np.arange(-60.0, 61.0, 10.0)


def images(seed=0, shape=(13, 40, 60)):
    y, x = np.mgrid[: shape[1], : shape[2]]
    phases = np.random.default_rng(seed).uniform(0, 6, shape[0])
    return np.stack([np.sin(0.3 * x + 0.2 * y + p) for p in phases]).astype(np.float32)


@pytest.mark.parametrize("level", [-10.0, -5.0, 0.0, 10.0])
def test_white_noise_has_the_stated_snr(level):
    signal = images()
    for noisy in (
        add_white_noise(signal, level, np.random.default_rng(1)),
        acquire(signal, None, TILTS, level, np.random.default_rng(1), CLEAN),
    ):
        noise = noisy - signal
        assert 10 * np.log10(signal.var() / noise.var()) == pytest.approx(level, abs=0.1)
        assert abs(np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]) < 0.02


def test_noise_level_ignores_gold_and_holds_with_coloured_and_growing_noise():
    signal, gold = images(), np.zeros((13, 40, 60), np.float32)
    gold[:, 20, 30] = -100.0
    faults = Acquisition(0.5, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    for seed in range(4):
        noise = acquire(signal, gold, TILTS, -3.0, np.random.default_rng(seed), faults) - signal - gold
        assert 10 * np.log10(signal.var() / noise.var()) == pytest.approx(-3.0, abs=0.15)
        assert noise[[0, -1]].std() >= noise[6].std() * 0.97


def test_faults_are_reproducible_and_change_the_series():
    signal = images()
    faults = Acquisition(p_ice=1.0, p_border=1.0)
    first, again = (acquire(signal, None, TILTS, 0.0, np.random.default_rng(8), faults) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()


def test_shift_moves_smooth_images_and_keeps_constants():
    x = np.arange(60.0)
    wave = np.broadcast_to(np.sin(0.4 * x), (2, 30, 60)).astype(np.float32)
    moved = shift(wave, np.array([[0.0, 0.37], [0.2, -0.5]]))
    np.testing.assert_allclose(moved[0, 5, 3:-3], np.sin(0.4 * (x - 0.37))[3:-3], atol=0.01)
    np.testing.assert_allclose(moved[1, 5, 3:-3], np.sin(0.4 * (x + 0.5))[3:-3], atol=0.01)
    np.testing.assert_allclose(shift(np.ones((1, 9, 9), np.float32), np.array([[0.3, -0.4]])), 1.0, atol=1e-6)


def test_ice_is_dark_and_thicker_at_high_tilt():
    shadow = ice_shadow(TILTS, (20, 30), np.random.default_rng(0), 1.5)
    assert shadow.max() <= 0.0
    means = shadow.mean(axis=(1, 2))
    assert means[0] < means[6] > means[-1]


def test_tilt_schemes_stay_in_range_and_some_tilts_are_missing():
    counts = []
    for seed in range(60):
        tilts = random_tilts(np.random.default_rng(seed))
        assert (np.diff(tilts) >= 1).all()
        assert tilts.min() >= -70
        assert tilts.max() <= 70
        assert np.ptp(tilts) > 40
        counts.append(len(set(np.diff(tilts))) > 1)
    assert 0.2 < np.mean(counts) < 0.8
    np.testing.assert_array_equal(random_tilts(np.random.default_rng(5)), random_tilts(np.random.default_rng(5)))
