"""Laws of the Fourier shell correlation."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_support import coloured, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import InputError
from cryolithe_stream.evaluate import Fsc, ShellGrid, ShellSums, fourier_shell_correlation

SHAPES = st.tuples(st.integers(8, 17), st.integers(8, 17), st.integers(8, 17))
SEEDS = st.integers(0, 1000)


def fsc_of(values: list[float], voxel_angstrom: float = 1.0) -> Fsc:
    """A curve of given values."""
    cross = np.array(values)
    ones = np.where(np.isnan(cross), 0.0, 1.0)
    sums = ShellSums(np.nan_to_num(cross), ones, ones, np.full(len(values), 100))
    n = len(values)
    return Fsc(voxel_angstrom, np.arange(1, n + 1) / (2 * n), {"all": sums}, None, (2 * n,) * 3, (2 * n,) * 3, 1, 0.0)


@settings(max_examples=25)
@given(shape=SHAPES, seed=SEEDS, taper=st.sampled_from([0.0, 0.125, 0.5]))
def test_of_a_volume_with_itself_is_one_and_with_its_negative_minus_one(shape, seed, taper):
    a = noise(shape, seed)
    for other, value in ((a, 1.0), (-a, -1.0)):
        found = fourier_shell_correlation(a, other, taper=taper, tilt_range_deg=(-60, 50))
        for region in found.regions:
            curve = found.curve(region)
            np.testing.assert_allclose(curve[np.isfinite(curve)], value, atol=1e-6)
        assert len(found.curve()) == min(shape) // 2


@settings(max_examples=25)
@given(shape=SHAPES, seed=SEEDS, scale=st.floats(0.01, 100), offset=st.floats(-50, 50), taper=st.floats(0, 0.5))
def test_scale_offset_and_order_do_not_matter(shape, seed, scale, offset, taper):
    a, b = noise(shape, seed), coloured(shape, seed + 1)
    plain = fourier_shell_correlation(a, b, taper=taper, tilt_range_deg=(-40, 60))
    changed = fourier_shell_correlation(scale * b + offset, 3 - 2 * a, taper=taper, tilt_range_deg=(-40, 60))
    for region in plain.regions:
        np.testing.assert_allclose(changed.curve(region), -plain.curve(region), atol=2e-3)


@settings(max_examples=25)
@given(shape=SHAPES, seed=SEEDS, low=st.floats(-90, 85), width=st.floats(0.1, 180))
def test_visible_and_wedge_make_the_whole(shape, seed, low, width):
    a, b = noise(shape, seed), noise(shape, seed + 1)
    found = fourier_shell_correlation(a, b, tilt_range_deg=(low, min(90.0, low + width)))
    parts, whole = (found.sums["visible"], found.sums["wedge"]), fourier_shell_correlation(a, b).sums["all"]
    for field in ("cross", "power_a", "power_b", "n_voxels"):
        total = sum(getattr(part, field) for part in parts)
        np.testing.assert_allclose(total, getattr(whole, field), rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(total, getattr(found.sums["all"], field))


@settings(max_examples=20)
@given(shape=SHAPES, seed=SEEDS)
def test_half_the_spectrum_counts_as_all_of_it(shape, seed):
    a, b = (noise(shape, seed + i).astype(np.float64) for i in range(2))
    f, g = np.fft.fftn(a), np.fft.fftn(b)
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")))
    shell = np.rint(radius * min(shape)).astype(int)
    sums = ShellGrid(shape).sums(np.fft.rfftn(a), np.fft.rfftn(b)).of(None)
    for i in range(len(sums.cross)):
        inside = shell == i + 1
        assert sums.n_voxels[i] == inside.sum()
        assert sums.cross[i] == pytest.approx((f * g.conj()).real[inside].sum(), abs=1e-6 * shape[0] ** 3)
        assert sums.power_a[i] == pytest.approx((np.abs(f) ** 2)[inside].sum())


def test_of_independent_noise_stays_within_its_confidence_interval():
    deviations = []
    for seed in range(4):
        a, b = noise((32, 40, 36), 2 * seed), noise((32, 40, 36), 2 * seed + 1)
        found = fourier_shell_correlation(a, b, taper=0, tilt_range_deg=(-60, 60))
        for region in found.regions:
            deviations.append(found.curve(region) * np.sqrt(found.sums[region].n_voxels))
    scaled = np.concatenate(deviations)
    assert (np.abs(scaled) < 3).mean() > 0.98
    assert np.abs(scaled).max() < 4.5
    assert scaled.std() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("taper", [0.0, 0.125])
def test_of_signal_and_independent_noise_is_the_known_curve(taper):
    """Two noisy copies correlate as SSNR/(1 + SSNR), a copy with the signal as the root of it."""
    shape, cutoff, level = (64, 64, 64), 0.15, 0.7
    signal = coloured(shape, 1, cutoff)
    a, b = (signal + level * noise(shape, seed) for seed in (2, 3))
    frequency = fourier_shell_correlation(a, b, taper=taper).frequency
    gain = np.exp(-2 * (np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(64)] * 3))) / cutoff) ** 2)
    ratio = np.exp(-2 * (frequency / cutoff) ** 2) / gain.mean() / level**2
    tolerance = 0.04 if taper == 0 else 0.06
    halves = fourier_shell_correlation(a, b, taper=taper).curve()[3:]
    np.testing.assert_allclose(halves, (ratio / (1 + ratio))[3:], atol=tolerance)
    against = fourier_shell_correlation(a, signal, taper=taper).curve()[3:15]
    np.testing.assert_allclose(against, np.sqrt(ratio / (1 + ratio))[3:15], atol=tolerance)


def test_steps_between_opposite_faces_correlate_unless_they_are_tapered():
    """Independent noise on ramps that both volumes have: without a taper the steps at the faces raise the curve."""
    ramp = np.linspace(-8, 8, 48)[:, None, None] + np.linspace(-8, 8, 48)[:, None]
    a, b = (noise((48, 48, 48), seed) + ramp.astype(np.float32) for seed in (1, 2))
    high = slice(12, None)  # above what the ramp itself holds
    plain, tapered = (fourier_shell_correlation(a, b, taper=taper).curve()[high] for taper in (0.0, 0.125))
    assert plain.mean() > 0.1
    assert abs(tapered.mean()) < 0.02


def test_resolutions_are_found_between_shells():
    found = fsc_of([1.0, 0.9, 0.6, 0.2, 0.1], voxel_angstrom=5.0)
    half = found.crossing(0.5)
    assert (half.outcome, half.frequency) == ("crosses", pytest.approx(0.3 + 0.1 * 0.1 / 0.4))
    assert half.resolution_angstrom == pytest.approx(5.0 / 0.325)
    assert found.crossing(0.143).frequency == pytest.approx(0.4 + 0.1 * 0.057 / 0.1)
    assert found.frequency_per_angstrom[-1] == pytest.approx(0.1)
    assert found.resolution_angstrom[0] == pytest.approx(50.0)


def test_thresholds_that_are_not_reached_say_why():
    assert fsc_of([1.0, 0.9, 0.8]).crossing(0.5).outcome == "stays above"
    assert fsc_of([0.1, 0.0, 0.1]).crossing(0.143).outcome == "stays below"
    assert fsc_of([np.nan, np.nan]).crossing(0.143).outcome == "stays below"
    assert fsc_of([0.1, 0.9, 0.9]).crossing(0.5).outcome == "stays above"
    assert fsc_of([0.1, 0.9, np.nan, 0.1]).crossing(0.5).frequency == pytest.approx(0.25 + 0.25 * 0.4 / 0.8)
    assert fsc_of([1.0, 0.1, 0.9, 0.1]).crossing(0.5).frequency < 0.25


def test_a_mask_leaves_out_what_lies_beyond_it():
    shape = (32, 32, 32)
    distance = np.sqrt(sum(g**2 for g in np.meshgrid(*[np.arange(32) - 15.5] * 3, indexing="ij")))
    mask = np.clip((13 - distance) / 4, 0, 1).astype(np.float32)
    signal = coloured(shape, 1)
    a, b = (np.where(mask > 0, signal, 9 * noise(shape, seed)) for seed in (2, 3))
    assert fourier_shell_correlation(a, b).curve().max() < 0.9
    np.testing.assert_allclose(fourier_shell_correlation(a, b, mask=mask, taper=0).curve(), 1, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: np.where(v == v.max(), np.nan, v), "1 NaN or infinite"),
        (lambda v: np.full_like(v, 3.7), "one value everywhere"),
        (lambda v: v[:, :, :-1], "16 x 16 x 15"),
        (lambda v: v[:0], "is an array"),
        (lambda v: v[0], "is an array"),
        (lambda v: v.astype(np.complex64), "complex64"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message):
    a = noise((16, 16, 16), 0)
    for pair in ((a, change(a)), (change(a), a)):
        with pytest.raises(InputError, match=message):
            fourier_shell_correlation(*pair)


def test_options_that_make_no_sense_are_refused():
    a, b = noise((16, 16, 16), 0), noise((16, 16, 16), 1)
    with pytest.raises(InputError, match="tilt range"):
        fourier_shell_correlation(a, b, tilt_range_deg=(60, -60))
    with pytest.raises(InputError, match="taper"):
        fourier_shell_correlation(a, b, taper=0.6)
    with pytest.raises(InputError, match="voxel size"):
        fourier_shell_correlation(a, b, voxel_angstrom=-2.0)
    with pytest.raises(InputError, match="below 0"):
        fourier_shell_correlation(a, b, mask=-np.ones_like(a))
    with pytest.raises(InputError, match="within the mask"):
        fourier_shell_correlation(a, b, mask=np.zeros_like(a))
    with pytest.raises(InputError, match="too thin"):
        fourier_shell_correlation(a[:7], b[:7])


def test_shells_without_power_are_none_and_not_nan_in_json():
    a = np.zeros((16, 16, 16), np.float32)
    a[8, 8] = np.cos(2 * np.pi * 3 * np.arange(16) / 16)
    a += np.cos(2 * np.pi * 3 * np.arange(16) / 16, dtype=np.float32)[None, None]
    found = fourier_shell_correlation(a, a, taper=0, tilt_range_deg=(-90, 90))
    entry = found.to_json()
    assert {shell["fsc_wedge"] for shell in entry["shells"]} == {None}
    assert entry["resolution"]["wedge"]["0.143"] == {"angstrom": None, "outcome": "stays below"}
    assert entry["resolution"]["visible"]["0.143"]["outcome"] == "stays above"
