"""From projections to noiseless images: contrast transfer, radiation damage and the detector, one tilt at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.fft

from cryolithe_stream.geometry import Float32s, Floats
from cryolithe_stream.simulate.ctf import Microscope
from cryolithe_stream.simulate.exposure import surviving_amplitude

_DEFOCUS_STEP_UM = 0.05
_MARGIN = 16


@dataclass(frozen=True, slots=True)
class Imaging:
    """How images of `pixel_angstrom` come about.

    `phase_flip` turns the frequencies whose contrast is reversed, as CTF-corrected stacks have it; `defocus_gradient`
    lets the defocus of a tilted specimen change across x. `mtf` is what the detector leaves of the amplitude at its
    Nyquist frequency. `dose_per_tilt` (e/Å²) damages; 0 does not.
    """

    pixel_angstrom: float
    microscope: Microscope
    phase_flip: bool = False
    defocus_gradient: bool = False
    mtf: float = 1.0
    dose_per_tilt: float = 0.0

    def form(self, images: Float32s, tilt_deg: float, defocus_um: float | None, dose_before: float) -> Float32s:
        """Images of one tilt, `(k, y, x)`, from projections of parts of the specimen; linear in them.

        Without a defocus the transfer is 1, that of an ideal phase plate. With the gradient a column u pixels from the
        tilt axis has defocus Δf − u·tan θ, as the untilted mid-plane of the specimen lies.
        """
        if defocus_um is None and self.mtf == 1.0 and self.dose_per_tilt == 0.0:
            return images

        def common(frequencies: Floats) -> Floats:
            kept = detector_transfer(frequencies * 2 * self.pixel_angstrom, self.mtf)
            if self.dose_per_tilt > 0:
                voltage = self.microscope.voltage_kv
                kept = kept * surviving_amplitude(frequencies, dose_before, self.dose_per_tilt, voltage)
            return kept

        if defocus_um is None:
            return filtered(images, [common], self.pixel_angstrom, _MARGIN)[0]
        levels = self._levels(images.shape[2], tilt_deg, defocus_um)

        def at(level: float) -> Callable[[Floats], Floats]:
            return lambda frequencies: common(frequencies) * self.contrast(frequencies, level)

        transfers = [at(float(level)) for level in levels]
        reach = self.microscope.wavelength_angstrom * 1e4 * float(np.abs(levels).max()) / (2 * self.pixel_angstrom**2)
        found = filtered(images, transfers, self.pixel_angstrom, int(np.ceil(reach)) + _MARGIN)
        return found[0] if len(levels) == 1 else self._blend(found, levels, tilt_deg, defocus_um)

    def contrast(self, frequencies: Floats, defocus_um: float) -> Floats:
        """The contrast transfer, reversed parts turned if that is asked for."""
        transfer = self.microscope.transfer(frequencies, defocus_um)
        return np.abs(transfer) if self.phase_flip else transfer

    def defocus_across(self, width: int, tilt_deg: float, defocus_um: float) -> Floats:
        """Defocus of every column, `(x,)`, in µm."""
        u = np.arange(width) - (width - 1) / 2
        slope = np.tan(np.deg2rad(tilt_deg)) if self.defocus_gradient else 0.0
        return np.asarray(defocus_um - u * slope * self.pixel_angstrom * 1e-4, np.float64)

    def _levels(self, width: int, tilt_deg: float, defocus_um: float) -> Floats:
        """Values of defocus, at most 0.05 µm apart, that span the columns'."""
        across = self.defocus_across(width, tilt_deg, defocus_um)
        span = float(np.ptp(across))
        if span < 1e-9:
            return np.array([defocus_um])
        return np.linspace(across.min(), across.max(), int(np.ceil(span / _DEFOCUS_STEP_UM)) + 1)

    def _blend(self, found: list[Float32s], levels: Floats, tilt_deg: float, defocus_um: float) -> Float32s:
        """Columns between the images of the two values of defocus next to theirs."""
        across = self.defocus_across(found[0].shape[2], tilt_deg, defocus_um)
        place = (across - levels[0]) / (levels[1] - levels[0])
        low = np.clip(place.astype(int), 0, len(levels) - 2)
        share = (place - low).astype(np.float32)
        columns = np.arange(len(across))
        stacked = np.stack(found)
        return np.asarray(
            stacked[low, :, :, columns].transpose(1, 2, 0) * (1 - share)
            + stacked[low + 1, :, :, columns].transpose(1, 2, 0) * share,
            np.float32,
        )


def detector_transfer(nyquists: Floats, at_nyquist: float) -> Floats:
    """What a detector leaves of amplitudes at frequencies in units of Nyquist's: 1/(1 + (1/m − 1)·f²), m at f = 1.

    The signal falls, white noise stays white: a counting detector's modulation transfer.
    """
    return np.asarray(1.0 / (1.0 + (1.0 / at_nyquist - 1.0) * nyquists**2))


def filtered(
    images: Float32s, transfers: list[Callable[[Floats], Floats]], pixel_angstrom: float, margin: int
) -> list[Float32s]:
    """Images `(k, y, x)` through each radial transfer of spatial frequency (1/Å), mirrored beyond their borders."""
    _, rows, width = images.shape
    sides = [scipy.fft.next_fast_len(n + 2 * min(margin, n), real=True) for n in (rows, width)]
    before = [(side - n) // 2 for side, n in zip(sides, (rows, width), strict=True)]
    after = [side - n - b for side, n, b in zip(sides, (rows, width), before, strict=True)]
    padded = np.pad(images, [(0, 0), (before[0], after[0]), (before[1], after[1])], mode="symmetric")
    spectrum = scipy.fft.rfft2(padded)
    frequencies = np.hypot(
        scipy.fft.fftfreq(sides[0], pixel_angstrom)[:, None], scipy.fft.rfftfreq(sides[1], pixel_angstrom)[None, :]
    )
    window = (slice(None), slice(before[0], before[0] + rows), slice(before[1], before[1] + width))
    return [
        np.ascontiguousarray(scipy.fft.irfft2(spectrum * transfer(frequencies), sides)[window], dtype=np.float32)
        for transfer in transfers
    ]
