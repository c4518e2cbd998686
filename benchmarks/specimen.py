"""A specimen with its clean projections, and recordings of it at any noise level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Float32s, Floats, Shape3
from cryolithe_stream.simulate import CLEAN, Acquisition, Phantom, acquire, project


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """What is recorded, and what a reconstruction of it should show.

    `truth` `(z, y, x)` is dark (matter negative, solvent zero) and as wide as the detector; `signal` `(tilt, y, x)` are
    its clean projections without gold, against which noise is stated; `support` those of gold, or None.
    `noise_seed` decides the noise and the faults.
    """

    name: str
    truth: Float32s
    signal: Float32s
    support: Float32s | None
    tilts_deg: Floats
    voxel_angstrom: float
    noise_seed: int
    faults: Acquisition = CLEAN

    @classmethod
    def of_phantom(
        cls, phantom: Phantom, tilts_deg: Floats, noise_seed: int, *, name: str, faults: Acquisition = CLEAN
    ) -> Specimen:
        """A phantom under a detector of its own size."""
        detector = phantom.density.shape[1:]
        parts = [
            None if part is None else project(part, tilts_deg, detector, periodic_x=phantom.periodic_x)
            for part in (phantom.density, phantom.support)
        ]
        assert parts[0] is not None
        voxel = phantom.voxel_angstrom
        return cls(name, phantom.truth, parts[0], parts[1], tilts_deg, voxel, noise_seed, faults)

    def recorded(self, snr_db: float) -> Float32s:
        """A recorded series `(tilt, y, x)` at an SNR in decibels; the same call gives the same pixels."""
        rng = np.random.default_rng(self.noise_seed)
        return acquire(self.signal, self.support, self.tilts_deg, snr_db, rng, self.faults)

    @property
    def shape_zyx(self) -> Shape3:
        """Voxels."""
        nz, ny, nx = self.truth.shape
        return (nz, ny, nx)

    @property
    def rows(self) -> slice:
        """The middle third of the rows, where a voxel's neighbours along y are inside the volume."""
        ny = self.truth.shape[1]
        return slice(ny // 3, ny - ny // 3)

    @property
    def tilt_range_deg(self) -> tuple[float, float]:
        """The first and the last tilt."""
        return float(self.tilts_deg.min()), float(self.tilts_deg.max())
