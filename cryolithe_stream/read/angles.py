"""Tilt angles: from `.tlt`, `.rawtlt` and `.txt` files, found beside a stack or named, and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Floats
from cryolithe_stream.read.text import PathLike, read_numbers


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """Tilt angles in degrees `(row,)`, and where they come from."""

    tilts_deg: Floats
    source: str


def read_angles(path: PathLike) -> Floats:
    """Tilt angles in degrees, `(row,)`, of a text file with one or many numbers a line; `#` starts a comment.

    Raises FormatError when it holds anything else, InputError for NaN and for angles beyond ±90°.
    """
    rows = read_numbers(path, "angles")
    for number, values in rows:
        for value in values:
            if not abs(value) <= 90.0:
                raise InputError(
                    f"angles {path}, line {number}: {value} is no tilt angle; the limit is 90 degrees",
                    fix="Give the tilt angles in degrees, one per view",
                )
    return np.array([value for _, values in rows for value in values], dtype=np.float64)


def sibling(path: Path, suffix: str) -> Path | None:
    """The file of the same name with another suffix; IMOD's `NAME_ali.mrc` also finds `NAME.tlt`."""
    stems = [path.stem] + ([path.stem[: -len("_ali")]] if path.stem.endswith("_ali") else [])
    found = (path.with_name(stem + suffix) for stem in stems if stem)
    return next((candidate for candidate in found if candidate.is_file() and candidate != path), None)


def check_tilts(tilts_deg: Floats, source: str) -> None:
    """Raises InputError when there are fewer than two angles, one beyond ±90°, or no two that differ."""
    if len(tilts_deg) < 2:
        raise InputError(f"{len(tilts_deg)} view is left, a tilt series has at least 2", fix="Exclude fewer views")
    if not bool(np.all(np.abs(tilts_deg) <= 90.0)):
        worst = float(tilts_deg[np.argmax(np.abs(tilts_deg))])
        raise InputError(f"{source} gives a tilt angle of {worst:.2f} degrees, the limit is 90", fix="Check its offset")
    if float(np.ptp(tilts_deg)) < 1e-3:
        raise InputError(
            f"{source} gives {tilts_deg[0]:.2f} degrees for all {len(tilts_deg)} views",
            fix="Give the tilt angles with --angles",
        )
