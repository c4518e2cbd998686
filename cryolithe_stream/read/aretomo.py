"""AreTomo's alignment (`.aln`): its rows, dark frames, and which view of the stack each row is."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import CryolitheWarning, FormatError, UnsupportedError
from cryolithe_stream.geometry import Floats, Ints
from cryolithe_stream.read.angles import Angles
from cryolithe_stream.read.solution import Solution, VolumeHint
from cryolithe_stream.read.text import Json, PathLike, parse_floats, read_text
from cryolithe_stream.read.xf import turned_shape, upright

_ENTRY = re.compile(r"#\s*(\w+)\s*=(.*)")


@dataclass(frozen=True, slots=True, eq=False)
class _Aln:
    """A parsed file: `rows` (row, 10) SEC ROT GMAG TX TY SMEAN SFIT SCALE BASE TILT; `dark` (row, 3) index SEC tilt."""

    path: Path
    raw_xyn: tuple[int, int, int]
    rows: Floats
    dark: Floats
    entries: dict[str, float]
    n_local: int


def read_aln(path: PathLike, n_views: int) -> Solution:
    """The global alignment of an AreTomo `.aln` file for a stack of `n_views`.

    A = R(−ROT), D = A·(−TX, −TY), as AreTomo itself writes `.xf` files; TILT already holds the refined offset. Dark
    frames are views that no row aligns. A local alignment is not applied, and a CryolitheWarning says so.
    Raises FormatError when rows and dark frames are not the views of the stack.
    """
    aln = _parse(Path(path))
    if np.any(np.abs(aln.rows[:, 2] - 1.0) > 1e-6):
        raise UnsupportedError(f"alignment {path} scales views (GMAG is not 1)", fix="Align without magnification")
    views = _views(aln, n_views)
    if aln.n_local:
        warnings.warn(
            f"{path}: the local alignment ({aln.n_local} patch rows) is not applied, only the global one",
            CryolitheWarning,
            stacklevel=4,
        )
    matrix_yx, shift_yx = upright(aln.rows[:, 1], aln.rows[:, [4, 3]])
    solved = (aln.raw_xyn[1], aln.raw_xyn[0])
    thickness = aln.entries.get("Thickness", 0.0)
    notes: dict[str, Json] = {
        "dark_frames": len(aln.dark),
        "local_alignment_rows_not_applied": aln.n_local,
        **{name: aln.entries[name] for name in ("AlphaOffset", "BetaOffset") if name in aln.entries},
    }
    return Solution(
        source=Path(path),
        matrix_yx=matrix_yx,
        shift_yx_px=shift_yx,
        angles=Angles(aln.rows[:, 9], str(path)),
        views=views,
        solved_yx=solved,
        output_yx=turned_shape(solved, matrix_yx),
        hint=VolumeHint(thickness if thickness > 0 else None),
        notes=notes,
    )


def _parse(path: Path) -> _Aln:
    lines = read_text(path, "alignment").splitlines()
    rows: list[list[float]] = []
    dark: list[list[float]] = []
    entries: dict[str, list[float]] = {}
    section, n_local = "", 0
    for number, line in enumerate(lines, 1):
        where = f"alignment {path}, line {number}"
        if match := _ENTRY.match(line):
            counts = {"RawSize": 3, "DarkFrame": 3, "AlphaOffset": 1, "BetaOffset": 1, "Thickness": 1}.get(match[1])
            if counts:
                entries[match[1]] = parse_floats(match[2], where, (counts,))
            if match[1] == "DarkFrame":
                dark.append(entries.pop("DarkFrame"))
        elif line.startswith("#"):
            section = "global" if line[1:].split()[:1] == ["SEC"] else "local" if "Local Alignment" in line else section
        elif line.strip() and section == "local":
            n_local += 1
        elif line.strip():
            if section != "global":
                raise FormatError(f"{where}: numbers before the line '# SEC ROT ...'; this is not an AreTomo .aln file")
            rows.append(parse_floats(line, where, (10,)))
    raw = entries.pop("RawSize", None)
    if raw is None or not rows:
        missing = "# RawSize" if raw is None else "rows of views"
        raise FormatError(f"alignment {path} has no {missing}; this is not an AreTomo .aln file")
    if not all(value == int(value) and 0 < value < 2**24 for value in raw):
        raise FormatError(f"alignment {path} has RawSize = {raw}", fix="It must be three whole numbers")
    scalars = {name: values[0] for name, values in entries.items()}
    shape = (int(raw[0]), int(raw[1]), int(raw[2]))
    return _Aln(path, shape, np.array(rows), np.array(dark).reshape(-1, 3), scalars, n_local)


def _views(aln: _Aln, n_views: int) -> Ints:
    """The view (0-based) of each row in a stack of `n_views`.

    AreTomo 2 counts SEC from 0 and AreTomo 3 from 1, both over the raw stack; some files of AreTomo 3 number the
    bright views only, and give each dark frame's place among all views sorted by tilt.
    """
    n_all, n_rows, n_dark = aln.raw_xyn[2], len(aln.rows), len(aln.dark)
    if n_rows + n_dark != n_all:
        raise FormatError(
            f"alignment {aln.path} has {n_rows} rows and {n_dark} dark frames for a stack of {n_all} views",
            fix="It is cut short: copy it again",
        )
    if n_dark and n_views == n_rows:  # the stack that AreTomo wrote without dark frames, sorted as the rows are
        return np.arange(n_rows, dtype=np.int64)
    if n_views != n_all:
        raise FormatError(
            f"alignment {aln.path} is for {n_all} views ({n_dark} of them dark), the stack has {n_views}",
            fix="Give the stack that it was solved on",
        )
    bright, dark = aln.rows[:, 0].astype(np.int64), aln.dark[:, 1].astype(np.int64)
    base = 0 if 0 in bright or 0 in dark else 1
    if sorted([*bright, *dark]) == list(range(base, base + n_all)):
        return bright - base
    places = aln.dark[:, 0].astype(np.int64)
    free = np.setdiff1d(np.arange(n_all), places)
    if len(free) == n_rows and np.array_equal(bright - bright[0], np.arange(n_rows)) and _sorted_by_tilt(aln, free):
        return free
    raise FormatError(f"alignment {aln.path}: SEC and DarkFrame do not number the {n_all} views of the raw stack")


def _sorted_by_tilt(aln: _Aln, bright: Ints) -> bool:
    tilts = np.empty(aln.raw_xyn[2])
    tilts[bright] = aln.rows[:, 9] - aln.entries.get("AlphaOffset", 0.0)
    tilts[aln.dark[:, 0].astype(np.int64)] = aln.dark[:, 2]
    return bool(np.all(np.diff(tilts) >= -0.02))
