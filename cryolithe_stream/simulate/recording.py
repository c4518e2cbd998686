"""One tilt series of a phantom, recorded: noiseless images first, then halves with noise, tilt by tilt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Float32s, Floats, Shape2
from cryolithe_stream.simulate.exposure import doses_before
from cryolithe_stream.simulate.halves import Halves, gaussian_halves, poisson_halves
from cryolithe_stream.simulate.imaging import Imaging
from cryolithe_stream.simulate.options import SimulateOptions
from cryolithe_stream.simulate.phantom import Phantom
from cryolithe_stream.simulate.projector import projections
from cryolithe_stream.simulate.scattering import VOLTS_PER_UNIT
from cryolithe_stream.store import output_faults

_MOST_COUNTS = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """Noiseless images on disk, `(tilt, y, x)`, and what their noise shall be.

    With Poisson noise `contrast` turns density times voxels into relative intensity, and a pixel gets `counts`
    electrons on average.
    """

    images: np.memmap[Any, np.dtype[np.float32]]
    snr_db: float | None
    sigma: float | None
    contrast: float
    counts: float | None
    seed: int

    def halves(self, tilt: int) -> Halves:
        """The odd and the even half of an image; the full image is their sum."""
        rng = np.random.default_rng([self.seed, 6, tilt])
        image = np.array(self.images[tilt])
        if self.counts is not None:
            return poisson_halves(np.float32(self.counts) * relative_intensity(image, self.contrast), rng)
        return gaussian_halves(image, self.sigma or 0.0, rng)


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """What differs from tilt to tilt: angles, defocus in µm, and dose in e/Å² before each, `(tilt,)`."""

    tilts_deg: Floats
    defocus_um: Floats | None
    dose_before: Floats
    dose_per_tilt: float

    @classmethod
    def drawn(cls, options: SimulateOptions, tilts_deg: Floats, seed: int) -> Conditions:
        """The conditions of a seed."""
        n = len(tilts_deg)
        defocus = None
        if options.defocus is not None:
            defocus = np.round(np.random.default_rng([seed, 7]).uniform(*options.defocus, n), 4)
        per_tilt = (options.dose or 0.0) / n
        return cls(tilts_deg, defocus, doses_before(tilts_deg, per_tilt, options.dose_order), per_tilt)


def record(phantom: Phantom, conditions: Conditions, options: SimulateOptions, scratch: Path) -> Recording:
    """The noiseless images of a phantom, written to the file `scratch`, with the noise that the options ask for.

    The SNR is that of the specimen without gold and carbon: its variance over the whole stack, with Poisson noise the
    mean of its variances in the images.
    Raises InputError for a specimen without contrast when an SNR is asked for, and for counts beyond 10¹² a pixel.
    """
    _, ny, nx = options.size
    pixel = phantom.voxel_angstrom
    contrast = 2 * options.microscope().phase_per_volt_angstrom * VOLTS_PER_UNIT * pixel
    total = square = within = intensity = 0.0
    # Written as a file, mapped only for reading: a full disk is then an error, not a SIGBUS.
    with output_faults(scratch), scratch.open("wb") as file:
        for specimen, support in _formed(phantom, conditions, options, (ny, nx)):
            total += float(specimen.sum(dtype=np.float64))
            square += float((specimen.astype(np.float64) ** 2).sum())
            within += float(specimen.var(dtype=np.float64)) / len(conditions.tilts_deg)
            image = np.ascontiguousarray(specimen + support, np.float32)
            if options.noise == "poisson":
                intensity += float(relative_intensity(image, contrast).sum(dtype=np.float64))
            file.write(image.tobytes())
    images = np.memmap(scratch, np.float32, "r", shape=(len(conditions.tilts_deg), ny, nx))
    variance = square / images.size - (total / images.size) ** 2
    snr = options.snr_db()
    if snr is not None and not min(variance, within if options.noise == "poisson" else variance) > 1e-12:
        raise InputError("the specimen is empty, no SNR can be stated", fix="Allow particles or another part of it")
    sigma = counts = None
    if options.noise == "gaussian" and snr is not None:
        sigma = float(np.sqrt(variance / 10 ** (snr / 10)))
    elif options.noise == "poisson":
        mean = intensity / images.size
        relative = contrast**2 * within / mean
        counts = conditions.dose_per_tilt * pixel**2 if snr is None else 10 ** (snr / 10) / relative
        if counts > _MOST_COUNTS:
            raise InputError(
                f"{counts:.3g} electrons a pixel, the limit is {_MOST_COUNTS:g}", fix="Give a smaller --snr or --dose"
            )
        snr = snr if snr is not None else float(10 * np.log10(max(counts * relative, 1e-30)))
    return Recording(images, snr, sigma, contrast, counts, phantom.seed)


def relative_intensity(image: Float32s, contrast: float) -> Float32s:
    """Intensity over its mean in an image of density times voxels, 1 + c·(s − mean of s) and never below 0.

    An image's mean is not transferred: it is the thickness that it would tell, not the contrast of a phase object.
    """
    centred = image - image.mean(dtype=np.float64).astype(np.float32)
    return np.asarray(np.maximum(np.float32(1) + np.float32(contrast) * centred, np.float32(0)), np.float32)


def _formed(
    phantom: Phantom, conditions: Conditions, options: SimulateOptions, detector_yx: Shape2
) -> Iterator[tuple[Float32s, Float32s | np.float32]]:
    """Images of the specimen, and of gold and carbon, for each tilt."""
    imaging = Imaging(
        pixel_angstrom=phantom.voxel_angstrom,
        microscope=options.microscope(),
        phase_flip=options.phase_flip,
        defocus_gradient=options.defocus_gradient,
        mtf=options.mtf,
        dose_per_tilt=conditions.dose_per_tilt if options.damage else 0.0,
    )
    parts = [part for part in (phantom.density, phantom.support) if part is not None]
    streams = [projections(p, conditions.tilts_deg, detector_yx, periodic_x=phantom.periodic_x) for p in parts]
    for tilt, images in enumerate(zip(*streams, strict=True)):
        defocus = None if conditions.defocus_um is None else float(conditions.defocus_um[tilt])
        angle, before = float(conditions.tilts_deg[tilt]), float(conditions.dose_before[tilt])
        formed = imaging.form(np.stack(images), angle, defocus, before)
        yield formed[0], formed[1] if len(formed) > 1 else np.float32(0)
