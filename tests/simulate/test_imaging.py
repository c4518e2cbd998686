"""Image formation and noise: each against the formula that it states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.simulate.ctf import Microscope
from cryolithe_stream.simulate.exposure import critical_exposure, doses_before, surviving_amplitude
from cryolithe_stream.simulate.halves import gaussian_halves, poisson_halves
from cryolithe_stream.simulate.imaging import Imaging, detector_transfer
from cryolithe_stream.simulate.recording import relative_intensity

PIXEL = 4.0


def waves(n, cycles):
    """A cosine along x of so many cycles over the image; mirrored borders continue it without a break."""
    x = np.arange(n) + 0.5
    return np.broadcast_to(np.cos(np.pi * 2 * cycles * x / n), (n, n)).astype(np.float32)


def gain(imaging, cycles, *, tilt=0.0, defocus=None, before=0.0, n=128):
    """What remains of a wave's amplitude."""
    wave = waves(n, cycles)
    formed = imaging.form(wave[None], tilt, defocus, before)[0]
    return float((formed * wave).sum() / (wave * wave).sum()), formed, wave


def test_known_wavelengths_and_interaction_constants():
    assert Microscope(300).wavelength_angstrom == pytest.approx(0.01969, abs=2e-5)
    assert Microscope(200).wavelength_angstrom == pytest.approx(0.02508, abs=2e-5)
    assert Microscope(300).phase_per_volt_angstrom == pytest.approx(6.526e-4, rel=2e-3)
    assert Microscope(200).phase_per_volt_angstrom == pytest.approx(7.288e-4, rel=2e-3)


def test_without_aberration_zeros_lie_at_the_roots_of_whole_numbers_over_wavelength_and_defocus():
    microscope = Microscope(300, cs_mm=0.0, amplitude_contrast=0.0)
    for n in (1, 2, 5):
        zero = np.sqrt(n / (microscope.wavelength_angstrom * 2.5e4))
        around = microscope.transfer(np.array([zero * 0.999, zero, zero * 1.001]), 2.5)
        assert around[1] == pytest.approx(0, abs=1e-9)
        assert around[0] * around[2] < 0


@given(
    voltage=st.sampled_from([200.0, 300.0]),
    cs=st.just(0.0) | st.floats(0.1, 3),
    w=st.floats(0, 0.2),
    defocus=st.floats(0.5, 8),
    n=st.integers(1, 6),
)
def test_zeros_with_aberration_and_amplitude_contrast_solve_the_phase(voltage, cs, w, defocus, n):
    microscope = Microscope(voltage, cs, w)
    wavelength = microscope.wavelength_angstrom
    # π·λ·s·(Δf − λ²·s·Cs/2) + asin w = nπ, a quadratic in s = k²
    a, b, c = -np.pi * wavelength**3 * cs * 1e7 / 2, np.pi * wavelength * defocus * 1e4, np.arcsin(w) - n * np.pi
    roots = np.roots([a, b, c]) if a else np.array([-c / b])
    for square in roots:
        if abs(square.imag) < 1e-15 and square.real > 0:
            assert microscope.transfer(np.array([np.sqrt(square.real)]), defocus)[0] == pytest.approx(0, abs=1e-5)


def test_transfer_starts_at_the_amplitude_contrast_and_keeps_dark_density_dark():
    microscope = Microscope(amplitude_contrast=0.1)
    k = np.linspace(0, 0.008, 50)
    transfer = microscope.transfer(k, 3.0)
    assert transfer[0] == pytest.approx(0.1)
    assert (transfer > 0).all()


@pytest.mark.parametrize("cycles", [2, 9, 20, 33, 55])
def test_images_carry_the_transfer_and_phase_flipping_makes_it_positive(cycles):
    microscope = Microscope(300, 2.7, 0.1)
    plain, flipped = (Imaging(PIXEL, microscope, phase_flip=flip) for flip in (False, True))
    expected = microscope.transfer(np.array([cycles / (128 * PIXEL)]), 3.0)[0]
    found, formed, wave = gain(plain, cycles, defocus=3.0)
    inside = (slice(None), slice(32, 96))
    assert found == pytest.approx(expected, abs=0.03)
    assert np.abs(formed - expected * wave)[inside].max() < 0.03
    if abs(expected) > 0.2:  # beside a zero the wave, of finite length, spreads over both signs
        assert gain(flipped, cycles, defocus=3.0)[0] == pytest.approx(abs(expected), abs=0.03)
    k = np.linspace(0, 0.5 / PIXEL, 1000)
    assert (flipped.contrast(k, 3.0) >= 0).all()
    assert plain.contrast(k, 3.0).min() < -0.9


