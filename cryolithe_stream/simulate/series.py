"""One simulated series: from the recipe of its set and a seed to a folder of files."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import numpy as np

from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.geometry import Floats, Shape3
from cryolithe_stream.simulate.files import write_images, write_particles, write_truth
from cryolithe_stream.simulate.manifest import Files, SeriesEntry
from cryolithe_stream.simulate.memory import simulation_bytes, specimen_shape
from cryolithe_stream.simulate.options import SimulateOptions
from cryolithe_stream.simulate.phantom import Phantom, make_phantom
from cryolithe_stream.simulate.recording import Conditions, Recording, record
from cryolithe_stream.simulate.templates import TemplateLibrary, template_files, template_hashes
from cryolithe_stream.store.atomic import folder_made_whole
from cryolithe_stream.store.labels import fingerprint_label


@dataclass(frozen=True, slots=True)
class Recipe:
    """What every series of a set shares, wherever it is made: options, tilts, template files, a fingerprint.

    `folder` is the output's, absolute as the templates' paths are; `specimen_zyx` the voxels to simulate.
    """

    options: SimulateOptions
    folder: Path
    tilts_deg: Floats
    templates: tuple[Path, ...]
    hashes: dict[str, str]
    specimen_zyx: Shape3
    fingerprint: str

    @property
    def label(self) -> str:
        """What the stacks say of it."""
        return fingerprint_label(self.fingerprint)

    @property
    def peak_bytes(self) -> int:
        """Upper bound of the bytes of a process that makes one of its series, see `simulation_bytes`."""
        o = self.options
        return simulation_bytes(self.specimen_zyx, o.size[2], self.tilts_deg, gradient=o.defocus_gradient)

    def name(self, seed: int) -> str:
        """The name of the series of a seed."""
        return f"{self.options.name}_{seed:05d}"

    @classmethod
    def of(cls, options: SimulateOptions) -> Recipe:
        """Settles everything from options and files. Raises InputError."""
        tilts = options.tilts_deg()
        templates = tuple(template_files(options.templates)) if options.uses("templates") else ()
        hashes = template_hashes(templates)
        shape = specimen_shape(options.size, tilts, wide=options.beside() == "wide")
        content = {"format": 1, "options": options.recipe(), "tilts": tilts.tolist(), "templates": hashes}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        paths = tuple(path.absolute() for path in templates)
        return cls(options, options.output.absolute(), tilts, paths, hashes, shape, digest)


@dataclass(frozen=True, slots=True)
class Made:
    """A series that was made: its entry in the manifest, and the folder that waits for the series' name."""

    entry: SeriesEntry
    folder: Path


def make_folder(recipe: Recipe, seed: int) -> Made:
    """Makes the series of a seed in a hidden folder of its own below the recipe's, whole when this returns.

    Any process may do so, several at once, and one seed twice: the bytes depend on recipe and seed alone. Raises what
    is wrong with the series, which it names; then nothing is left.
    """
    name = recipe.name(seed)
    fresh = recipe.folder / f".{name}.{uuid4().hex}.new"
    try:
        with folder_made_whole(fresh) as work:
            entry = make_series(work, name, seed, recipe)
    except CryolitheError as error:
        raise type(error)(f"{name}: {error.what}", fix=error.fix) from error
    return Made(entry, fresh)


@lru_cache(maxsize=1)
def library_of(paths: tuple[Path, ...], fingerprint: str) -> TemplateLibrary:
    """The templates of a recipe, held by this process for its next series."""
    return TemplateLibrary(paths)


def make_series(work: Path, name: str, seed: int, recipe: Recipe) -> SeriesEntry:
    """Simulates one series and writes its files into the folder `work`; its entry in the manifest."""
    options, library = recipe.options, library_of(recipe.templates, recipe.fingerprint)
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
