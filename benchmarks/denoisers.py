"""What is done to a filtered back-projection to compare with: the best Gaussian, the best Wiener filter, Topaz-Denoise.

The first two are oracles: they are told the truth, and take of their family what fits it best. No one who has only the
data does better with a filter of that family.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, resources
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import scipy.fft
import torch
from scipy.ndimage import gaussian_filter

from cryolithe_stream.evaluate import snr_db
from cryolithe_stream.geometry import Float32s, Floats

SIGMAS = np.arange(0, 4.01, 0.25)
WEIGHTS = np.concatenate([[0.0], np.logspace(-2, 2, 13)])
_BINS = 64
_MARGIN = 12


class Denoiser(Protocol):
    """What makes a better volume of a filtered back-projection."""

    @property
    def name(self) -> str:
        """How tables call it, after "FBP + "."""

    def __call__(self, fbp: Float32s, truth: Float32s, rows: slice) -> tuple[Float32s, float | None]:
        """The volume `(z, y, x)`, and the setting that was chosen; only oracles look at the truth, on those rows."""


@dataclass(frozen=True, slots=True)
class BestGaussian:
    """The Gaussian whose sigma, 0 to 4 voxels by a quarter, gives the highest SNR."""

    name: str = "best Gaussian"

    def __call__(self, fbp: Float32s, truth: Float32s, rows: slice) -> tuple[Float32s, float]:
        """The smoothed volume and sigma in voxels; edges are repeated."""
        best = (-np.inf, 0.0, fbp)
        falls = 0
        for sigma in SIGMAS:
            volume = np.asarray(gaussian_filter(fbp, sigma, mode="nearest", truncate=4.0))
            score = snr_db(volume[:, rows], truth[:, rows])
            falls = 0 if score > best[0] else falls + 1
            best = max(best, (score, float(sigma), volume), key=lambda found: found[0])
            if falls == 3:
                break
        return best[2], best[1]


@dataclass(frozen=True, slots=True)
class BestWiener:
    """The filter S/(S + w·N) of the truth's and the noise's own radial power, with the weight w that fits best.

    The noise is what of the back-projection does not correlate with the truth, artefacts of the missing wedge included.
    w = 0 is the back-projection itself, w = 1 the Wiener filter; 0.01 to 100 are tried.
    """

    name: str = "best Wiener filter"

    def __call__(self, fbp: Float32s, truth: Float32s, rows: slice) -> tuple[Float32s, float]:
        """The filtered volume and the weight; beyond its sides the volume is mirrored."""
        signal, noise = signal_and_noise_power(fbp, truth)
        margin = [(min(_MARGIN, n - 1),) * 2 for n in fbp.shape]
        spectrum = scipy.fft.rfftn(np.pad(fbp, margin, mode="reflect"))
        padded = tuple(n + a + b for n, (a, b) in zip(fbp.shape, margin, strict=True))
        inner = tuple(slice(a, a + n) for n, (a, _) in zip(fbp.shape, margin, strict=True))
        radius = _radius(padded)
        best = (-np.inf, 0.0, fbp)
        for weight in WEIGHTS:
            gain = signal / np.maximum(signal + weight * noise, 1e-30)
            response = np.interp(radius, _centres(), gain).astype(np.float32)
            volume = fbp if weight == 0 else scipy.fft.irfftn(spectrum * response, padded)[inner]
            score = snr_db(np.ascontiguousarray(volume[:, rows], np.float32), truth[:, rows])
            best = max(best, (score, float(weight), np.asarray(volume, np.float32)), key=lambda found: found[0])
        return best[2], best[1]


@dataclass(frozen=True, slots=True, eq=False)
class Topaz:
    """Topaz-Denoise's 3-D network, its weights `unet-3d-10a` (trained on tomograms of 10 Å), on whole volumes.

    Bepler et al. 2020; `pip install topaz-em`, no dependency of this project. It takes tomograms of dark density as
    they are and normalises them itself. Its own loader unpickles; here its weights are read as tensors alone.
    """

    program: Any
    name: str = "Topaz-Denoise 3D"

    @classmethod
    def installed(cls) -> Topaz | None:
        """The program with its weights, or None where it is not installed."""
        if find_spec("topaz") is None:
            return None
        try:
            denoise, models = import_module("topaz.denoise"), import_module("topaz.denoising.models")
        except ImportError:
            return None
        network = models.UDenoiseNet3D(base_width=7)
        with resources.as_file(resources.files("topaz") / "pretrained/denoise/unet-3d-10a-v0.2.4.sav") as path:
            network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
        return cls(denoise.Denoise3D(torch.nn.Sequential(network), use_cuda=torch.cuda.is_available(), dims=3))

    def __call__(self, fbp: Float32s, truth: Float32s, rows: slice) -> tuple[Float32s, None]:
        """The denoised volume; nothing is chosen, and the truth not looked at."""
        return np.asarray(self.program.denoise(fbp, patch_size=0), np.float32), None


def signal_and_noise_power(fbp: Float32s, truth: Float32s) -> tuple[Floats, Floats]:
    """Mean power of the truth, and of what a back-projection has beside a multiple of it, in 64 radial bins each."""
    a, b = (volume - volume.mean(dtype=np.float64) for volume in (fbp, truth))
    gain = float((a * b).sum() / (b * b).sum())
    noise = a / gain - b if gain > 0 else a
    return _radial_power(b), _radial_power(noise)


def _radial_power(volume: Floats) -> Floats:
    """Mean of |F|² in radial bins up to the corner of the transform, empty ones interpolated."""
    power = np.abs(scipy.fft.rfftn(volume.astype(np.float32))) ** 2
    place = np.minimum((_radius(volume.shape) / _step()).astype(np.int64), _BINS - 1).ravel()
    sums, counts = np.bincount(place, power.ravel(), _BINS), np.bincount(place, minlength=_BINS)
    filled = counts > 0
    means = sums[filled] / counts[filled]
    return np.asarray(np.interp(_centres(), _centres()[filled], means))


def _radius(shape: tuple[int, ...]) -> Float32s:
    """Distance from the origin in cycles per voxel of every value of `rfftn`."""
    axes = [scipy.fft.fftfreq(n) for n in shape[:-1]] + [scipy.fft.rfftfreq(shape[-1])]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(np.sqrt(z**2 + y**2 + x**2), np.float32)


def _step() -> float:
    return float(np.sqrt(3) / 2 / _BINS)


def _centres() -> Floats:
    return np.asarray((np.arange(_BINS) + 0.5) * _step(), np.float64)
