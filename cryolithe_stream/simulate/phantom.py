"""Phantoms: simulated frozen specimens, dark as in micrographs (protein is negative, solvent is zero)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cryolithe_stream.geometry import Float32s, Shape3
from cryolithe_stream.simulate import filaments, membranes
from cryolithe_stream.simulate.blobs import Blobs, draw, random_rotation
from cryolithe_stream.simulate.carbon import carbon_edge, carbon_texture
from cryolithe_stream.simulate.crowd import Crowd
from cryolithe_stream.simulate.ice import Ice
from cryolithe_stream.simulate.particles import PARTICLES
from cryolithe_stream.simulate.placement import Particle, place_templates
from cryolithe_stream.simulate.templates import Template

Rng = np.random.Generator
Templates = tuple[Blobs, ...]

_SATURATION = 1.6
_DEFAULT_CROWDING = 0.15


@dataclass(frozen=True, slots=True)
class PhantomOptions:
    """What a phantom may hold. A part that is allowed is still drawn at random: not every phantom has it.

    `voxel_angstrom` is a range that the voxel size is drawn from (log-uniformly); with `periodic_x` the specimen
    goes on without end along x (see `project`), else it ends at the volume's sides. `certain` names parts that no
    phantom lacks: membranes, filaments, lattices, gold. `crowding` is the share of the ice that particles take, inside
    cells and outside, and `ice_angstrom` its thickness, tilted by `ice_tilt_deg`; without them both are random.
    `carbon` adds the edge of a carbon film. `field_x` columns in the middle are what will be looked at, if not all:
    the edge enters there, and there are as many membranes, filaments and beads as so many more fields hold.
    """

    shape_zyx: Shape3 = (128, 96, 320)
    voxel_angstrom: tuple[float, float] = (7.0, 20.0)
    particles: tuple[str, ...] = tuple(PARTICLES)
    membranes: bool = True
    filaments: bool = True
    lattices: bool = True
    gold: bool = True
    periodic_x: bool = True
    clutter: bool = True
    certain: tuple[str, ...] = ()
    crowding: float | None = None
    ice_angstrom: float | None = None
    ice_tilt_deg: float = 0.0
    carbon: bool = False
    field_x: int | None = None

    @property
    def fields(self) -> int:
        """How many fields the specimen is wide, 1 or more."""
        return max(1, round(self.shape_zyx[2] / (self.field_x or self.shape_zyx[2])))


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A specimen: `density` and `gold` `(z, y, x)`, negative where matter is denser than the solvent.

    One unit is about the contrast of dense protein. Gold beads (some 6 to 12 units) and carbon are kept apart because
    noise is stated against the specimen without them. `particles` tells where templates were placed.
    """

    density: Float32s
    gold: Float32s | None
    voxel_angstrom: float
    periodic_x: bool
    seed: int
    tally: dict[str, int] = field(default_factory=dict)
    carbon: Float32s | None = None
    particles: tuple[Particle, ...] = ()

    @property
    def support(self) -> Float32s | None:
        """Gold and carbon together: what noise is not stated against."""
        if self.gold is None or self.carbon is None:
            return self.carbon if self.gold is None else self.gold
        return self.gold + self.carbon

    @property
    def truth(self) -> Float32s:
        """Density with gold and carbon, what a reconstruction should show."""
        return self.density if (support := self.support) is None else self.density + support


def make_phantom(
    seed: int, options: PhantomOptions | None = None, templates: Callable[[float], Sequence[Template]] | None = None
) -> Phantom:
    """The phantom of a seed: the same seed and options give the same voxels.

    `templates` gives macromolecules for a voxel size in Å; they crowd what the options leave room for.
    """
    options = options or PhantomOptions()
    rng = np.random.default_rng(seed)
    low, high = np.log(options.voxel_angstrom)
    voxel = float(np.exp(rng.uniform(low, high)))
    crowd, ice = _crowd(rng, seed, voxel, options)
    film = _film(seed, voxel, crowd, options) if options.carbon else None
    mass = np.zeros(options.shape_zyx, np.float32)
    tally: dict[str, int] = {}
    if options.membranes:
        tally["membranes"] = _add_membranes(mass, rng, voxel, crowd, options)
    blobs: list[Blobs] = []
    if options.filaments:
        blobs += _filaments(rng, voxel, crowd, options)
        tally["filaments"] = len(blobs)
    if options.lattices and (rng.random() < 0.12 or "lattices" in options.certain):
        blobs.append(_lattice(rng, voxel, options))
        tally["lattices"] = 1
    if options.particles:
        particles = _particles(rng, voxel, crowd, mass, options)
        tally["particles"] = len(particles)
        blobs += particles
    if options.clutter and rng.random() < 0.6:
        blobs.append(_clutter(rng, voxel, crowd))
    mass += draw(Blobs.join(blobs), options.shape_zyx, periodic_x=options.periodic_x)
    density = _saturated(np.maximum(mass, 0.0))
    del mass
    if ice is not None:
        ice.clip(density)
    if film is not None:
        density *= 1 - film
    placed: list[Particle] = []
    if templates is not None:
        fraction = _DEFAULT_CROWDING if options.crowding is None else options.crowding
        placed = place_templates(density, templates(voxel), crowd, np.random.default_rng([seed, 4]), fraction)
        tally["templates"] = len(placed)
        tally |= Counter(particle.name for particle in placed)
    gold = None
    if options.gold and (rng.random() < 0.4 or "gold" in options.certain):
        gold, tally["gold"] = _gold(rng, voxel, crowd, options)
    if film is not None:
        carbon_texture(np.random.default_rng([seed, 3]), film, voxel)
    return Phantom(density, gold, voxel, options.periodic_x, seed, tally, film, tuple(placed))


