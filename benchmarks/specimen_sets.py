"""The project's unseen test set: seeded, fixed, and of no seed that a default model is trained or validated on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.shapes import other_specimens
from benchmarks.specimen import Specimen
from cryolithe_stream.geometry import Shape3
from cryolithe_stream.simulate import CLEAN, Acquisition, PhantomOptions, make_phantom
from cryolithe_stream.simulate.templates import TemplateLibrary, template_files

TILTS = np.arange(-60.0, 61.0, 3.0)
SHAPE: Shape3 = (128, 48, 192)
SEEDS = (7001, 7002, 7003, 7004)
MAP_SEEDS = (7101, 7102, 7103, 7104)
DENSE: tuple[tuple[int, Shape3, float | None], ...] = (
    (2, (80, 48, 160), None),
    (7301, (80, 48, 160), 0.5),
    (7302, (128, 48, 192), 0.5),
)
"""Seed, shape and crowding; the first is a phantom that happens to be full."""

MAP_ANGSTROM = 10.0
MAP_CROWDING = 0.2


def procedural(shape_zyx: Shape3 = SHAPE, seeds: tuple[int, ...] = SEEDS) -> list[Specimen]:
    """Phantoms of the training's classes, with white noise alone."""
    return _phantoms(shape_zyx, seeds, CLEAN)


def procedural_faults(shape_zyx: Shape3 = SHAPE, seeds: tuple[int, ...] = SEEDS) -> list[Specimen]:
    """The same phantoms with every fault of the acquisition."""
    return _phantoms(shape_zyx, seeds, Acquisition(p_drop=0.0))


def of_maps(folder: Path, shape_zyx: Shape3 = SHAPE, seeds: tuple[int, ...] = MAP_SEEDS) -> list[Specimen]:
    """Crowds of the density maps or structures in a folder and nothing else, at 10 Å."""
    library = TemplateLibrary(tuple(template_files([folder])))
    options = PhantomOptions(
        shape_zyx=shape_zyx,
        voxel_angstrom=(MAP_ANGSTROM, MAP_ANGSTROM),
        particles=(),
        membranes=False,
        filaments=False,
        lattices=False,
        gold=False,
        clutter=False,
        crowding=MAP_CROWDING,
    )
    found = []
    for i, seed in enumerate(seeds):
        phantom = make_phantom(seed, options, library.at)
        found.append(Specimen.of_phantom(phantom, TILTS, i, name=f"maps-{seed}"))
    return found


def other(shape_zyx: Shape3 = SHAPE) -> list[Specimen]:
    """Another density and other tilt schemes, see `shapes`."""
    return other_specimens(shape_zyx)


def dense() -> list[Specimen]:
    """Crowding at the limit."""
    found = []
    for i, (seed, shape, crowding) in enumerate(DENSE):
        phantom = make_phantom(seed, PhantomOptions(shape_zyx=shape, crowding=crowding))
        found.append(Specimen.of_phantom(phantom, TILTS, i, name=f"dense-{seed}"))
    return found


def specimen_sets(names: list[str], maps: Path | None) -> dict[str, Callable[[], list[Specimen]]]:
    """The sets asked for, by name, each made when it is called; `maps` is a folder of density maps or structures."""
    known: dict[str, Callable[[], list[Specimen]]] = {
        "procedural": procedural,
        "procedural-faults": procedural_faults,
        "other": other,
        "dense": dense,
    }
    if maps is not None:
        known["maps"] = lambda: of_maps(maps)
    return {name: known[name] for name in names}


def _phantoms(shape_zyx: Shape3, seeds: tuple[int, ...], faults: Acquisition) -> list[Specimen]:
    found = []
    for i, seed in enumerate(seeds):
        phantom = make_phantom(seed, PhantomOptions(shape_zyx=shape_zyx))
        found.append(Specimen.of_phantom(phantom, TILTS, i, name=f"phantom-{seed}", faults=faults))
    return found
