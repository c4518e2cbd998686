"""Phantoms: simulated frozen specimens, dark as in micrographs (protein is negative, solvent is zero)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryolithe_stream.geometry import Float32s, Shape3
from cryolithe_stream.simulate import filaments, membranes
from cryolithe_stream.simulate.blobs import Blobs, draw, random_rotation
from cryolithe_stream.simulate.crowd import Crowd
from cryolithe_stream.simulate.particles import PARTICLES

Rng = np.random.Generator
Templates = tuple[Blobs, ...]

_SATURATION = 1.6


@dataclass(frozen=True, slots=True)
class PhantomOptions:
    """What a phantom may hold. A part that is allowed is still drawn at random: not every phantom has it.

    `voxel_angstrom` is a range that the voxel size is drawn from (log-uniformly); with `periodic_x` the specimen
    goes on without end along x (see `project`), else it ends at the volume's sides.
    """

    shape_zyx: Shape3 = (128, 96, 320)
    voxel_angstrom: tuple[float, float] = (7.0, 20.0)
    particles: tuple[str, ...] = tuple(PARTICLES)
    membranes: bool = True
    filaments: bool = True
    lattices: bool = True
    gold: bool = True
    periodic_x: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A specimen: `density` and `gold` `(z, y, x)`, negative where matter is denser than the solvent.

    One unit is about the contrast of dense protein. Gold beads (some 6 to 12 units) are kept apart because noise is
    stated against the specimen without them. `specimen_zx` is the share of the depth that the ice fills.
    """

    density: Float32s
    gold: Float32s | None
    voxel_angstrom: float
    periodic_x: bool
    seed: int
    tally: dict[str, int] = field(default_factory=dict)

    @property
    def truth(self) -> Float32s:
        """Density with gold, what a reconstruction should show."""
        return self.density if self.gold is None else self.density + self.gold


def make_phantom(seed: int, options: PhantomOptions | None = None) -> Phantom:
    """The phantom of a seed: the same seed and options give the same voxels."""
    options = options or PhantomOptions()
    rng = np.random.default_rng(seed)
    low, high = np.log(options.voxel_angstrom)
    voxel = float(np.exp(rng.uniform(low, high)))
    crowd = Crowd.random(rng, options.shape_zyx, periodic_x=options.periodic_x)
    mass = np.zeros(options.shape_zyx, np.float32)
    tally: dict[str, int] = {}
    if options.membranes:
        tally["membranes"] = _add_membranes(mass, rng, voxel, crowd, options)
    blobs: list[Blobs] = []
    if options.filaments:
        blobs += _filaments(rng, voxel, crowd)
        tally["filaments"] = len(blobs)
    if options.lattices and rng.random() < 0.12:
        blobs.append(_lattice(rng, voxel, options))
        tally["lattices"] = 1
    particles = _particles(rng, voxel, crowd, mass, options.particles)
    tally["particles"] = len(particles)
    blobs += particles
    if rng.random() < 0.6:
        blobs.append(_clutter(rng, voxel, crowd))
    mass += draw(Blobs.join(blobs), options.shape_zyx, periodic_x=options.periodic_x)
    density = -_SATURATION * (1.0 - np.exp(-np.maximum(mass, 0.0) / _SATURATION))
    gold = _gold(rng, voxel, crowd, options) if options.gold and rng.random() < 0.4 else None
    return Phantom(density.astype(np.float32), gold, voxel, options.periodic_x, seed, tally)


def phantom_of(
    templates: Templates, seed: int, shape_zyx: Shape3, voxel_angstrom: float, *, periodic_x: bool = True
) -> Phantom:
    """A crowd of given templates (Å around their centres) in random poses and nothing else."""
    rng = np.random.default_rng(seed)
    crowd = Crowd.random(rng, shape_zyx, periodic_x=periodic_x)
    placed = crowd.place(rng, templates, voxel_angstrom, fraction=0.25)
    mass = draw(Blobs.join(placed), shape_zyx, periodic_x=periodic_x)
    density = -_SATURATION * (1.0 - np.exp(-mass / _SATURATION))
    return Phantom(density.astype(np.float32), None, voxel_angstrom, periodic_x, seed, {"particles": len(placed)})


def _particles(rng: Rng, voxel: float, crowd: Crowd, membranes_mass: Float32s, names: tuple[str, ...]) -> list[Blobs]:
    """Crowded copies of a dozen random templates in random poses."""
    odds = np.array([PARTICLES[n][1] for n in names])
    kinds = rng.choice(len(names), size=rng.integers(4, 16), p=odds / odds.sum())
    templates = tuple(PARTICLES[names[k]][0](rng) for k in kinds)
    fraction = float(np.exp(rng.uniform(np.log(0.03), np.log(0.5))))
    return crowd.place(rng, templates, voxel, fraction=fraction, avoid=membranes_mass)


