"""Crowds of templates: random poses without overlap, the largest first, until they fill a share of the ice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape3
from cryolithe_stream.simulate.blobs import random_rotation
from cryolithe_stream.simulate.crowd import Crowd
from cryolithe_stream.simulate.templates import OCCUPIED, Template

Rng = np.random.Generator

_TRIES = 60
_FEW = 24
_MOST = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class Particle:
    """A template in its place: centre (z, y, x) in voxels, and the rotation `(3, 3)` of (z, y, x) that turned it."""

    name: str
    centre_zyx: Floats
    rotation: Floats


def place_templates(
    density: Float32s, templates: Sequence[Template], crowd: Crowd, rng: Rng, fraction: float
) -> list[Particle]:
    """Adds templates to a volume, in place, until they take a fraction of the ice's volume; where they are.

    Copies are drawn with equal odds, then placed from large to small, where the crowd is likely and after 30 tries
    anywhere in the ice; one that finds no room in 60 is left out, so that about a quarter is the most. Nothing is
    placed where the volume is dense already, nor outside the ice; the volume's sides along y, and along x unless it is
    periodic, cut what reaches beyond them.
    """
    taken = density < OCCUPIED
    found: list[Particle] = []
    for template in _copies(templates, fraction * crowd.n_voxels, rng):
        for attempt in range(_TRIES):
            centre, rotation = crowd.spot(rng, even=attempt >= _TRIES // 2), random_rotation(rng)
            if not _fits(template, rotation, centre, taken, crowd):
                continue
            cube, first = template.posed(rotation, centre)
            _add(density, taken, cube, first, periodic_x=crowd.periodic_x)
            found.append(Particle(template.name, centre, rotation))
            break
    return found


def _copies(templates: Sequence[Template], room: float, rng: Rng) -> list[Template]:
    """Random copies that take `room` voxels together, the largest first."""
    copies: list[Template] = []
    while templates and room > 0 and len(copies) < _MOST:
        template = templates[int(rng.integers(len(templates)))]
        if template.n_voxels > 2 * room and copies:
            break
        copies.append(template)
        room -= template.n_voxels
    return sorted(copies, key=lambda template: -template.n_voxels)


def _fits(template: Template, rotation: Floats, centre: Floats, taken: NDArray[np.bool_], crowd: Crowd) -> bool:
    """Whether a pose lies in the ice and meets nothing; a few points are asked before all of them."""
    for some in (template.points_zyx[:_FEW], template.points_zyx):
        z, y, x = np.rint(some @ rotation.T + centre).astype(np.int64).T
        if z.min() < 0 or z.max() >= taken.shape[0]:
            return False
        if crowd.periodic_x:
            x %= taken.shape[2]
        inside = (y >= 0) & (y < taken.shape[1]) & (x >= 0) & (x < taken.shape[2])
        z, y, x = z[inside], y[inside], x[inside]
        if taken[z, y, x].any() or not crowd.in_ice(z, y, x).all():
            return False
    return True


def _add(density: Float32s, taken: NDArray[np.bool_], cube: Float32s, first: Shape3, *, periodic_x: bool) -> None:
    """Adds a cube to a volume at its first voxel, cut off at the sides or wrapped around along x."""
    index: list[Ints] = [np.arange(n) + start for n, start in zip(cube.shape, first, strict=True)]
    kept = [(i >= 0) & (i < n) for i, n in zip(index, density.shape, strict=True)]
    if periodic_x:
        index[2] %= density.shape[2]
        kept[2][:] = True
    cube = cube[np.ix_(*kept)]
    place = np.ix_(*(i[k] for i, k in zip(index, kept, strict=True)))
    if periodic_x and len(index[2]) > density.shape[2]:  # a template wider than the volume meets itself
        np.add.at(density, place, cube)
    else:
        density[place] += cube
    taken[place] |= cube < OCCUPIED
