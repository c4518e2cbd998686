"""A folder of simulated tilt series, as a microscope and its pipeline leave them, with the truth beside them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal

from cryolithe_stream.errors import OutputError
from cryolithe_stream.simulate.manifest import MANIFEST, Manifest, SeriesEntry, read_manifest
from cryolithe_stream.simulate.mapper import IN_TURN, Mapper
from cryolithe_stream.simulate.memory import require_memory
from cryolithe_stream.simulate.options import SimulateOptions
from cryolithe_stream.simulate.series import Recipe, library_of, make_folder
from cryolithe_stream.store import is_ours, output_faults
from cryolithe_stream.store.labels import mrc_labels
from cryolithe_stream.store.lock import WriterLock

Status = Literal["made", "kept"]
Report = Callable[[Status, Path], None]
_SMALLER = "Give a smaller --size or a larger --pixel-size, --surroundings periodic, or fewer workers at once"


def simulate(options: SimulateOptions, report: Report | None = None, *, workers: Mapper = IN_TURN) -> Manifest:
    """Makes the series of `count` seeds from `seed` on in the output folder; what was finished is kept.

    Series are made where `workers` do it, with the same bytes everywhere. One appears under its name when it is whole,
    then in the manifest; `report` hears of every series. Raises InputError for options and files, OutputError when the
    folder holds series of other options (unless `overwrite`) or cannot be written, MemoryBudgetError for sizes that a
    worker has no memory for.
    """
    recipe, tell = Recipe.of(options), report or (lambda status, path: None)
    with _held(options.output):
        manifest, replaced = _opened(recipe)
        seeds = range(options.seed, options.seed + options.count)
        missing = [seed for seed in seeds if not _is_there(manifest, recipe.name(seed))]
        _require(recipe, missing, workers)
        _remove(replaced, manifest)
        _clear(recipe)
        for seed in sorted({*seeds} - {*missing}):
            tell("kept", options.output / recipe.name(seed))
        try:
            with closing(workers.map(partial(make_folder, recipe), missing, what="a series")) as all_made:
                for made in all_made:
                    folder = options.output / made.entry.name
                    _put(made.folder, folder, recipe)
                    manifest = manifest.with_entry(made.entry)
                    manifest.write()
                    tell("made", folder)
        finally:
            library_of.cache_clear()
            _clear(recipe)
    return manifest


def _is_there(manifest: Manifest, name: str) -> bool:
    return manifest.entry(name) is not None and (manifest.folder / name).is_dir()


def _require(recipe: Recipe, missing: Sequence[int], workers: Mapper) -> None:
    """Raises before anything is written when missing series have no memory or no place."""
    if missing:
        what = f"a specimen of {' x '.join(map(str, recipe.specimen_zyx))} voxels"
        require_memory(recipe.peak_bytes, what, workers.room_bytes(), fix=_SMALLER)
    for seed in missing:
        _require_free(recipe.options.output / recipe.name(seed), recipe)


def _put(fresh: Path, folder: Path, recipe: Recipe) -> None:
    """Gives a series that was made its name."""
    _require_free(folder, recipe)
    with output_faults(folder):
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)


def _clear(recipe: Recipe) -> None:
    """Removes what interrupted series left, of earlier commands too."""
    name = recipe.options.name
    for pattern in (f".{name}_[0-9]*.new", f"..{name}_[0-9]*.new.creating"):
        for left in recipe.folder.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)
    for left in recipe.folder.glob(f".{MANIFEST}.*.partial"):
        left.unlink(missing_ok=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """The output folder, made when it is missing, held against other writers; removed when it was made for nothing."""
    made = not folder.exists()
    with output_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock.acquire(folder / ".lock")
    try:
        yield
    finally:
        lock.path.unlink(missing_ok=True)
        lock.release()
        if made:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def _opened(recipe: Recipe) -> tuple[Manifest, list[SeriesEntry]]:
    """The manifest of the output folder, new unless there is one of the same recipe, and the series that it replaces.

    Raises OutputError when these may not be replaced.
    """
    options = recipe.options
    fresh = Manifest(
        fingerprint=recipe.fingerprint,
        options=options.recipe(),
        templates=recipe.hashes,
        series=[],
        folder=options.output,
    )
    if not (options.output / MANIFEST).exists():
        return fresh, []
    found = read_manifest(options.output)
    if found.fingerprint == recipe.fingerprint:
        return found, []
    if not options.overwrite:
        differs = [key for key, value in fresh.options.items() if found.options.get(key) != value]
        differs += ["the template files"] * (found.templates != fresh.templates)
        raise OutputError(
            f"{options.output} holds series of other options ({', '.join(differs) or 'the tilt angles'})",
            fix="Name another folder, or --overwrite them",
        )
    return fresh, found.series


def _remove(replaced: Sequence[SeriesEntry], manifest: Manifest) -> None:
    """Removes series of other options; the manifest that lists none of them is written before."""
    if replaced:
        manifest.write()
    for entry in replaced:
        if is_ours(folder := manifest.folder / entry.name / f"{entry.name}.mrc"):
            shutil.rmtree(folder.parent)


def _require_free(folder: Path, recipe: Recipe) -> None:
    """Raises OutputError when something stands where a series shall be, unless it is one and may be overwritten.

    One of this recipe may: a predecessor was killed before the manifest listed it.
    """
    stack = folder / f"{folder.name}.mrc"
    ours = is_ours(stack) and (recipe.options.overwrite or recipe.label in mrc_labels(stack))
    if folder.exists() and not ours:
        raise OutputError(f"{folder} exists and no manifest lists it", fix="Move it away, or --overwrite a series")
