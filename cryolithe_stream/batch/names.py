"""Names of series: relative paths of the tomograms that they become, safe to write and all apart."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

SUFFIX = ".ome.zarr"
_LONGEST_BYTES = 200  # of a part: suffixes of outputs and of unfinished ones still fit a file system's 255
_LONGEST_NAME = 2000
Key = tuple[str, ...]


def fault_of(name: str) -> str:
    """Why a name cannot be a series', empty when it can: a relative path with / between its parts."""
    if not name:
        return "is empty"
    if not all(character.isprintable() for character in name):
        return "holds a character that is not printable"
    if "\\" in name:
        return "holds a backslash"
    if name.startswith("/"):
        return "is an absolute path"
    if len(name) > _LONGEST_NAME:
        return f"has {len(name)} characters, the limit is {_LONGEST_NAME}"
    for part in name.split("/"):
        if not part:
            return "has an empty part between slashes"
        if part.startswith("."):
            return "leads out of its folder" if part == ".." else f"has a part that begins with a dot, {part!r}"
        if len(part.encode()) > _LONGEST_BYTES:
            return f"has a part of {len(part.encode())} bytes, the limit is {_LONGEST_BYTES}"
    return ""


def safe_name(text: str) -> str:
    """The nearest name that `fault_of` finds nothing in: characters are replaced, long parts cut."""
    parts = [_safe_part(part) for part in text.split("/") if part]
    name = "/".join(parts) or "_"
    return name if len(name) <= _LONGEST_NAME else f"{_digest(name)}/{parts[-1]}"


def _safe_part(part: str) -> str:
    clean = "".join(c if c.isprintable() and c != "\\" else "_" for c in part)
    clean = "_" + clean[1:] if clean.startswith(".") else clean
    if len(clean.encode()) <= _LONGEST_BYTES:
        return clean
    return clean.encode()[: _LONGEST_BYTES - 9].decode(errors="ignore") + "-" + _digest(clean)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Taken:
    """Names that are given, and the outputs that they take; no two meet where upper and lower case are the same."""

    def __init__(self) -> None:
        self._outputs: dict[Key, str] = {}
        self._folders: dict[Key, str] = {}

    def clash(self, name: str, *, halves: bool) -> str:
        """The earlier name that this one collides with: the same output, or one inside the other; empty if none."""
        for output in _outputs(name, halves=halves):
            if other := self._outputs.get(output) or self._folders.get(output):
                return other
            for depth in range(1, len(output)):
                if other := self._outputs.get(output[:depth]):
                    return other
        return ""

    def add(self, name: str, *, halves: bool) -> None:
        """Take a name."""
        for output in _outputs(name, halves=halves):
            self._outputs[output] = name
            for depth in range(1, len(output)):
                self._folders.setdefault(output[:depth], name)

    def free(self, wishes: Iterable[str], *, halves: bool) -> str:
        """The first wish that collides with nothing, else the last one numbered; it is taken."""
        name = ""
        for name in wishes:
            if not self.clash(name, halves=halves):
                break
        else:
            stem, number = name, 2
            while self.clash(name := f"{stem}-{number}", halves=halves):
                number += 1
        self.add(name, halves=halves)
        return name


def _outputs(name: str, *, halves: bool) -> list[Key]:
    """What a series of this name writes: its tomogram, the folder of an unfinished run, tomograms of halves."""
    path = PurePosixPath(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()))
    endings = ["", "_odd", "_even"] if halves else [""]
    finals = [path.with_name(path.name + ending + SUFFIX) for ending in endings]
    return [final.parts for final in (*finals, path.with_name(path.name + SUFFIX + ".partial"))]


def clashes(names: Mapping[str, bool]) -> list[tuple[str, str]]:
    """Pairs of names that collide, of names with whether halves are written too."""
    taken, found = Taken(), []
    for name, halves in names.items():
        if other := taken.clash(name, halves=halves):
            found.append((name, other))
        else:
            taken.add(name, halves=halves)
    return found
