"""A slab of ice of a given thickness and tilt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Float32s, Floats, Shape3

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Ice:
    """Ice between two parallel planes through the volume's middle: half its thickness in voxels, and slopes.

    The middle plane lies at z = (nz − 1)/2 + slope_y·(y − cy) + slope_x·(x − cx).
    """

    half_px: float
    slope_y: float = 0.0
    slope_x: float = 0.0

    @classmethod
    def tilted(cls, rng: Rng, thickness_px: float, tilt_deg: float, *, periodic_x: bool) -> Ice:
        """Ice tilted by an angle towards a random direction; along y when the specimen repeats along x."""
        azimuth = rng.choice([0.5, 1.5]) * np.pi if periodic_x else rng.uniform(0, 2 * np.pi)
        slope = np.tan(np.deg2rad(tilt_deg))
        half = thickness_px / 2 / np.cos(np.deg2rad(tilt_deg))
        slope_x = 0.0 if periodic_x else float(slope * np.cos(azimuth))
        return cls(float(half), float(slope * np.sin(azimuth)), slope_x)

    def share(self, shape_zyx: Shape3, z: Floats, y: Floats, x: Floats) -> Floats:
        """How much of the voxels at (z, y, x), which broadcast, is ice: 0 to 1, over one voxel at the faces."""
        cz, cy, cx = ((n - 1) / 2 for n in shape_zyx)
        depth = np.abs(z - cz - self.slope_y * (y - cy) - self.slope_x * (x - cx))
        return np.asarray(np.clip(self.half_px - depth + 0.5, 0.0, 1.0))

    def clip(self, density: Float32s) -> None:
        """Removes what lies outside the ice from a volume `(z, y, x)`, in place."""
        nz, ny, nx = density.shape
        y, x = np.arange(ny, dtype=np.float64)[:, None], np.arange(nx, dtype=np.float64)[None, :]
        for z, section in enumerate(density):
            section *= self.share((nz, ny, nx), np.full((1, 1), z, np.float64), y, x).astype(np.float32)