def _saturated(mass: Float32s) -> Float32s:
    return np.asarray(-_SATURATION * (1.0 - np.exp(-mass / _SATURATION)), np.float32)


def _crowd(rng: Rng, seed: int, voxel: float, options: PhantomOptions) -> tuple[Crowd, Ice | None]:
    """Where things may lie: in ice of the options' thickness and tilt, else of random ones."""
    if options.ice_angstrom is None:
        return Crowd.random(rng, options.shape_zyx, periodic_x=options.periodic_x), None
    own = np.random.default_rng([seed, 2])
    wrap = options.periodic_x
    ice = Ice.tilted(own, options.ice_angstrom / voxel, options.ice_tilt_deg, periodic_x=wrap)
    return Crowd.within(own, ice, options.shape_zyx, periodic_x=wrap), ice


def _film(seed: int, voxel: float, crowd: Crowd, options: PhantomOptions) -> Float32s:
    """A carbon film's share of the voxels, of which the crowd is then kept free."""
    (sections,) = np.nonzero(crowd.odds.any(axis=(1, 2)))
    middle = float(sections.mean() + 0.5) * options.shape_zyx[0] / len(crowd.odds) if len(sections) else 0.0
    shown = options.field_x or options.shape_zyx[2]
    film = carbon_edge(np.random.default_rng([seed, 5]), options.shape_zyx, shown, voxel, middle)
    crowd.without(film)
    return film


def phantom_of(
    templates: Templates, seed: int, shape_zyx: Shape3, voxel_angstrom: float, *, periodic_x: bool = True
) -> Phantom:
    """A crowd of given templates (Å around their centres) in random poses and nothing else."""
    rng = np.random.default_rng(seed)
    crowd = Crowd.random(rng, shape_zyx, periodic_x=periodic_x)
    placed = crowd.place(rng, templates, voxel_angstrom, fraction=0.25)
    mass = draw(Blobs.join(placed), shape_zyx, periodic_x=periodic_x)
    return Phantom(_saturated(mass), None, voxel_angstrom, periodic_x, seed, {"particles": len(placed)})


def _particles(rng: Rng, voxel: float, crowd: Crowd, mass: Float32s, options: PhantomOptions) -> list[Blobs]:
    """Crowded copies of a dozen random shapes in random poses, away from membranes."""
    names = options.particles
    odds = np.array([PARTICLES[n][1] for n in names])
    kinds = rng.choice(len(names), size=rng.integers(4, 16), p=odds / odds.sum())
    templates = tuple(PARTICLES[names[k]][0](rng) for k in kinds)
    fraction = float(np.exp(rng.uniform(np.log(0.03), np.log(0.5))))
    fraction = fraction if options.crowding is None else options.crowding
    return crowd.place(rng, templates, voxel, fraction=fraction, avoid=mass)


def _add_membranes(mass: Float32s, rng: Rng, voxel: float, crowd: Crowd, options: PhantomOptions) -> int:
    """Draws bilayers, single or double, with proteins on them; how many."""
    shape, wrap = options.shape_zyx, options.periodic_x
    kinds: list[str] = []
    for _ in range(options.fields):
        kinds += ["vesicle"] * int(rng.choice([0, 0, 1, 2, 4])) + ["sheet"] * int(rng.choice([0, 0, 0, 0, 1]))
        kinds += ["tube"] * int(rng.choice([0, 0, 0, 0, 1]))
    cells = ["vesicle"] * int(rng.random() < 0.35)
    if not kinds + cells and "membranes" in options.certain:
        kinds = ["vesicle"] * options.fields
    height = rng.uniform(0.5, 1.1)
    studs: list[Blobs] = []
    for number, kind in enumerate(cells + kinds):
        surface = membranes.random_surface(rng, kind, shape, voxel, cell=number < len(cells))
        if number == 0 and "membranes" in options.certain:
            surface = _in_field(surface, options)
        spots = membranes.add_bilayer(mass, surface, voxel, height, rng, periodic_x=wrap)
        if number < len(cells) and options.crowding is None:
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


def _in_field(surface: membranes.Surface, options: PhantomOptions) -> membranes.Surface:
    """The surface with its centre moved along x into the columns that will be looked at."""
    nx = options.shape_zyx[2]
    shown = options.field_x or nx
    z, y, x = surface.centre_zyx
    return replace(surface, centre_zyx=np.array([z, y, (nx - shown) / 2 + x / nx * shown]))


def _filaments(rng: Rng, voxel: float, crowd: Crowd, options: PhantomOptions) -> list[Blobs]:
    """Filaments of one or two kinds, parallel (a bundle) or not."""
    count = options.fields * (int(rng.choice([0, 0, 0, 3, 10, 25])) or 3 * ("filaments" in options.certain))
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


def _gold(rng: Rng, voxel: float, crowd: Crowd, options: PhantomOptions) -> tuple[Float32s, int]:
    """Gold beads of 10 nm on the faces of the ice, and how many."""
    n = options.fields * int(rng.integers(1, 11))
    points = np.array([crowd.face(rng) for _ in range(n)])
    sigma = np.full(n, 50.0 / np.sqrt(5.0) / voxel)
    heights = -rng.uniform(6.0, 12.0) * np.ones(n)
    return draw(Blobs(points, sigma, heights), options.shape_zyx, periodic_x=options.periodic_x), n
