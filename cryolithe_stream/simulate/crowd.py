"""Where things lie in a phantom: inside the ice, denser here than there, without overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape3
from cryolithe_stream.simulate.blobs import Blobs, random_rotation
from cryolithe_stream.simulate.ice import Ice
from cryolithe_stream.simulate.membranes import Surface

Rng = np.random.Generator

_CELL = 4
_MOST = 2500


@dataclass(slots=True, eq=False)
class Crowd:
    """A coarse map (one cell per 4 voxels) of how likely a spot is to be taken, `(z, y, x)`, 0 outside the ice."""

    shape_zyx: Shape3
    odds: Floats
    periodic_x: bool
    _full: bool = field(init=False)

    def __post_init__(self) -> None:
        self._full = not self.odds.any()

    @classmethod
    def random(cls, rng: Rng, shape_zyx: Shape3, *, periodic_x: bool) -> Crowd:
        """A slab of ice of random thickness, tilt and density gradients."""
        z, y, x = np.meshgrid(*(np.arange(-(-n // _CELL)) * _CELL + 1.5 for n in shape_zyx), indexing="ij")
        nz, ny, nx = shape_zyx
        half = nz * rng.uniform(0.2, 0.48)
        bow = 2 * np.pi * x / nx + rng.uniform(0, 6.3)
        middle = (nz - 1) / 2 + rng.uniform(-0.05, 0.05) * (y - ny / 2) + rng.uniform(0, 0.06) * nz * np.sin(bow)
        half_here = half * (1 + rng.uniform(0, 0.3) * np.sin(bow + rng.uniform(0, 6.3)))
        inside = np.abs(z - middle) < half_here
        odds = _gradients(rng, (z, y, x), nx) * inside
        return cls(shape_zyx, odds / max(float(odds.max()), 1e-12), periodic_x)

    @classmethod
    def within(cls, rng: Rng, ice: Ice, shape_zyx: Shape3, *, periodic_x: bool) -> Crowd:
        """Density gradients in a slab of ice of known thickness and tilt."""
        z, y, x = np.meshgrid(*(np.arange(-(-n // _CELL)) * _CELL + 1.5 for n in shape_zyx), indexing="ij")
        odds = _gradients(rng, (z, y, x), shape_zyx[2]) * (ice.share(shape_zyx, z, y, x) > 0.5)
        return cls(shape_zyx, odds / max(float(odds.max()), 1e-12), periodic_x)

    def without(self, taken: Float32s) -> None:
        """Leaves out the cells of which `taken` `(z, y, x)`, one value per voxel, exceeds a half at the first voxel."""
        self.odds = self.odds * (taken[::_CELL, ::_CELL, ::_CELL] < 0.5)
        self._full = not self.odds.any()

    @property
    def n_voxels(self) -> float:
        """Voxels of the ice."""
        return float((self.odds > 0).sum()) * _CELL**3

    def in_ice(self, z: Ints, y: Ints, x: Ints) -> NDArray[np.bool_]:
        """Whether voxels can be taken at all."""
        return np.asarray(self.odds[z // _CELL, y // _CELL, x // _CELL] > 0)

    def fill_inside(self, surface: Surface, rng: Rng) -> None:
        """Makes the inside of a closed surface denser than the outside by a random factor."""
        z, y, x = np.meshgrid(*(np.arange(n) * _CELL + 1.5 for n in self.odds.shape), indexing="ij")
        outside = surface.distance((z, y, x)) > 0
        thinned = np.where(outside, self.odds * rng.choice([0.0, 0.1, 0.5]), self.odds)
        if thinned.max() > 0:
            self.odds = thinned / thinned.max()

    def spot(self, rng: Rng, *, even: bool = False) -> Floats:
        """A random spot (z, y, x) in voxels; anywhere when a thousand draws meet no likely place, or there is none.

        With `even` every spot of the ice is as likely as another.
        """
        shape = np.array(self.shape_zyx)
        for _ in range(0 if self._full else 1000):
            point: Floats = rng.uniform(0, 1, 3) * shape
            odds = self.odds[tuple((point // _CELL).astype(int))]
            if rng.random() < (odds > 0 if even else odds):
                return point
        return np.asarray(rng.uniform(0, 1, 3) * shape)

    def face(self, rng: Rng) -> Floats:
        """A random spot on the upper or lower face of the ice."""
        point = self.spot(rng)
        _, y, x = (point // _CELL).astype(int)
        (filled,) = np.nonzero(self.odds[:, y, x] > 0)
        if len(filled):
            point[0] = (filled[0] if rng.random() < 0.5 else filled[-1]) * _CELL + 1.5
        return point

    def place(
        self,
        rng: Rng,
        templates: tuple[Blobs, ...],
        voxel_angstrom: float,
        *,
        fraction: float,
        avoid: Float32s | None = None,
    ) -> list[Blobs]:
        """Templates (in Å) at spots where their spheres do not overlap, until they fill a fraction of the likely space.

        Spots where `avoid` exceeds 0.3 are not taken. Stops early when the crowd gets too dense.
        """
        room = fraction * float(self.odds.sum()) * _CELL**3
        taken, radii = np.zeros((_MOST, 3)), np.zeros(_MOST)
        placed: list[Blobs] = []
        tries = 0
        while room > 0 and len(placed) < _MOST and tries < 20 * _MOST:
            tries += 1
            template = templates[rng.integers(len(templates))]
            radius = 0.8 * template.radius / voxel_angstrom
            point = self.spot(rng)
            if avoid is not None and avoid[tuple(point.astype(int))] > 0.3:
                continue
            n = len(placed)
            gap = np.abs(taken[:n] - point)
            if self.periodic_x:
                gap[:, 2] = np.minimum(gap[:, 2], self.shape_zyx[2] - gap[:, 2])
            if n and (np.sqrt((gap**2).sum(axis=1)) < radii[:n] + radius).any():
                continue
            taken[n], radii[n] = point, radius
            room -= 4.19 * radius**3
            placed.append(template.placed(random_rotation(rng), point, 1 / voxel_angstrom))
        return placed


def _gradients(rng: Rng, points_zyx: tuple[Floats, Floats, Floats], nx: int) -> Floats:
    """How likely each point is: smooth waves, periodic along x, of random strength."""
    z, y, x = points_zyx
    strength = rng.uniform(0, 2.5)
    field = np.zeros_like(z)
    for _ in range(4):
        k = rng.integers(-3, 4)
        wave = 2 * np.pi * k * x / nx + rng.normal(0, 0.04) * y + rng.normal(0, 0.04) * z
        field += np.sin(wave + rng.uniform(0, 6.3)) / 2
    return np.asarray(np.exp(strength * field))
