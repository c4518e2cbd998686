"""Filaments as blobs along smooth random paths: helical, hollow and thin ones, straight or bent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry import Floats
from cryolithe_stream.simulate.blobs import Blobs

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Helix:
    """A filament of strands around a path.

    `starts` strands at `radius` Å, one blob of `sigma` Å every `rise` Å, turning `twist` radians per rise; `bend` is
    the standard deviation of the path's change of direction per 10 Å.
    """

    starts: int
    radius: float
    rise: float
    twist: float
    sigma: float
    bend: float


def random_helix(rng: Rng) -> Helix:
    """A thin two-start filament, a hollow tube of protofilaments, a loose nucleic-acid-like chain, or a random one."""
    kind = rng.random()
    if kind < 0.35:
        return Helix(1, 24.0, 27.5, np.deg2rad(-166.6), 13.0, rng.uniform(0.0, 0.01))
    if kind < 0.6:
        return Helix(int(rng.integers(11, 16)), rng.uniform(95, 130), 41.0, 0.0, 14.0, rng.uniform(0.0, 0.003))
    if kind < 0.75:
        return Helix(1, 4.0, 9.0, 0.6, 9.0, rng.uniform(0.05, 0.2))
    twist = rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.8)
    return Helix(int(rng.integers(1, 6)), rng.uniform(10, 80), rng.uniform(15, 40), twist, rng.uniform(9, 15), 0.01)


def draw_path(rng: Rng, start_zyx: Floats, direction_zyx: Floats, length: float, bend: float) -> Floats:
    """Points every 10 Å of a path of random, slowly changing direction, `(n, 3)`."""
    n = max(2, int(length / 10))
    kicks = rng.normal(0, bend, (n, 3))
    directions = direction_zyx + np.cumsum(kicks, axis=0)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return start_zyx + 10.0 * np.cumsum(directions, axis=0)


def along(path: Floats, helix: Helix, rng: Rng) -> Blobs:
    """The blobs of a helix around a path, all in Å."""
    steps = np.arange(0, 10.0 * (len(path) - 1), helix.rise)
    knots = 10.0 * np.arange(len(path))
    centre = np.stack([np.interp(steps, knots, path[:, i]) for i in range(3)], axis=1)
    forward = np.gradient(centre, axis=0) if len(centre) > 1 else np.ones((1, 3))
    forward /= np.linalg.norm(forward, axis=1, keepdims=True) + 1e-9
    side = np.cross(forward, rng.standard_normal(3))
    side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
    other = np.cross(forward, side)
    angle = helix.twist * np.arange(len(steps))
    strands = []
    for k in range(helix.starts):
        a = (angle + 2 * np.pi * k / helix.starts)[:, None]
        lift = helix.rise * k / helix.starts if helix.starts > 1 else 0.0
        strands.append(centre + helix.radius * (np.cos(a) * side + np.sin(a) * other) + lift * forward)
    points = np.concatenate(strands) + rng.normal(0, 1.5, (len(steps) * helix.starts, 3))
    n = len(points)
    return Blobs(points, np.full(n, helix.sigma), rng.uniform(0.7, 1.1, n))
