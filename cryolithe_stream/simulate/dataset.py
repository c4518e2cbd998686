"""A folder of simulated tilt series, as a microscope and its pipeline leave them, with the truth beside them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from cryolithe_stream.errors import OutputError
from cryolithe_stream.geometry import Floats, Shape3
from cryolithe_stream.simulate.files import write_images, write_particles, write_truth
from cryolithe_stream.simulate.manifest import MANIFEST, Files, Manifest, SeriesEntry, read_manifest
from cryolithe_stream.simulate.memory import require_memory, simulation_bytes, specimen_shape
from cryolithe_stream.simulate.options import SimulateOptions
from cryolithe_stream.simulate.phantom import Phantom, make_phantom
from cryolithe_stream.simulate.recording import Conditions, Recording, record
from cryolithe_stream.simulate.templates import TemplateLibrary, template_files, template_hashes
from cryolithe_stream.store import is_ours, output_faults
from cryolithe_stream.store.atomic import folder_made_whole
from cryolithe_stream.store.labels import fingerprint_label, mrc_labels
from cryolithe_stream.store.lock import WriterLock

Status = Literal["made", "kept"]
Report = Callable[[Status, Path], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every series of a set shares: options, tilts, template files, the voxels to simulate, a fingerprint."""

    options: SimulateOptions
    tilts_deg: Floats
    templates: tuple[Path, ...]
    hashes: dict[str, str]
    specimen_zyx: Shape3
    fingerprint: str

    @property
    def label(self) -> str:
        """What the stacks say of it."""
        return fingerprint_label(self.fingerprint)

    @classmethod
    def of(cls, options: SimulateOptions) -> Recipe:
        """Settles everything from options and files. Raises InputError, MemoryBudgetError included."""
        tilts = options.tilts_deg()
        templates = tuple(template_files(options.templates)) if options.uses("templates") else ()
        hashes = template_hashes(templates)
        shape = specimen_shape(options.size, tilts, wide=options.beside() == "wide")
        needed = simulation_bytes(shape, options.size[2], tilts, gradient=options.defocus_gradient)
        require_memory(needed, f"a specimen of {' x '.join(map(str, shape))} voxels")
        content = {"format": 1, "options": options.recipe(), "tilts": tilts.tolist(), "templates": hashes}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return cls(options, tilts, templates, hashes, shape, digest)


def simulate(options: SimulateOptions, report: Report | None = None) -> Manifest:
    """Makes the series of `count` seeds from `seed` on in the output folder; what was finished is kept.

    A series appears under its name when it is whole, then in the manifest. `report` hears of every series. Raises
    InputError for options and files, OutputError when the folder holds series of other options (unless `overwrite`) or
    cannot be written, MemoryBudgetError for sizes that this machine has no memory for.
    """
    recipe = Recipe.of(options)
    library = TemplateLibrary(recipe.templates)
    with _held(options.output):
        manifest = _opened(recipe)
        for seed in range(options.seed, options.seed + options.count):
            name = f"{options.name}_{seed:05d}"
            folder = options.output / name
            finished = manifest.entry(name) is not None and folder.is_dir()
            if not finished:
                _require_free(folder, recipe)
                fresh = options.output / f".{name}.new"
                shutil.rmtree(fresh, ignore_errors=True)
                with folder_made_whole(fresh) as work:
                    entry = make_series(work, name, seed, recipe, library)
                with output_faults(folder):
                    if folder.exists():
                        shutil.rmtree(folder)
                    fresh.rename(folder)
                manifest = manifest.with_entry(entry)
                manifest.write()
            if report is not None:
                report("kept" if finished else "made", folder)
    return manifest


def make_series(work: Path, name: str, seed: int, recipe: Recipe, library: TemplateLibrary) -> SeriesEntry:
    """Simulates one series and writes its files into the folder `work`; its entry in the manifest."""
    options = recipe.options
    pixel, ice = _drawn(options, seed)
    allowed = options.phantom(recipe.specimen_zyx, pixel, ice)
    templates = (lambda _: library.at(pixel)) if library.paths else None
    phantom = replace(make_phantom(seed, allowed, templates), voxel_angstrom=pixel)  # exp(log(x)) is not quite x
    trim = (recipe.specimen_zyx[2] - options.size[2]) // 2
    conditions = Conditions.drawn(options, recipe.tilts_deg, seed)
    write_truth(work, phantom, trim, options.size)
    scratch = work / "images.raw"
    recording = record(phantom, conditions, options, scratch)
    write_images(work, name, recording, recipe.tilts_deg, pixel, clean=options.clean, label=recipe.label)
    if library.paths:
        write_particles(work / f"{name}_particles.tsv", phantom.particles, trim, options.size[2])
    scratch.unlink()
    return _entry(name, phantom, recording, conditions, options, ice)


