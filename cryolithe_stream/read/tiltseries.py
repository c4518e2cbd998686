"""Reads a tilt series: a stack, its angles, its alignment."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import CryolitheError, CryolitheWarning, InputError
from cryolithe_stream.geometry import Floats, Shape2
from cryolithe_stream.read.angles import Angles, read_angles, sibling
from cryolithe_stream.read.aretomo import read_aln
from cryolithe_stream.read.etomo import read_etomo
from cryolithe_stream.read.extended import extended_tilts_deg
from cryolithe_stream.read.header import MrcHeader, read_header
from cryolithe_stream.read.match import match_by_angle
from cryolithe_stream.read.mdoc import Mdoc, read_mdoc
from cryolithe_stream.read.pixel import pixel_size
from cryolithe_stream.read.relion import Half, Listed, is_star, read_relion
from cryolithe_stream.read.resolve import Kept, keep_views, known_views
from cryolithe_stream.read.series import Alignment, TiltSeries
from cryolithe_stream.read.solution import Solution, VolumeHint
from cryolithe_stream.read.stack import Stack
from cryolithe_stream.read.text import Json, PathLike, existing_file, format_views, read_text
from cryolithe_stream.read.warp import read_warp, warn_of_mirror
from cryolithe_stream.read.xf import read_xf, turned_shape


def read_tilt_series(
    stack: PathLike,
    *,
    angles: PathLike | None = None,
    alignment: PathLike | None = None,
    alignment_angstrom: float | None = None,
    pixel_angstrom: float | None = None,
    exclude: Sequence[int] = (),
    mdoc: PathLike | None = None,
    half: Half | None = None,
) -> TiltSeries:
    """The tilt series in an MRC stack, or that a star file of RELION-5 lists, with frames still on disk.

    `alignment` is an `.xf` or `.aln` file, Warp's `.xml`, a `tilt.com` or `newst.com`, or an etomo folder; without it
    the stack is taken as aligned, its tilt axis along y. `alignment_angstrom` is the pixel size that the alignment was
    solved at, where that is not the stack's. `exclude` holds 1-based view numbers. A star file brings its alignment
    along, its views are in the order of their tilts, and `half` takes its images of odd or even frames. Raises
    InputError, one line with what was found and the next step, for everything that cannot be used.
    """
    listed = None
    if is_star(stack):
        listed = read_relion(stack, half=half, pixel_angstrom=pixel_angstrom, aligned=alignment is None)
    header = read_header(stack) if listed is None else listed.header
    _refuse_no_series(header)
    notes = _find_mdoc(header, mdoc)
    n_views = header.shape[0]
    nominal = [listed.nominal] if listed and listed.nominal else []
    known = known_views(header.path, n_views, [*nominal, *_nominal(header, notes)], exclude)
    warn_of_mirror(header.path, None if alignment is None else Path(alignment))
    if alignment is not None:
        solution = _solution(Path(alignment), header, with_angles=angles is None)
    elif listed is not None:
        solution = _own_solution(listed)
    else:
        solution = None
        _warn_if_raw(header.path, n_views)
    if listed is not None and listed.pixel is not None and pixel_angstrom is None:
        pixel, pixel_source = listed.pixel
    else:
        pixel, pixel_source = pixel_size(header, pixel_angstrom, notes, solution.pixel if solution else None)
    kept = keep_views(known, angles, solution)
    dose = None if listed is None else listed.dose_e_a2
    factor = _factor(alignment_angstrom, pixel, solution)
    return TiltSeries(
        stack=Stack.of(header) if listed is None else listed.stack,
        views=kept.views,
        tilts_deg=kept.tilts_deg,
        pixel_angstrom=pixel,
        alignment=_alignment(header, solution, kept, factor, alignment_angstrom),
        hint=VolumeHint() if solution is None else solution.hint.scaled(factor),
        dose_e_a2=_dose(notes, kept, n_views) if dose is None else dose[kept.views],
        provenance=_provenance(header, kept, solution, notes, {"angstrom": pixel, "source": pixel_source}),
    )


def _refuse_no_series(header: MrcHeader) -> None:
    n_views = header.shape[0]
    if 401 <= header.ispg <= 630:
        raise InputError(f"{header.path} is a stack of volumes (space group {header.ispg})", fix="Give a tilt series")
    if n_views == 1:
        raise InputError(f"stack {header.path} has 1 view, a tilt series has at least 2", fix="Give the whole stack")


def _find_mdoc(header: MrcHeader, given: PathLike | None) -> Mdoc | None:
    """The `.mdoc` that was named, else the one beside the stack if it can be read."""
    if given is not None:
        return read_mdoc(given)
    path = header.path
    for candidate in (path.with_name(path.name + ".mdoc"), path.with_suffix(".mdoc")):
        if candidate.is_file():
            try:
                return read_mdoc(candidate)
            except CryolitheError as error:
                warnings.warn(f"not used: {error}", CryolitheWarning, stacklevel=3)
    return None


def _nominal(header: MrcHeader, mdoc: Mdoc | None) -> list[Angles]:
    """Nominal angles of all views that headers and metadata hold; a `.rawtlt` beside the stack counts as well."""
    found = []
    for path in (sibling(header.path, ".rawtlt"), sibling(header.path, ".tlt")):
        with contextlib.suppress(CryolitheError):  # it only helps to tell views apart
            found.extend([] if path is None else [Angles(read_angles(path), str(path))])
    if (tilts := extended_tilts_deg(header)) is not None:
        found.append(Angles(tilts, "extended header"))
    if mdoc is not None and mdoc.tilts_deg is not None:
        found.append(Angles(mdoc.tilts_deg, f"metadata {mdoc.path}"))
    return found


def _solution(source: Path, header: MrcHeader, *, with_angles: bool) -> Solution:
    """The alignment, its kind told by suffix and, failing that, by what it holds."""
    if source.is_dir():
        return read_etomo(source, header.path, header.shape, with_angles=with_angles)
    source = existing_file(source, "alignment")
    kind = source.suffix.lower()
    if kind == ".xml":
        if not with_angles:
            raise InputError(
                f"angles are given, {source} has its own", fix="Leave --angles out: Warp signs them otherwise"
            )
        return read_warp(source, header.path, header.shape, header.pixel_xyz_angstrom[0])
    if kind not in (".xf", ".aln", ".com"):
        text = read_text(source, "alignment")
        kind = ".aln" if "AreTomo" in text[:200] else ".com" if text.lstrip("#\n\r ").startswith("$") else ".xf"
    if kind == ".com":
        return read_etomo(source, header.path, header.shape, with_angles=with_angles)
    if kind == ".aln":
        return read_aln(source, header.shape[0])
    if header.path.stem.endswith("_ali") or header.path.suffix == ".ali":
        again = f"{header.path} has the name of an aligned stack; {source} aligns it once more"
        warnings.warn(again, CryolitheWarning, stacklevel=3)
    matrix, shift = read_xf(source)
    return Solution(source, matrix, shift)


def _own_solution(listed: Listed) -> Solution:
    """The alignment in a star file. Raises InputError when it has none."""
    if listed.solution is None:
        raise InputError(
            f"star file {listed.header.path} holds no alignment (rlnTomoZRot and others)",
            fix="Name the one of a job that aligned the series, or give the alignment with --alignment",
        )
    return listed.solution


def _warn_if_raw(path: Path, n_views: int) -> None:
    """Warns when transforms for just this stack lie beside it and none were asked for."""
    with contextlib.suppress(CryolitheError):
        beside = path.with_suffix(".xf")
        if beside.is_file() and len(read_xf(beside)[0]) == n_views:
            text = f"{path} is taken as aligned; to align it give --alignment {beside}"
            warnings.warn(text, CryolitheWarning, stacklevel=3)


def _factor(alignment_angstrom: float | None, pixel: float, solution: Solution | None) -> float:
    """Pixels of the stack per pixel of the alignment."""
    if alignment_angstrom is None:
        return 1.0 / solution.stack_binning if solution else 1.0
    if solution is None:
        raise InputError("a pixel size of the alignment is given, but no alignment", fix="Give it with --alignment")
    if solution.in_angstrom:
        raise InputError(
            f"the shifts in {solution.source} are in angstrom, they are solved at no pixel size",
            fix="Leave --alignment-pixel-size out",
        )
    if not (np.isfinite(alignment_angstrom) and 0.01 <= alignment_angstrom <= 1e5):
        raise InputError(
            f"alignment pixel size {alignment_angstrom} is not between 0.01 and 100000 angstrom",
            fix="Give it in angstrom",
        )
    return alignment_angstrom / pixel


def _alignment(
    header: MrcHeader, solution: Solution | None, kept: Kept, factor: float, given: float | None
) -> Alignment | None:
    if solution is None or solution.matrix_yx is None or solution.shift_yx_px is None:
        return None
    stack_yx = header.shape[1:]
    if solution.solved_yx is not None:
        _check_size(header, solution, solution.solved_yx, factor, given)
    matrix = solution.matrix_yx[kept.rows]
    output = turned_shape(stack_yx, matrix)
    if solution.output_yx is not None:
        scaled = tuple(n * factor for n in solution.output_yx)
        if any(abs(a - b) > 1.5 for a, b in zip(scaled, output, strict=True)):
            output = (max(1, round(scaled[0])), max(1, round(scaled[1])))
    return Alignment(matrix, solution.shift_yx_px[kept.rows] * factor, output)


def _check_size(header: MrcHeader, solution: Solution, solved: Shape2, factor: float, given: float | None) -> None:
    """Raises InputError when the alignment names a stack of another size; sides may be swapped (AreTomo's tilt.com)."""
    stack = sorted(header.shape[1:])
    scaled = sorted(n * factor for n in solved)
    if any(abs(a - b) > 1.5 + 0.001 * a for a, b in zip(stack, scaled, strict=True)):
        at = "" if given is None else f" at {given:g} angstrom"
        raise InputError(
            f"alignment {solution.source} is for images of {solved[1]} x {solved[0]} pixels{at}, "
            f"{header.path} has {header.shape[2]} x {header.shape[1]}",
            fix="Give the pixel size that it was solved at with --alignment-pixel-size",
        )


def _dose(mdoc: Mdoc | None, kept: Kept, n_views: int) -> Floats | None:
    """Dose before each kept view, when its section of the `.mdoc` is known by place or by angle."""
    if mdoc is None or mdoc.dose_before_e_a2 is None:
        return None
    if mdoc.tilts_deg is not None:
        if mdoc.n_views == n_views and _parallel(mdoc.tilts_deg[kept.views], kept.tilts_deg):
            return mdoc.dose_before_e_a2[kept.views]
        sections = match_by_angle(kept.tilts_deg, mdoc.tilts_deg)
        if sections is not None:
            return mdoc.dose_before_e_a2[sections]
    warnings.warn(f"{mdoc.path}: dose not used, its views are not those of the stack", CryolitheWarning, stacklevel=3)
    return None


def _parallel(a: Floats, b: Floats) -> bool:
    return float(np.max(np.abs(a - b - np.median(a - b)))) < 1.0


def _provenance(
    header: MrcHeader, kept: Kept, solution: Solution | None, mdoc: Mdoc | None, pixel: dict[str, Json]
) -> dict[str, Json]:
    status = header.path.stat()
    dropped = frozenset(range(1, header.shape[0] + 1)) - {int(view) + 1 for view in kept.views}
    alignment: dict[str, Json] | None = None
    if solution is not None:
        alignment = {"path": str(solution.source), "tilt_offset_deg": solution.tilt_offset_deg, **solution.notes}
    return {
        "stack": {
            "path": str(header.path),
            "bytes": status.st_size,
            "modified_ns": status.st_mtime_ns,
            "shape_vyx": list(header.shape),
            "mode": header.mode,
        },
        "pixel": pixel,
        "angles": kept.source,
        "alignment": alignment,
        "mdoc": None if mdoc is None else str(mdoc.path),
        "left_out_views": format_views(dropped),
    }
