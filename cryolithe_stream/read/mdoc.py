"""SerialEM metadata (`.mdoc`): pixel size, tilt angles and dose of each view."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import FormatError
from cryolithe_stream.geometry import Floats, Shape2
from cryolithe_stream.read.text import PathLike, read_text

_SECTION = re.compile(r"\[(ZValue|FrameSet|MontSection)\s*=\s*(-?\d{1,9})\s*\]")
_DATES = ("%d-%b-%y  %H:%M:%S", "%d-%b-%y %H:%M:%S", "%d-%b-%Y  %H:%M:%S", "%d-%b-%Y %H:%M:%S")


@dataclass(frozen=True, slots=True, eq=False)
class Mdoc:
    """What SerialEM noted, one row per view in the order of `ZValue`.

    `tilts_deg` and `dose_before_e_a2` (what the specimen received before each view, e/Å²) are None where some view
    has none; `image_yx` is the size of the images that `pixel_angstrom` is for.
    """

    path: Path
    n_views: int
    pixel_angstrom: float | None
    image_yx: Shape2 | None
    tilts_deg: Floats | None
    dose_before_e_a2: Floats | None


def read_mdoc(path: PathLike) -> Mdoc:
    """Pixel size, angles and dose in an `.mdoc` file.

    Source: SerialEM's help, "Format of the metadata file". Raises FormatError when it has no `[ZValue = …]` section.
    """
    top, sections = _sections(read_text(path, "mdoc"))
    if not sections:
        raise FormatError(f"mdoc {path} has no [ZValue = ...] section", fix="Name the .mdoc that SerialEM wrote")
    pixel = _number(top, "PixelSpacing") or _number(sections[0], "PixelSpacing")
    size = top.get("ImageSize", "").split()
    image = (int(size[1]), int(size[0])) if len(size) == 2 and all(s.isdigit() and len(s) < 9 for s in size) else None
    tilts = _column(sections, "TiltAngle")
    usable = tilts is not None and bool(np.all(np.abs(tilts) <= 90.0))
    return Mdoc(
        path=Path(path),
        n_views=len(sections),
        pixel_angstrom=pixel if pixel and pixel > 0 else None,
        image_yx=image,
        tilts_deg=tilts if usable else None,
        dose_before_e_a2=_dose_before(sections),
    )


def _sections(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """Entries before the first section, and those of each section sorted by its number."""
    top: dict[str, str] = {}
    found: list[tuple[int, dict[str, str]]] = []
    current = top
    for line in text.splitlines():
        if header := _SECTION.match(line.strip()):
            current = {}
            found.append((int(header[2]), current))
        elif "=" in line and not line.lstrip().startswith("["):
            key, value = line.split("=", 1)
            current.setdefault(key.strip(), value.strip())
    return top, [entries for _, entries in sorted(found, key=lambda pair: pair[0])]


def _dose_before(sections: list[dict[str, str]]) -> Floats | None:
    """Dose before each view: as SerialEM summed it, else summed here in the order of the times noted."""
    dose = _column(sections, "ExposureDose")
    if dose is None or not bool(np.all(dose > 0)):
        return None
    prior = _column(sections, "PriorRecordDose")
    if prior is not None and bool(np.all(prior >= 0)) and float(np.ptp(prior)) > 0:
        return prior
    times = [_time(section.get("DateTime", "")) for section in sections]
    if len(set(times)) < len(times) or None in times:
        return None
    order = np.argsort([time.timestamp() for time in times if time is not None], kind="stable")
    before = np.empty_like(dose)
    before[order] = np.cumsum(dose[order]) - dose[order]
    return before


def _column(sections: list[dict[str, str]], key: str) -> Floats | None:
    values = [_number(section, key) for section in sections]
    return None if None in values else np.array(values, dtype=np.float64)


def _number(entries: dict[str, str], key: str) -> float | None:
    try:
        value = float(entries.get(key, "").split()[0])
    except (ValueError, IndexError):
        return None
    return value if abs(value) < 1e9 else None


def _time(text: str) -> datetime | None:
    for pattern in _DATES:
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            continue
    return None