def test_the_defocus_of_a_tilted_image_follows_the_specimen():
    imaging = Imaging(10.0, Microscope(300, 2.7, 0.0), defocus_gradient=True)
    across = imaging.defocus_across(401, 60.0, 3.0)
    assert across[200] == pytest.approx(3.0)
    assert across[0] == pytest.approx(3.0 + 200 * 10 * 1e-4 * np.sqrt(3))
    assert across[400] == pytest.approx(3.0 - 200 * 10 * 1e-4 * np.sqrt(3))
    np.testing.assert_allclose(imaging.defocus_across(401, 0.0, 3.0), 3.0)
    image = np.random.default_rng(0).standard_normal((1, 40, 401)).astype(np.float32)
    flat = Imaging(10.0, imaging.microscope)
    tilted, level = imaging.form(image, 60.0, 3.0, 0.0), flat.form(image, 60.0, 3.0, 0.0)
    for column in (60, 200, 340):
        local = flat.form(image, 0.0, float(across[column]), 0.0)[0, :, column]
        assert np.linalg.norm(tilted[0, :, column] - local) < 0.03 * np.linalg.norm(local)
    assert np.linalg.norm(tilted[0, :, 60] - level[0, :, 60]) > 0.15 * np.linalg.norm(level[0, :, 60])


def test_the_detector_leaves_its_share_at_nyquist():
    assert detector_transfer(np.array([0.0, 1.0]), 0.4) == pytest.approx([1.0, 0.4])
    imaging = Imaging(PIXEL, Microscope(), mtf=0.4)
    for cycles in (1, 16, 32, 60):
        expected = 1 / (1 + 1.5 * (cycles / 64) ** 2)
        assert gain(imaging, cycles)[0] == pytest.approx(expected, abs=0.01)


def test_critical_exposures_are_those_of_the_paper():
    # Grant & Grigorieff 2015, eq. 3, at 3, 4 and 10 Å.
    np.testing.assert_allclose(critical_exposure(np.array([1 / 3, 0.25, 0.1])), [4.340, 5.278, 14.138], atol=0.005)
    assert critical_exposure(np.array([0.1]), 200.0)[0] == pytest.approx(0.8 * 14.138, abs=0.005)
    assert np.isinf(critical_exposure(np.zeros(1))[0])


@pytest.mark.parametrize("cycles", [1, 8, 24, 50])
def test_damage_takes_power_by_the_curve(cycles):
    during, before = 3.0, 60.0
    imaging = Imaging(PIXEL, Microscope(), dose_per_tilt=during)
    k = cycles / (128 * PIXEL)
    doses = np.linspace(before, before + during, 2001)
    expected = np.exp(-doses / (2 * critical_exposure(np.array([k]))[0])).mean()
    assert gain(imaging, cycles, before=before)[0] ** 2 == pytest.approx(expected**2, abs=0.01)
    assert surviving_amplitude(np.array([0.0]), before, during)[0] == 1.0


def test_orders_of_the_dose():
    tilts = np.array([-6.0, -3.0, 0.0, 3.0, 6.0])
    np.testing.assert_array_equal(doses_before(tilts, 2.0, "unidirectional"), [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(doses_before(tilts, 2.0, "dose-symmetric"), [8, 4, 0, 2, 6])


@pytest.mark.parametrize("snr_db", [-8.0, 0.0, 6.0])
def test_gaussian_halves_have_half_the_snr_of_their_sum_and_independent_noise(snr_db):
    image = waves(512, 7)
    sigma = np.sqrt(image.var() / 10 ** (snr_db / 10))
    odd, even = gaussian_halves(image, sigma, np.random.default_rng(0))
    noise = [odd - image / 2, even - image / 2]

    def level(signal, rest):
        return 10 * np.log10(signal.var() / rest.var())

    assert level(image, odd + even - image) == pytest.approx(snr_db, abs=0.1)
    for part in noise:
        assert level(image / 2, part) == pytest.approx(snr_db - 3.01, abs=0.1)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.01


def test_poisson_counts_have_a_variance_equal_to_their_mean_in_the_sum_and_the_halves():
    counts = np.full((400, 500), 37.0, np.float32)
    odd, even = poisson_halves(counts, np.random.default_rng(1))
    for part, mean in ((odd + even, 37.0), (odd, 18.5), (even, 18.5)):
        assert part.mean() == pytest.approx(mean, rel=0.005)
        assert part.var() == pytest.approx(mean, rel=0.02)
        np.testing.assert_array_equal(part, np.rint(part))
    assert abs(np.corrcoef(odd.ravel(), even.ravel())[0, 1]) < 0.01


def test_intensity_falls_behind_dark_density_and_never_below_zero():
    image = np.array([[1.0, -1.0, 3.0, -3.0]], np.float32)
    np.testing.assert_allclose(relative_intensity(image, 0.05), [[1.05, 0.95, 1.15, 0.85]], rtol=1e-6)
    np.testing.assert_allclose(relative_intensity(image - 100, 0.05), [[1.05, 0.95, 1.15, 0.85]], rtol=1e-5)
    assert relative_intensity(image, 0.5)[0, 3] == 0.0
