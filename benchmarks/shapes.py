"""Specimens that share nothing with the training's: solid ellipsoids, hollow vesicles, a lattice of rods, gold.

None of the simulator's particles, membranes or crowds is used: shapes are drawn here from formulas, in a slab that goes
on beyond the detector along x as far as the steepest tilt looks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.specimen import Specimen
from cryolithe_stream.geometry import Float32s, Floats, Shape3
from cryolithe_stream.simulate import project

Rng = np.random.Generator
VOXEL_ANGSTROM = 10.0
SLAB = 0.7
"""Share of the depth that the slab takes."""

_EDGE = 0.5
_GOLD_RADIUS = 5.0
_GOLD_DENSITY = 8.0


def uneven_tilts() -> Floats:
    """−40° to +60° by 2°."""
    return np.arange(-40.0, 61.0, 2.0)


def dropped_tilts(seed: int = 0) -> Floats:
    """A dose-symmetric scheme of ±54° by 3°, of which 8 of 37 tilts were lost, in the order of the angle."""
    tilts = np.arange(-54.0, 55.0, 3.0)
    lost = np.random.default_rng([seed, 8]).choice(len(tilts), 8, replace=False)
    return np.delete(tilts, lost)


def other_specimens(shape_zyx: Shape3) -> list[Specimen]:
    """The four specimens, two with each tilt scheme."""
    makers: list[tuple[str, int, Callable[[Rng, Shape3], tuple[Float32s, Float32s | None]], Floats]] = [
        ("ellipsoids", 7201, ellipsoids, uneven_tilts()),
        ("vesicles", 7202, vesicles, dropped_tilts(7202)),
        ("lattice", 7203, lattice, uneven_tilts()),
        ("gold", 7204, gold_among_ellipsoids, dropped_tilts(7204)),
    ]
    return [_specimen(name, seed, maker, tilts, shape_zyx) for name, seed, maker, tilts in makers]


def ellipsoids(rng: Rng, shape_zyx: Shape3) -> tuple[Float32s, None]:
    """Solid ellipsoids of half axes of 3 to 12 voxels at random, a fifth of the slab."""
    density = np.zeros(shape_zyx, np.float32)
    room = 0.2 * SLAB * density.size
    while room > 0:
        axes = rng.uniform(3, 12, 3)
        _add(density, _spot(rng, shape_zyx), Rotation.random(random_state=rng), axes, rng.uniform(0.6, 1.2))
        room -= 4.19 * float(np.prod(axes))
    return -density, None


def vesicles(rng: Rng, shape_zyx: Shape3) -> tuple[Float32s, None]:
    """Hollow spheroids with walls of 4 voxels, some with solid grains in them."""
    density = np.zeros(shape_zyx, np.float32)
    for _ in range(int(density.size / (0.045 * shape_zyx[0] ** 3))):
        outer = rng.uniform(0.08, 0.25) * shape_zyx[0] * rng.uniform(0.8, 1.2, 3)
        centre, turn = _spot(rng, shape_zyx), Rotation.random(random_state=rng)
        _add(density, centre, turn, outer, 0.9)
        _add(density, centre, turn, np.maximum(outer - 4.0, 1.0), -0.9)
        for _ in range(int(rng.integers(0, 5))):
            inside = centre + 0.4 * float(outer.min()) * rng.uniform(-1, 1, 3)
            _add(density, inside, turn, rng.uniform(2, 4, 3), 1.0)
    return -np.clip(density, 0.0, 1.2), None


def lattice(rng: Rng, shape_zyx: Shape3) -> tuple[Float32s, None]:
    """A cubic lattice of rods along its three axes, turned at random, cut off by the faces of the slab."""
    period, radius = rng.uniform(15, 19), rng.uniform(1.8, 2.4)
    turn = Rotation.random(random_state=rng).as_matrix().astype(np.float32)
    offsets = rng.uniform(0, period, 3)
    z, y, x = np.meshgrid(*(np.arange(n, dtype=np.float32) - n / 2 for n in shape_zyx), indexing="ij", sparse=True)
    sides = []
    for row, offset in zip(turn, offsets, strict=True):
        along = row[0] * z + row[1] * y + row[2] * x + np.float32(offset)
        sides.append((along - period * np.rint(along / period)) ** 2)
    distance = np.sqrt(np.minimum.reduce([sides[0] + sides[1], sides[1] + sides[2], sides[2] + sides[0]]))
    slab = _inside((SLAB / 2 * shape_zyx[0] - np.abs(z)) / 2)
    return np.asarray(-_inside(radius - distance) * slab, np.float32), None


def gold_among_ellipsoids(rng: Rng, shape_zyx: Shape3) -> tuple[Float32s, Float32s]:
    """Ellipsoids as above, and gold beads of 10 nm among them, eight times as dense."""
    density, _ = ellipsoids(rng, shape_zyx)
    gold = np.zeros(shape_zyx, np.float32)
    for _ in range(max(2, gold.size // 250_000)):
        _add(gold, _spot(rng, shape_zyx), Rotation.identity(), np.full(3, _GOLD_RADIUS), _GOLD_DENSITY)
    return density, -np.minimum(gold, np.float32(_GOLD_DENSITY))


def _specimen(
    name: str,
    seed: int,
    maker: Callable[[Rng, Shape3], tuple[Float32s, Float32s | None]],
    tilts_deg: Floats,
    shape_zyx: Shape3,
) -> Specimen:
    """A specimen wide enough for every tilt, projected, its truth cut to the detector's width."""
    nz, ny, nx = shape_zyx
    steepest = np.deg2rad(np.abs(tilts_deg).max())
    beside = int(np.ceil((nx / np.cos(steepest) + nz * np.tan(steepest) - nx) / 2)) + 1
    density, gold = maker(np.random.default_rng(seed), (nz, ny, nx + 2 * beside))
    signal = project(density, tilts_deg, (ny, nx))
    support = None if gold is None else project(gold, tilts_deg, (ny, nx))
    truth = density if gold is None else density + gold
    middle = np.ascontiguousarray(truth[:, :, beside : beside + nx])
    return Specimen(name, middle, signal, support, tilts_deg, VOXEL_ANGSTROM, noise_seed=seed)


def _spot(rng: Rng, shape_zyx: Shape3) -> Floats:
    """A random spot (z, y, x) in the slab, in voxels."""
    shape = np.array(shape_zyx)
    return np.asarray(shape / 2 + rng.uniform(-0.5, 0.5, 3) * shape * (SLAB, 1.0, 1.0))


def _add(density: Float32s, centre_zyx: Floats, turn: Rotation, half_axes: Floats, height: float) -> None:
    """Adds a solid ellipsoid with a soft edge to a volume, in place; what reaches beyond the sides is cut off."""
    reach = float(half_axes.max()) + 3 * _EDGE
    starts = np.maximum(np.floor(centre_zyx - reach).astype(int), 0)
    stops = np.minimum(np.ceil(centre_zyx + reach).astype(int) + 1, density.shape)
    if (starts >= stops).any():
        return
    axes = (np.arange(a, b) - c for a, b, c in zip(starts, stops, centre_zyx, strict=True))
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ turn.as_matrix() / half_axes
    depth = (1 - np.linalg.norm(points, axis=-1)) * half_axes.min()
    place = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
    density[place] += np.float32(height) * _inside(depth)


def _inside(depth: Floats) -> Float32s:
    """A soft step: 0 outside, 1 inside, over about a voxel."""
    return np.asarray(1 / (1 + np.exp(-np.clip(depth / (0.5 * _EDGE), -30, 30))), np.float32)
