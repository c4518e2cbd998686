"""Gaussian blobs drawn into a volume: what every simulated structure is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape3

_SMALLEST_SIGMA = 0.6
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Blobs:
    """Gaussian blobs: centres `(n, 3)` in (z, y, x), standard deviations `(n,)` in the same unit, peaks `(n,)`."""

    points_zyx: Floats
    sigmas: Floats
    heights: Floats

    @classmethod
    def join(cls, parts: list[Blobs]) -> Blobs:
        """All blobs of `parts`."""
        if not parts:
            return cls(np.zeros((0, 3)), np.zeros(0), np.zeros(0))
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("points_zyx", "sigmas", "heights")))

    def placed(self, rotation: Floats, centre_zyx: Floats, scale: float = 1.0) -> Blobs:
        """These blobs turned by a rotation `(3, 3)`, scaled (Å to voxels, say) and moved to a centre."""
        return Blobs(self.points_zyx @ rotation.T * scale + centre_zyx, self.sigmas * scale, self.heights)

    @property
    def radius(self) -> float:
        """Distance from the origin that holds all blobs up to 1.5 standard deviations."""
        return float((np.linalg.norm(self.points_zyx, axis=1) + 1.5 * self.sigmas).max())


def draw(blobs: Blobs, shape: Shape3, *, periodic_x: bool = False) -> Float32s:
    """The sum of the blobs on voxels `(z, y, x)`; blobs and sigmas in voxels, voxel 0's centre at 0.

    What lies outside is cut off, or along x wrapped around with `periodic_x`. Blobs narrower than 0.6 voxel are
    widened to it with their mass kept.
    """
    sigma = np.maximum(blobs.sigmas, _SMALLEST_SIGMA)
    heights = blobs.heights * (blobs.sigmas / sigma) ** 3
    reach = np.ceil(3.0 * sigma).astype(np.int64)
    volume = np.zeros(int(np.prod(shape)))
    for r in np.unique(reach):
        (members,) = np.nonzero(reach == r)
        step = max(1, _CHUNK // (2 * int(r) + 1) ** 3)
        for start in range(0, len(members), step):
            part = members[start : start + step]
            index, value = _boxes(blobs.points_zyx[part], sigma[part], heights[part], int(r), shape, periodic_x)
            volume += np.bincount(index, weights=value, minlength=len(volume))
    return volume.reshape(shape).astype(np.float32)


def _boxes(
    points: Floats, sigma: Floats, heights: Floats, r: int, shape: Shape3, periodic_x: bool
) -> tuple[Ints, Floats]:
    """Voxel indices and values of blobs that share one box radius."""
    base = np.rint(points).astype(np.int64)
    cells = base[:, :, None] + np.arange(-r, r + 1)
    profile = np.exp(-0.5 * ((cells - points[:, :, None]) / sigma[:, None, None]) ** 2)
    if periodic_x:
        cells[:, 2] %= shape[2]
    _, ny, nx = shape
    (cz, pz), (cy, py), (cx, px) = (_inside(cells[:, i], profile[:, i], n) for i, n in enumerate(shape))
    index = (cz[:, :, None, None] * ny + cy[:, None, :, None]) * nx + cx[:, None, None, :]
    value = pz[:, :, None, None] * py[:, None, :, None] * px[:, None, None, :]
    return index.ravel(), (value * heights[:, None, None, None]).ravel()


def _inside(cells: Ints, profile: Floats, n: int) -> tuple[Ints, Floats]:
    """Cells and profiles `(blob, cell)` along an axis of n voxels, without those that lie outside for all blobs."""
    outside = (cells < 0) | (cells >= n)
    some = ~outside.all(axis=0)
    return np.clip(cells[:, some], 0, n - 1), np.where(outside, 0.0, profile)[:, some]


def random_rotation(rng: np.random.Generator) -> Floats:
    """A rotation `(3, 3)` drawn uniformly (from a random unit quaternion)."""
    w, x, y, z = (q := rng.standard_normal(4)) / np.linalg.norm(q)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