def _drawn(options: SimulateOptions, seed: int) -> tuple[float, float | None]:
    """Pixel size (log-uniform) and thickness of the ice in Å, from their ranges."""
    rng = np.random.default_rng([seed, 8])
    pixel = round(float(np.exp(rng.uniform(*np.log(options.pixel_size)))), 4)
    ice = options.ice_thickness and round(float(rng.uniform(*options.ice_thickness)), 1)
    return pixel, ice


def _entry(
    name: str, phantom: Phantom, made: Recording, conditions: Conditions, options: SimulateOptions, ice: float | None
) -> SeriesEntry:
    place = f"{name}/{name}"
    defocus, per_tilt = conditions.defocus_um, conditions.dose_per_tilt
    n_tilts, rows, width = made.images.shape
    return SeriesEntry(
        name=name,
        seed=phantom.seed,
        files=Files(
            stack=f"{place}.mrc",
            odd=f"{place}_odd.mrc",
            even=f"{place}_even.mrc",
            angles=f"{place}.tlt",
            truth=f"{name}/truth.ome.zarr",
            truth_mrc=f"{name}/truth.mrc",
            clean=f"{place}_clean.mrc" if options.clean else None,
            particles=f"{place}_particles.tsv" if options.uses("templates") else None,
        ),
        pixel_angstrom=phantom.voxel_angstrom,
        shape_tyx=(n_tilts, rows, width),
        volume_zyx=options.size,
        tilts_deg=conditions.tilts_deg.tolist(),
        noise=options.noise,
        snr_db=made.snr_db,
        noise_sigma=made.sigma,
        counts_per_pixel=made.counts,
        ice_thickness_angstrom=ice,
        defocus_um=None if defocus is None else defocus.tolist(),
        dose_before_e_a2=conditions.dose_before.tolist() if per_tilt > 0 else None,
        dose_per_tilt_e_a2=per_tilt or None,
        holds=phantom.tally,
    )


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The output folder, made when it is missing, held against other writers."""
    with output_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock.acquire(folder / ".lock")
    try:
        yield
    finally:
        lock.path.unlink(missing_ok=True)
        lock.release()


def _opened(recipe: Recipe) -> Manifest:
    """The manifest of the output folder, new unless there is one of the same recipe."""
    options = recipe.options
    fresh = Manifest(
        fingerprint=recipe.fingerprint,
        options=options.recipe(),
        templates=recipe.hashes,
        series=[],
        folder=options.output,
    )
    if not (options.output / MANIFEST).exists():
        return fresh
    found = read_manifest(options.output)
    if found.fingerprint == recipe.fingerprint:
        return found
    if not options.overwrite:
        differs = [key for key, value in fresh.options.items() if found.options.get(key) != value]
        differs += ["the template files"] * (found.templates != fresh.templates)
        raise OutputError(
            f"{options.output} holds series of other options ({', '.join(differs) or 'the tilt angles'})",
            fix="Name another folder, or --overwrite them",
        )
    fresh.write()
    for entry in found.series:
        if is_ours(folder := options.output / entry.name / f"{entry.name}.mrc"):
            shutil.rmtree(folder.parent)
    return fresh


def _require_free(folder: Path, recipe: Recipe) -> None:
    """Raises OutputError when something stands where a series shall be, unless it is one and may be overwritten.

    One of this recipe may: a predecessor was killed before the manifest listed it.
    """
    stack = folder / f"{folder.name}.mrc"
    ours = is_ours(stack) and (recipe.options.overwrite or recipe.label in mrc_labels(stack))
    if folder.exists() and not ours:
        raise OutputError(f"{folder} exists and no manifest lists it", fix="Move it away, or --overwrite a series")
