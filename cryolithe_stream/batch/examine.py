"""What the headers and text files of a series say, through the same reading that a run does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryolithe_stream.batch.series import Facts, Series
from cryolithe_stream.errors import CryolitheError, CryolitheWarning, InputError
from cryolithe_stream.read import Half, TiltSeries, describe_stack, open_mrc_map, read_mdoc, read_tilt_series
from cryolithe_stream.run.inputs import here, require_here
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.store import Place

_PLACEHOLDER = "tomogram.ome.zarr"
_VOLUMES = ("stack of volumes", "volume")
_VOLUME = 1  # space group of MRC2014


def examine(series: Series, shared: Mapping[str, Any]) -> tuple[Series, Facts]:
    """A series as it can be run, and what is known of it; notes tell what is not used, and warnings.

    Raises InputError for what would stop its run.
    """
    with _collected() as heard:
        series, main, unused = usable(series, shared)
    read = main.provenance
    pixel, alignment = read["pixel"], read["alignment"]
    facts = Facts(
        shape_vyx=main.stack.shape,
        pixel_angstrom=main.pixel_angstrom,
        pixel_from=str(pixel["source"]) if isinstance(pixel, dict) else "",
        angles_from=str(read["angles"]),
        alignment_from=str(alignment["path"]) if isinstance(alignment, dict) else "",
        left_out=str(read["left_out_views"]),
        notes=tuple(dict.fromkeys([*unused, *heard])),
    )
    return series, facts


def usable(series: Series, shared: Mapping[str, Any]) -> tuple[Series, TiltSeries, list[str]]:
    """A series as it can be run, as it was read (without its frames), and what is not used of it, in words.

    Half stacks, a reference or an `.mdoc` that cannot be used are taken from it. Raises InputError for what would stop
    its run.
    """
    unused: list[str] = []
    series = _without_faulty_reference(series, unused)
    if series.odd is not None and {**shared, **series.options}.get("halves"):
        series = replace(series, odd=None, even=None)
        unused.append("its half stacks are not used: the option halves splits its tilts instead")
    try:
        main, options = _read_series(series, shared)
    except InputError:
        if series.mdoc is None or not (fault := _fault(read_mdoc, require_here(series.mdoc))):
            raise
        unused.append(f"its mdoc is not used: {fault}")
        series = replace(series, mdoc=None)
        main, options = _read_series(series, shared)
    if fault := _halves_fault(main, options):
        series = replace(series, odd=None, even=None)
        unused.append(f"odd and even halves are not used: {fault}")
    mdoc = main.provenance["mdoc"]
    return replace(series, mdoc=Path(mdoc) if isinstance(mdoc, str) else None), main, unused


def what_it_is(stack: Path, otherwise: str) -> str:
    """What a file that is no series looks like, in words: an image, a volume, damaged; else the reason `otherwise`."""
    with _collected():
        try:
            facts = describe_stack(stack)
        except CryolitheError as error:
            return error.what
        except OSError as error:
            return f"{stack} cannot be read ({error.strerror})"
    guess = str(facts["guess"])
    if guess == "single image":
        return "a single image, not a tilt series"
    if guess.startswith(_VOLUMES):
        return f"a {guess}, not a tilt series"
    unknown = guess.startswith("tilt series or") and otherwise.startswith(("no tilt angles", "no layout"))
    return f"{otherwise}; it may be a volume" if unknown and facts["ispg"] == _VOLUME else otherwise


def _read_series(series: Series, shared: Mapping[str, Any]) -> tuple[TiltSeries, RunOptions]:
    """A series and the options that it was read with."""
    files = {role: path for role, path in series.files().items() if role != "reference"}
    options = RunOptions(**{**shared, **series.options}, **files, output=_PLACEHOLDER)
    return _read(series.stack, options, options.pixel_size, options.mdoc), options


def _read(
    stack: Place, options: RunOptions, pixel_angstrom: float | None, mdoc: Place | None, half: Half | None = None
) -> TiltSeries:
    try:
        return read_tilt_series(
            require_here(stack),
            angles=here(options.angles),
            alignment=here(options.alignment),
            alignment_angstrom=options.alignment_pixel_size,
            pixel_angstrom=pixel_angstrom,
            exclude=options.exclude,
            mdoc=here(mdoc),
            half=half,
        )
    except OSError as error:
        if isinstance(error, CryolitheError):
            raise
        raise InputError(f"{stack} cannot be read ({error.strerror})", fix="Check the disk") from error


def _halves_fault(main: TiltSeries, options: RunOptions) -> str:
    """Why half stacks cannot be used; empty when they can or there are none."""
    if options.odd is None or options.even is None:
        return ""
    halves: tuple[tuple[Place, Half], ...] = ((options.odd, "odd"), (options.even, "even"))
    for half, name in halves:
        try:
            shape = _read(half, options, main.pixel_angstrom, None, name).stack.shape
        except InputError as error:
            return error.what
        if shape != main.stack.shape:
            return f"{half} has shape {shape}, {main.stack.path} has {main.stack.shape}"
    return ""


def _without_faulty_reference(series: Series, unused: list[str]) -> Series:
    """The series without a reference that cannot be read."""
    if series.reference is None or not (fault := _fault(open_mrc_map, require_here(series.reference))):
        return series
    unused.append(f"its reference is not used: {fault}")
    return replace(series, reference=None)


def _fault(read: Callable[[Path], object], path: Path) -> str:
    """Why a file cannot be read; empty when it can."""
    try:
        read(path)
    except (CryolitheError, OSError) as error:
        return str(error)
    return ""


@contextmanager
def _collected() -> Iterator[list[str]]:
    """A block whose warnings become texts in a list instead."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CryolitheWarning)
        yield notes
    notes.extend(str(warning.message) for warning in caught if issubclass(warning.category, CryolitheWarning))
