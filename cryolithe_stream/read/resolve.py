"""Which views of a stack are kept, at which angles, and which row of the alignment is theirs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import CryolitheWarning, InputError
from cryolithe_stream.geometry import Floats, Ints
from cryolithe_stream.read.angles import Angles, check_tilts, read_angles, sibling
from cryolithe_stream.read.match import match_by_angle
from cryolithe_stream.read.solution import Solution
from cryolithe_stream.read.text import PathLike, format_views

_FIX = "Give one row per view, or name the views that the file leaves out with --exclude"


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Kept views `(tilt,)` (0-based, ascending), their angles, and the row of the alignment of each."""

    views: Ints
    tilts_deg: Floats
    rows: Ints
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a stack of `n_views` brings along: nominal angles of all its views, from headers and metadata."""

    path: Path
    n_views: int
    nominal: tuple[Angles, ...]
    exclude: frozenset[int]


def known_views(path: Path, n_views: int, nominal: Sequence[Angles], exclude: Sequence[int]) -> Known:
    """What is known of a stack's views before any alignment. Raises InputError for a view that it does not have."""
    if wrong := {view for view in exclude if not 1 <= view <= n_views}:
        raise InputError(
            f"view {min(wrong)} is excluded, the stack {path} has views 1 to {n_views}", fix="Count views from 1"
        )
    found = [angles for angles in nominal if len(angles.tilts_deg) == n_views]
    return Known(path, n_views, tuple(found), frozenset(exclude))


def keep_views(known: Known, given: PathLike | None, solution: Solution | None) -> Kept:
    """The views to reconstruct from: all but the excluded, with angles and alignment rows.

    Angles are, in this order: given, the alignment's, a `.tlt` beside the alignment or the stack, `.rawtlt`, the
    extended header, the `.mdoc`. Raises InputError when counts differ and angles do not tell which view is which.
    """
    angles = Angles(read_angles(given), str(given)) if given is not None else _found(known, solution)
    n_rows = None if solution is None else solution.n_rows
    if solution is not None and solution.views is not None:
        views, rows = solution.views, np.arange(len(solution.views))
        tilts = _aligned_tilts(known, angles, solution)
    elif n_rows is None or solution is None:
        views = _views_of(known, len(angles.tilts_deg), None, angles.source, tilts_deg=angles.tilts_deg)
        rows, tilts = np.arange(len(views)), angles.tilts_deg
    else:
        views, tilts = _match_transforms(known, angles, solution, n_rows, explicit=given is not None)
        rows = np.arange(n_rows)
    if solution is not None and solution.tilt_offset_deg:
        tilts = tilts + solution.tilt_offset_deg
        if given is not None:
            _warn(f"{solution.source}: OFFSET adds {solution.tilt_offset_deg:g} degrees to the angles of {given}")
    dropped = known.exclude | (solution.excluded if solution is not None else frozenset())
    keep = np.array([int(view) + 1 not in dropped for view in views], dtype=bool)
    order = np.argsort(views[keep], kind="stable")
    kept = Kept(views[keep][order], tilts[keep][order], rows[keep][order], angles.source)
    check_tilts(kept.tilts_deg, angles.source)
    return kept


def _found(known: Known, solution: Solution | None) -> Angles:
    if solution is not None and solution.angles is not None:
        return solution.angles
    places = [known.path] if solution is None or solution.source.is_dir() else [solution.source, known.path]
    for suffix in (".tlt", ".rawtlt"):
        for place in places:
            if (path := sibling(place, suffix)) is not None:
                if suffix == ".rawtlt":
                    _warn(f"{path} holds nominal angles; no refined ones (.tlt) were found")
                return Angles(read_angles(path), str(path))
    if known.nominal:
        _warn(f"{known.path}: no angles given; nominal ones are taken from its {known.nominal[0].source}")
        return known.nominal[0]
    raise InputError(f"no tilt angles for {known.path}: no .tlt or .rawtlt beside it", fix="Give them with --angles")


