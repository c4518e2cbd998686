"""Random macromolecules as clusters of blobs, in Å around their centre: many shapes and sizes, none of them real."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cryolithe_stream.geometry import Floats
from cryolithe_stream.simulate.blobs import Blobs, random_rotation

Rng = np.random.Generator


def _dressed(points: Floats, rng: Rng, *, sigma: tuple[float, float] = (8.0, 13.0)) -> Blobs:
    """Blobs of random width and height at points, Å."""
    n = len(points)
    return Blobs(points, rng.uniform(*sigma, n), rng.uniform(0.4, 1.2, n))


def _fill(axes: Floats, spacing: float, rng: Rng, *, gaps: float = 0.2) -> Floats:
    """Jittered lattice points inside an ellipsoid of half axes `axes`, of which a share `gaps` is left out."""
    counts = np.maximum(1, np.ceil(2 * axes / spacing)).astype(int)
    grids = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * spacing for n in counts), indexing="ij")
    points = np.stack([g.ravel() for g in grids], axis=1) + rng.normal(0, 0.3 * spacing, (int(np.prod(counts)), 3))
    inside = ((points / axes) ** 2).sum(axis=1) < 1
    kept = points[inside & (rng.random(len(points)) > gaps)]
    return kept if len(kept) else np.zeros((1, 3))


def globular(rng: Rng) -> Blobs:
    """A small compact protein, 30–110 Å across."""
    axes = rng.uniform(15, 55) * rng.uniform(0.7, 1.3, 3)
    return _dressed(_fill(axes, 16.0, rng), rng)


def two_lobed(rng: Rng) -> Blobs:
    """A ribosome-like pair of a large and a small subunit with a cleft between, 180–300 Å across."""
    size = rng.uniform(0.75, 1.2)
    large = _fill(size * np.array([75.0, 100.0, 105.0]) * rng.uniform(0.9, 1.1, 3), 19.0, rng, gaps=0.15)
    small = _fill(size * np.array([45.0, 95.0, 65.0]) * rng.uniform(0.9, 1.1, 3), 19.0, rng, gaps=0.15)
    apart = np.array([[size * 45.0, 0, 0], [size * 80.0, 0, 10.0]])
    points = np.concatenate([large - apart[0], small + apart[1]])
    body = _dressed(points, rng, sigma=(9.0, 14.0))
    return Blobs(body.points_zyx, body.sigmas, body.heights * rng.uniform(1.1, 1.5))


def barrel(rng: Rng) -> Blobs:
    """Stacked rings of subunits (proteasome- or chaperonin-like), with or without caps."""
    fold, rings = rng.integers(5, 13), rng.integers(1, 5)
    radius, rise = rng.uniform(35, 80), rng.uniform(35, 50)
    unit = _fill(np.array([rise / 2, 24.0, 22.0]), 15.0, rng)
    parts = []
    for ring in range(rings):
        twist = rng.uniform(0, 2 * np.pi)
        for k in range(fold):
            angle = twist + 2 * np.pi * k / fold
            turned = unit @ _about_z(angle).T
            offset = [(ring - (rings - 1) / 2) * rise, radius * np.sin(angle), radius * np.cos(angle)]
            parts.append(turned + offset)
    if rng.random() < 0.3:
        cap = _fill(np.array([25.0, radius, radius]), 18.0, rng)
        parts.append(cap + np.array([rings * rise / 2 + 25.0, 0, 0]))
    return _dressed(np.concatenate(parts), rng)


def complex_of_lobes(rng: Rng) -> Blobs:
    """Several ellipsoidal domains stuck together at random, 80–250 Å."""
    parts, place = [], np.zeros(3)
    for _ in range(rng.integers(2, 8)):
        axes = rng.uniform(15, 45, 3)
        parts.append(_fill(axes, 16.0, rng) @ random_rotation(rng).T + place)
        step = rng.standard_normal(3)
        place = place * rng.random() + step / np.linalg.norm(step) * rng.uniform(30, 65)
    return _centred(_dressed(np.concatenate(parts), rng))


def rod(rng: Rng) -> Blobs:
    """An elongated, slightly bent protein, 100–300 Å long."""
    n = rng.integers(8, 24)
    t = np.linspace(-1, 1, n) * n * 6.0
    bend = rng.uniform(-0.002, 0.002)
    points = np.stack([t, bend * t**2, np.zeros(n)], axis=1) + rng.normal(0, 5.0, (n, 3))
    return _centred(_dressed(points, rng))


def symmetric_cage(rng: Rng) -> Blobs:
    """A hollow, roughly spherical shell of subunits (a small capsid or ferritin), 100–350 Å."""
    radius = rng.uniform(50, 175)
    n = int(4 * np.pi * radius**2 / rng.uniform(25, 40) ** 2)
    k = np.arange(n) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / n), np.pi * (1 + 5**0.5) * k
    shell = np.stack([np.cos(polar), np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth)], axis=1)
    blobs = [_dressed(shell * radius, rng, sigma=(10.0, 14.0))]
    if rng.random() < 0.4:
        blobs.append(_dressed(_fill(np.full(3, radius * 0.75), 24.0, rng, gaps=0.3), rng))
    return Blobs.join(blobs)


def antibody(rng: Rng) -> Blobs:
    """Three thin arms that meet in a point."""
    arms = []
    for _ in range(3):
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        arms.append(direction * np.linspace(10, rng.uniform(50, 90), 5)[:, None] + rng.normal(0, 6, (5, 3)))
    return _dressed(np.concatenate(arms), rng)


PARTICLES: dict[str, tuple[Callable[[Rng], Blobs], float]] = {
    "globular": (globular, 3.0),
    "two_lobed": (two_lobed, 2.0),
    "barrel": (barrel, 1.5),
    "complex_of_lobes": (complex_of_lobes, 3.0),
    "rod": (rod, 0.7),
    "symmetric_cage": (symmetric_cage, 0.5),
    "antibody": (antibody, 0.5),
}
"""Every particle class with how often it is drawn, relative to the others."""


def _about_z(angle: float) -> Floats:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, cos, sin], [0, -sin, cos]])


def _centred(blobs: Blobs) -> Blobs:
    return Blobs(blobs.points_zyx - blobs.points_zyx.mean(axis=0), blobs.sigmas, blobs.heights)
