"""Odd and even halves of an image with independent noise; their sum is the full image."""

from __future__ import annotations

import numpy as np

from cryolithe_stream.geometry import Float32s

Rng = np.random.Generator
Halves = tuple[Float32s, Float32s]


def gaussian_halves(image: Float32s, sigma: float, rng: Rng) -> Halves:
    """Two halves of an image `(y, x)` with white Gaussian noise, of standard deviation `sigma` in their sum.

    Each half has half the signal and 1/√2 of the noise: its SNR is half the full image's, 3 dB less.
    """
    scale = np.float32(sigma / np.sqrt(2.0))
    odd, even = (np.float32(0.5) * image + scale * rng.standard_normal(image.shape, dtype=np.float32) for _ in range(2))
    return np.asarray(odd, np.float32), np.asarray(even, np.float32)


def poisson_halves(counts: Float32s, rng: Rng) -> Halves:
    """Two halves of electron counts `(y, x)` whose sum has the expected counts that are given."""
    odd, even = (rng.poisson(0.5 * counts.astype(np.float64)) for _ in range(2))
    return odd.astype(np.float32), even.astype(np.float32)