def _views_of(
    known: Known, n_rows: int, rows_deg: Floats | None, source: str, *, tilts_deg: Floats | None = None
) -> Ints:
    """The view of each of `n_rows` rows of a file, by count, else by the angles `rows_deg`.

    Without an alignment a wrong count is refused, and `tilts_deg` only help to say which views are missing.
    """
    if n_rows == known.n_views:
        return np.arange(n_rows, dtype=np.int64)
    left = np.array(sorted(set(range(known.n_views)) - {view - 1 for view in known.exclude}), dtype=np.int64)
    if n_rows == len(left):
        return left
    if rows_deg is not None and (match := _by_angle(known, rows_deg)) is not None:
        views, missing, nominal = match
        _warn(f"{source} has no row for views {missing} of {known.path}, by the angles of {nominal}")
        return views
    fix = _FIX
    if tilts_deg is not None and (match := _by_angle(known, tilts_deg)) is not None:
        fix = f"By the angles of {match[2]} it leaves out views {match[1]}: if that is meant, --exclude {match[1]}"
    hint = "" if known.n_views / 2 < n_rows < known.n_views * 2 else " (is it a volume?)"
    raise InputError(f"{source} has {n_rows} rows, {known.path} has {known.n_views} views{hint}", fix=fix)


def _by_angle(known: Known, rows_deg: Floats) -> tuple[Ints, str, str] | None:
    """The view of each row by nominal angles, the views without a row in words, and where those angles are from."""
    for nominal in known.nominal:
        if (views := match_by_angle(rows_deg, nominal.tilts_deg)) is not None:
            missing = frozenset(range(1, known.n_views + 1)) - {int(view) + 1 for view in views}
            return views, format_views(missing), nominal.source
    return None


def _match_transforms(
    known: Known, angles: Angles, solution: Solution, n_rows: int, *, explicit: bool
) -> tuple[Ints, Floats]:
    """View and angle of each row of transforms, whose angles are in the same or in another file."""
    n_angles = len(angles.tilts_deg)
    if n_angles == n_rows:
        return _views_of(known, n_rows, angles.tilts_deg, str(solution.source)), angles.tilts_deg
    left = known.n_views - len(known.exclude)
    own = _own_angles(solution, n_rows)
    if n_angles == known.n_views:
        full = Known(known.path, known.n_views, (angles, *known.nominal), known.exclude)
        views = _views_of(full, n_rows, None if own is None else own.tilts_deg, str(solution.source))
        return views, angles.tilts_deg[views] if explicit or own is None else own.tilts_deg
    if n_rows == known.n_views and n_angles == left:  # angles of the views that are not excluded
        tilts = np.full(n_rows, np.nan)
        tilts[_views_of(known, n_angles, None, angles.source)] = angles.tilts_deg
        return np.arange(n_rows, dtype=np.int64), tilts
    raise InputError(
        f"{solution.source} aligns {n_rows} views, {angles.source} has {n_angles} angles, {known.path} has "
        f"{known.n_views} views",
        fix=_FIX,
    )


def _own_angles(solution: Solution, n_rows: int) -> Angles | None:
    """Angles that belong to the rows of an `.xf` file: those of the `.tlt` beside it, if it has as many."""
    transforms = solution.notes.get("transforms")
    path = sibling(Path(str(transforms or solution.source)), ".tlt")
    tilts = None if path is None else read_angles(path)
    return Angles(tilts, str(path)) if tilts is not None and len(tilts) == n_rows else None


def _aligned_tilts(known: Known, angles: Angles, solution: Solution) -> Floats:
    """Angles of an alignment's rows, whose views are known: its own, or given ones for all views or for the rows."""
    assert solution.views is not None and solution.angles is not None
    own = solution.angles.tilts_deg
    if angles is solution.angles:
        return own
    if len(angles.tilts_deg) == known.n_views:
        tilts = angles.tilts_deg[solution.views]
    elif len(angles.tilts_deg) == len(own):
        tilts = angles.tilts_deg
    else:
        raise InputError(
            f"{angles.source} has {len(angles.tilts_deg)} angles, {known.path} has {known.n_views} views", fix=_FIX
        )
    if (most := float(np.max(np.abs(tilts - own)))) > 0.05:
        _warn(f"angles of {angles.source} replace those of {solution.source}, from which they differ by {most:.2f}")
    return tilts


def _warn(text: str) -> None:
    warnings.warn(text, CryolitheWarning, stacklevel=4)
