"""Lipid bilayers as signed distances: vesicles, sheets and tubes, single and double, with two leaflets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape3

Rng = np.random.Generator

_LEAFLET_ANGSTROM = 19.0
_LEAFLET_SIGMA_ANGSTROM = 7.0
_SLAB = 16  # sections whose distances are held at once


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """A closed or open surface: `kind`, a point and a unit direction (z, y, x), a radius in voxels, and waves.

    `waves` `(n, 5)`: amplitude in voxels, wave vector (z, y, x) in radians per voxel (per radian on vesicles), phase.
    """

    kind: str
    centre_zyx: Floats
    direction_zyx: Floats
    radius: float
    waves: Floats

    def distance(self, points_zyx: tuple[Floats, Floats, Floats]) -> Floats:
        """Signed distance in voxels (negative inside; of a sheet, below it), approximate where the surface waves."""
        z, y, x = (p - c for p, c in zip(points_zyx, self.centre_zyx, strict=True))
        dz, dy, dx = self.direction_zyx
        along: Floats = dz * z + dy * y + dx * x
        if self.kind == "sheet":
            return np.asarray(along + self._ripple(z, y, x))
        square = z * z + y * y + x * x
        if self.kind == "tube":
            return np.asarray(np.sqrt(np.maximum(square - along * along, 0.0)) - self.radius + self._ripple(z, y, x))
        length = np.sqrt(square) + 1e-6
        return np.asarray(length - self.radius + self._ripple(z / length, y / length, x / length))

    def _ripple(self, z: Floats, y: Floats, x: Floats) -> Floats:
        return np.asarray(sum(a * np.sin(kz * z + ky * y + kx * x + p) for a, kz, ky, kx, p in self.waves))

    def ranges(self, shape: Shape3, margin: float, *, periodic_x: bool) -> tuple[range, range, range]:
        """Voxel ranges that hold the surface and a margin; along x they may leave the volume when it is periodic."""
        if self.kind != "vesicle":
            return (range(shape[0]), range(shape[1]), range(shape[2]))
        reach = self.radius + float(np.abs(self.waves[:, 0]).sum()) + margin
        low = np.floor(self.centre_zyx - reach).astype(int)
        high = np.ceil(self.centre_zyx + reach).astype(int) + 1
        z, y = (range(max(0, low[i]), min(shape[i], high[i])) for i in (0, 1))
        if not periodic_x:
            return z, y, range(max(0, low[2]), min(shape[2], high[2]))
        return z, y, range(low[2], min(high[2], low[2] + shape[2]))


def random_surface(rng: Rng, kind: str, shape: Shape3, voxel_angstrom: float, *, cell: bool = False) -> Surface:
    """A surface somewhere in (or reaching into) a volume; `cell` makes a vesicle as large as the volume."""
    centre = rng.uniform(0, 1, 3) * np.array(shape)
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    if cell:
        radius = rng.uniform(0.35, 0.8) * min(shape[0], shape[2])
    elif kind == "tube":
        radius = rng.uniform(80, 350) / voxel_angstrom
    else:
        radius = np.exp(rng.uniform(np.log(120), np.log(800))) / voxel_angstrom
    n = rng.integers(1, 4)
    if kind == "vesicle":
        waves = np.column_stack([rng.uniform(0, 0.12, n) * radius, rng.normal(0, 2.0, (n, 3)), rng.uniform(0, 6.3, n)])
    else:
        vectors = rng.normal(0, 250.0, (n, 3)) ** -1.0
        vectors = np.clip(vectors, -0.05, 0.05) * rng.uniform(0.3, 1.0, (n, 1))
        waves = np.column_stack([rng.uniform(0, 60.0, n) / voxel_angstrom, vectors, rng.uniform(0, 6.3, n)])
    return Surface(kind, centre, direction, float(radius), waves)


def add_bilayer(
    volume: Float32s, surface: Surface, voxel_angstrom: float, height: float, rng: Rng, *, periodic_x: bool = False
) -> Floats:
    """Adds a bilayer along a surface to a volume, in place; points on it `(n, 3)`, (z, y, x), at most 2,000.

    Two Gaussian leaflets 38 Å apart whose height varies smoothly along the surface, and a lighter middle.
    """
    margin = 60.0 / voxel_angstrom
    z, y, x = surface.ranges(volume.shape, margin, periodic_x=periodic_x)
    if not (len(z) and len(y) and len(x)):
        return np.zeros((0, 3))
    rows = np.array(y)[None, :, None], np.array(x)[None, None, :]
    sigma = max(_LEAFLET_SIGMA_ANGSTROM, 0.6 * voxel_angstrom)
    found = [_near(surface, start, z[start : start + _SLAB], rows, voxel_angstrom, sigma) for start in _starts(len(z))]
    iz, iy, ix, d = (np.concatenate([part[i] for part in found]) for i in range(4))
    profile = np.exp(-0.5 * ((np.abs(d) - _LEAFLET_ANGSTROM) / sigma) ** 2)
    profile = (profile - 0.15 * np.exp(-0.5 * (d / 8.0) ** 2)) * (_LEAFLET_SIGMA_ANGSTROM / sigma)
    waves = rng.normal(0, 0.15, (3, 3))
    patchy = 1 + 0.1 * sum(np.sin(w[0] * iz + w[1] * iy + w[2] * ix) for w in waves)
    columns = np.array(x)[ix] % volume.shape[2]
    np.add.at(volume, (np.array(z)[iz], np.array(y)[iy], columns), (height * patchy * profile).astype(np.float32))
    (on,) = np.nonzero(np.abs(d) < 0.5 * voxel_angstrom)
    on = rng.permutation(on)[:2000]
    return np.column_stack([np.array(z)[iz[on]], np.array(y)[iy[on]], columns[on]]).astype(np.float64)


def _starts(depth: int) -> range:
    return range(0, depth, _SLAB)


def _near(
    surface: Surface, start: int, z: range, rows_yx: tuple[Ints, Ints], voxel_angstrom: float, sigma: float
) -> tuple[Ints, Ints, Ints, Floats]:
    """Indices (z, y, x) of the voxels of a few sections that a bilayer reaches, and their distances from it in Å."""
    planes = np.array(z)[:, None, None]
    y, x = (np.asarray(places, np.float64) for places in rows_yx)
    signed = surface.distance((np.asarray(planes, np.float64), y, x)) * voxel_angstrom
    near = np.abs(signed) < _LEAFLET_ANGSTROM + 4 * sigma
    iz, iy, ix = np.nonzero(near)
    return iz + start, iy, ix, signed[near]