def _add_membranes(mass: Float32s, rng: Rng, voxel: float, crowd: Crowd, options: PhantomOptions) -> int:
    """Draws bilayers, single or double, with proteins on them; how many."""
    shape, wrap = options.shape_zyx, options.periodic_x
    kinds = ["vesicle"] * int(rng.choice([0, 0, 1, 2, 4])) + ["sheet"] * int(rng.choice([0, 0, 0, 0, 1]))
    kinds += ["tube"] * int(rng.choice([0, 0, 0, 0, 1]))
    cells = ["vesicle"] * int(rng.random() < 0.35)
    height = rng.uniform(0.5, 1.1)
    studs: list[Blobs] = []
    for number, kind in enumerate(cells + kinds):
        surface = membranes.random_surface(rng, kind, shape, voxel, cell=number < len(cells))
        spots = membranes.add_bilayer(mass, surface, voxel, height, rng, periodic_x=wrap)
        if number < len(cells):
            crowd.fill_inside(surface, rng)
        if rng.random() < 0.25:
            gap = rng.uniform(90, 250) / voxel
            moved = surface.centre_zyx + (surface.direction_zyx * gap if kind == "sheet" else 0.0)
            inner = membranes.Surface(kind, moved, surface.direction_zyx, max(2.0, surface.radius - gap), surface.waves)
            membranes.add_bilayer(mass, inner, voxel, height, rng, periodic_x=wrap)
        if rng.random() < 0.5 and len(spots):
            unit = PARTICLES["globular"][0](rng)
            some = spots[: rng.integers(1, 200)]
            studs += [unit.placed(random_rotation(rng), spot, 1 / voxel) for spot in some]
    mass += draw(Blobs.join(studs), shape, periodic_x=wrap)
    return len(cells + kinds)


def _filaments(rng: Rng, voxel: float, crowd: Crowd) -> list[Blobs]:
    """Filaments of one or two kinds, parallel (a bundle) or not."""
    count = int(rng.choice([0, 0, 0, 3, 10, 25]))
    common = rng.standard_normal(3)
    spread = rng.choice([0.1, 2.0])
    helices = [filaments.random_helix(rng) for _ in range(rng.integers(1, 3))]
    found = []
    for _ in range(count):
        helix = helices[rng.integers(len(helices))]
        direction = common + spread * rng.standard_normal(3)
        direction[0] *= 0.4
        direction /= np.linalg.norm(direction)
        length = rng.uniform(40, 250) * voxel
        start = crowd.spot(rng) * voxel - direction * length / 2
        path = filaments.draw_path(rng, start, direction, length, helix.bend)
        found.append(filaments.along(path, helix, rng).placed(np.eye(3), np.zeros(3), 1 / voxel))
    return found


def _lattice(rng: Rng, voxel: float, options: PhantomOptions) -> Blobs:
    """A two- or three-dimensional crystal of one particle in one orientation."""
    unit = PARTICLES["globular"][0](rng)
    cell = unit.radius * rng.uniform(1.7, 2.4)
    counts = [int(rng.integers(1, 5)), int(rng.integers(5, 14)), int(rng.integers(5, 14))]
    index = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in counts), indexing="ij"), axis=-1).reshape(-1, 3)
    turn = random_rotation(rng)
    sites = index * cell @ turn.T / voxel + rng.uniform(0.2, 0.8, 3) * np.array(options.shape_zyx)
    return Blobs.join([unit.placed(turn, site, 1 / voxel) for site in sites])


def _clutter(rng: Rng, voxel: float, crowd: Crowd) -> Blobs:
    """Thousands of small weak proteins that no one will ever resolve."""
    n = int(np.exp(rng.uniform(np.log(500), np.log(12_000))))
    points = np.array([crowd.spot(rng) for _ in range(n)])
    return Blobs(points, rng.uniform(9, 22, n) / voxel, rng.uniform(0.1, 0.7, n))


def _gold(rng: Rng, voxel: float, crowd: Crowd, options: PhantomOptions) -> Float32s:
    """Gold beads of 10 nm on the faces of the ice."""
    n = int(rng.integers(1, 11))
    points = np.array([crowd.face(rng) for _ in range(n)])
    sigma = np.full(n, 50.0 / np.sqrt(5.0) / voxel)
    heights = -rng.uniform(6.0, 12.0) * np.ones(n)
    return draw(Blobs(points, sigma, heights), options.shape_zyx, periodic_x=options.periodic_x)
