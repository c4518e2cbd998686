"""The numbers of a volume against its truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.specimen import Specimen
from cryolithe_stream.evaluate import Fsc, agreement, fourier_shell_correlation
from cryolithe_stream.geometry import Float32s

BAND = (0.10, 0.15)
POINT = 0.1


@dataclass(frozen=True, slots=True)
class Score:
    """How well a volume fits the truth.

    `snr_db` after the best affine fit and `correlation` are of the middle rows; the Fourier shell correlation inside
    the missing wedge is of the whole volume, tapered, over 0.10–0.15 cycles per voxel and at 0.1.
    """

    snr_db: float
    correlation: float
    wedge_fsc_band: float
    wedge_fsc_point: float

    @classmethod
    def of(cls, volume: Float32s, specimen: Specimen) -> Score:
        """The score of a volume of a specimen."""
        rows = specimen.rows
        fit = agreement(np.ascontiguousarray(volume[:, rows]), np.ascontiguousarray(specimen.truth[:, rows]))
        fsc = fourier_shell_correlation(volume, specimen.truth, tilt_range_deg=specimen.tilt_range_deg)
        return cls(fit.snr_db, fit.correlation, wedge_band(fsc), wedge_point(fsc))


def wedge_band(fsc: Fsc) -> float:
    """Correlation in the wedge over the shells centred in the band, as one shell; the nearest one if there is none."""
    low, high = BAND
    inside = (fsc.frequency >= low) & (fsc.frequency <= high)
    if not inside.any():
        inside = np.arange(len(fsc.frequency)) == np.abs(fsc.frequency - (low + high) / 2).argmin()
    sums = fsc.sums["wedge"]
    cross, power_a, power_b = (values[inside].sum() for values in (sums.cross, sums.power_a, sums.power_b))
    return float(cross / np.sqrt(power_a * power_b))


def wedge_point(fsc: Fsc) -> float:
    """Correlation in the wedge at 0.1 cycles per voxel, linear between the shells around it."""
    return float(np.interp(POINT, fsc.frequency, fsc.curve("wedge")))
