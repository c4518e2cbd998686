"""The written forms of simulation options: sizes, ranges, tilts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

Range = tuple[float, float]

_MOST_TILTS = 1000


def numbers(value: object) -> list[float]:
    """The numbers of `1,2,3`, of a list or of one number. Raises ValueError for anything else and for NaN."""
    parts: Any = value if isinstance(value, list | tuple) else str(value).split(",")
    try:
        found = [float(part) for part in parts if not isinstance(part, bool)]
    except (TypeError, ValueError):
        found = []
    if len(found) != len(parts) or not found or not all(map(math.isfinite, found)):
        raise ValueError("numbers with commas between are expected")
    return found


def parse_size(value: object) -> tuple[int, int, int]:
    """Voxels along (z, y, x): `128,256,256`, each from 8 to 16384. Raises ValueError."""
    found = numbers(value)
    if len(found) != 3 or any(n != int(n) or not 8 <= n <= 16384 for n in found):
        raise ValueError("a size is three whole numbers of voxels from 8 to 16384, Z,Y,X")
    return int(found[0]), int(found[1]), int(found[2])


def parse_range(value: object) -> Range:
    """A range `4,8`, or one number for both its ends. Raises ValueError when it runs backwards."""
    found = numbers(value)
    if len(found) > 2 or found[0] > found[-1]:
        raise ValueError("one number is expected, or two that rise")
    return found[0], found[-1]


def parse_tilts(value: object) -> str:
    """`FIRST,LAST,STEP` in degrees, in one spelling, or the path of a file of angles. Raises ValueError."""
    text = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()
    try:
        steps = numbers(text)
    except ValueError:
        if not text or "," in text:
            raise ValueError("tilts are FIRST,LAST,STEP in degrees, or a file of angles") from None
        return str(Path(text).expanduser())
    first, last, step = steps if len(steps) == 3 else (0.0, 0.0, 0.0)
    if not (step > 0 and first < last and (last - first) / step < _MOST_TILTS and max(abs(first), abs(last)) <= 80):
        raise ValueError("tilts are FIRST,LAST,STEP in degrees: rising, within ±80, at most 1000")
    return ",".join(f"{v:g}" for v in steps)


def stepped(text: str) -> list[float] | None:
    """The angles of `FIRST,LAST,STEP`, or None when the text is none (a file)."""
    try:
        first, last, step = numbers(text)
    except ValueError:
        return None
    return [round(float(t), 4) for t in first + step * np.arange(int((last - first) / step + 1e-6) + 1)]


def parse_paths(value: object) -> tuple[Path, ...]:
    """One path or a list of them. Raises ValueError for anything else."""
    parts = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(part, str | Path) and str(part).strip() for part in parts):
        raise ValueError("a path is expected, or a list of paths")
    return tuple(Path(str(part)).expanduser() for part in parts)
