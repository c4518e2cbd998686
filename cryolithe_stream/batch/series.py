"""One tilt series of a batch: its files, and what headers say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryolithe_stream.geometry import Shape3
from cryolithe_stream.store import Place

FILES = ("stack", "angles", "alignment", "mdoc", "odd", "even", "reference")


@dataclass(frozen=True, slots=True)
class Series:
    """A series by name, its files as absolute paths or addresses, and options of its own.

    `odd` and `even` are half stacks; `reference` is a volume as it should be, for training. `beside` are further files
    that reading looks for, named where the series is elsewhere and has to be fetched.
    """

    name: str
    stack: Place
    angles: Place | None = None
    alignment: Place | None = None
    mdoc: Place | None = None
    odd: Place | None = None
    even: Place | None = None
    reference: Place | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[Path, ...] = ()

    def files(self) -> dict[str, Place]:
        """The files that it has, by role."""
        found = {role: getattr(self, role) for role in FILES}
        return {role: path for role, path in found.items() if path is not None}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of a series: `shape_vyx` of its stack, pixel size in Å and whence, angles and alignment used.

    `left_out` names views that are not used; `notes` are warnings that `run` will give too.
    """

    shape_vyx: Shape3
    pixel_angstrom: float
    pixel_from: str
    angles_from: str
    alignment_from: str
    left_out: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ListedFacts:
    """What lists tell of a series that is elsewhere: files to fetch, their bytes (about), its alignment."""

    n_files: int
    n_bytes: int
    alignment_from: str
    notes: tuple[str, ...] = ()
