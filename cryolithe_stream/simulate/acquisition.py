"""From clean projections to what a microscope records: tilt schemes, noise, ice, blocked views, small misalignments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Float32s, Floats, Shape2

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How bad a tilt series may be: upper ends of uniform random draws, and probabilities of the rarer faults.

    `coloured` share of noise that is low-passed; `signal_noise` noise variance that follows the local density;
    `thickness_noise` growth of the noise with the path length 1/cos θ; `frame_mean` and `frame_contrast` variation
    from frame to frame (of the noise's standard deviation, and relative); `misalignment_px` standard deviation of
    shifts, cut at 0.5 pixel; `ice` contrast of the ice against vacuum, in units of the phantom.
    """

    coloured: float = 0.5
    signal_noise: float = 0.5
    thickness_noise: float = 1.0
    frame_mean: float = 0.3
    frame_contrast: float = 0.1
    misalignment_px: float = 0.25
    ice: float = 1.5
    p_ice: float = 0.7
    p_border: float = 0.2
    p_drop: float = 0.5


CLEAN = Acquisition(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
"""White noise and nothing else."""


def random_tilts(rng: Rng, *, p_drop: float = 0.5) -> Floats:
    """Tilt angles in degrees: −a … +b by 1 to 5° (mostly 2 or 3), a and b of 40 to 70°.

    With probability `p_drop`, k of n tilts are dropped, k uniform up to n/3. Whole degrees from the first on, so that
    one set of projections at every degree serves all schemes.
    """
    step = int(rng.choice([1, 2, 3, 4, 5], p=[0.05, 0.3, 0.35, 0.15, 0.15]))
    span = rng.uniform(40, 70)
    low, high = (-(span + rng.uniform(-6, 6)), span + rng.uniform(-6, 6)) if rng.random() < 0.3 else (-span, span)
    tilts = np.arange(np.ceil(max(low, -70)), np.floor(min(high, 70)) + 1, step)
    if rng.random() < p_drop:
        dropped = rng.choice(len(tilts), int(rng.integers(0, len(tilts) // 3 + 1)), replace=False)
        tilts = np.delete(tilts, dropped)
    return tilts.astype(np.float64)


def noise_sigma(signal: Float32s, snr_db: float) -> float:
    """Standard deviation of noise for var(signal)/var(noise) = 10^(snr_db/10), over the whole stack."""
    return float(np.sqrt(signal.var(dtype=np.float64) / 10 ** (snr_db / 10)))


def add_white_noise(signal: Float32s, snr_db: float, rng: Rng) -> Float32s:
    """The projections with white Gaussian noise at an SNR in decibels."""
    return signal + np.float32(noise_sigma(signal, snr_db)) * rng.standard_normal(signal.shape, dtype=np.float32)


def acquire(
    signal: Float32s, extra: Float32s | None, tilts_deg: Floats, snr_db: float, rng: Rng, faults: Acquisition
) -> Float32s:
    """A recorded tilt series `(tilt, y, x)` from clean projections of the specimen and, apart, of `extra` (gold).

    The noise's level is stated against `signal` alone, in units of which the result stays. Each fault's strength is
    drawn anew, once per series.
    """
    n_tilts, rows, width = signal.shape
    sigma = noise_sigma(signal, snr_db)
    clean = signal if extra is None else signal + extra
    drift = np.clip(rng.normal(0, 1, (n_tilts, 2)) * rng.uniform(0, faults.misalignment_px), -0.5, 0.5)
    if faults.misalignment_px > 0:
        clean = shift(clean, drift)
    contrast: Floats = np.asarray(1 + rng.normal(0, 1, n_tilts) * rng.uniform(0, faults.frame_contrast))
    clean = clean * contrast[:, None, None].astype(np.float32)
    noise = _noise(clean, rng, faults)
    path = 1 / np.cos(np.deg2rad(tilts_deg))
    growth: Floats = np.asarray(1 + rng.uniform(0, faults.thickness_noise) * (path - 1))
    growth /= np.sqrt(np.mean(growth**2))
    noise *= growth[:, None, None].astype(np.float32)
    recorded = clean + np.float32(sigma) * noise
    if rng.random() < faults.p_ice:
        recorded += ice_shadow(tilts_deg, (rows, width), rng, faults.ice)
    level: Floats = np.asarray(sigma * rng.uniform(0, faults.frame_mean) * rng.standard_normal(n_tilts))
    recorded += level[:, None, None].astype(np.float32)
    if rng.random() < faults.p_border:
        _block(recorded, tilts_deg, rng)
    return np.asarray(recorded, np.float32)


def shift(images: Float32s, shifts_yx_px: Floats) -> Float32s:
    """Images `(tilt, y, x)` moved by up to one pixel, `(tilt, 2)`, cubic (Keys), edges repeated."""
    moved = images
    for axis in (1, 2):
        n = images.shape[axis]
        total = np.zeros_like(images)
        for tap in (-2, -1, 0, 1, 2):
            weight = _keys(tap + shifts_yx_px[:, axis - 1]).astype(np.float32)
            total += weight[:, None, None] * np.take(moved, np.clip(np.arange(n) + tap, 0, n - 1), axis=axis)
        moved = total
    return moved


def ice_shadow(tilts_deg: Floats, detector_yx: Shape2, rng: Rng, most: float) -> Float32s:
    """Projections of a wide, smooth sheet of ice (negative): thicker with tilt, uneven, thinning to one side."""
    rows, width = detector_yx
    depth = rng.uniform(0.3, 1.0) * 120 * rng.uniform(0, most)
    lean = rng.uniform(-0.2, 0.2)
    u = (np.arange(width) - (width - 1) / 2) / width
    v = (np.arange(rows) - (rows - 1) / 2)[None, :, None] / width
    theta = np.deg2rad(tilts_deg)[:, None, None]
    x = u[None, None, :] / np.cos(theta)
    slope = rng.normal(0, 0.15, 2)
    wave = rng.uniform(0, 0.1) * np.sin(rng.uniform(1, 8) * x + rng.uniform(1, 8) * v + rng.uniform(0, 6.3))
    thickness = np.maximum(1 + slope[0] * x + slope[1] * v + wave, 0.0)
    return np.asarray(-depth * thickness / np.cos(np.clip(theta - lean, -1.35, 1.35)), dtype=np.float32)


def _noise(clean: Float32s, rng: Rng, faults: Acquisition) -> Float32s:
    """Noise of standard deviation 1, partly low-passed and partly stronger where the specimen is denser."""
    noise = rng.standard_normal(clean.shape, dtype=np.float32)
    blend = rng.uniform(0, faults.coloured)
    if blend > 0:
        smooth = (noise + np.roll(noise, 1, 2) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (1, 2))) / 2
        noise = np.asarray(np.float32(1 - blend) * noise + np.float32(blend) * smooth)
        noise /= noise.std()
    follow = rng.uniform(0, faults.signal_noise)
    if follow > 0:
        mean, std = clean.mean(), clean.std() + 1e-12
        noise *= np.sqrt(np.maximum(1 + follow * (mean - clean) / (3 * std), 0.1)).astype(np.float32)
    return noise


def _block(recorded: Float32s, tilts_deg: Floats, rng: Rng) -> None:
    """Darkens a side of the steepest tilts, as a grid bar does, in place."""
    width = recorded.shape[2]
    side = rng.choice([-1.0, 1.0])
    steepest = rng.uniform(0.5, 1.0) * np.abs(tilts_deg).max()
    darkness = rng.uniform(2, 8) * recorded.std()
    u = side * np.arange(width) + (0 if side > 0 else width)
    for image, tilt in zip(recorded, tilts_deg, strict=True):
        if abs(tilt) > steepest:
            edge = rng.uniform(0.02, 0.3) * width
            shade = 1 / (1 + np.exp((u - edge) / rng.uniform(1, 6)))
            image[:] = image * (1 - shade) + (image.mean() - darkness) * shade


def _keys(distance: Floats) -> Floats:
    """Keys' cubic convolution kernel (a = −1/2)."""
    d = np.abs(distance)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.asarray(np.where(d < 1, near, np.where(d < 2, far, 0.0)))
