"""Names that a server gives, and paths below a folder that they may become."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from urllib.parse import unquote_to_bytes

from cryolithe_stream.errors import OutputError

PARTIAL = ".partial"
STATE = ".partial.json"
LOCK = ".cryolithe-empiar.lock"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_LONGEST_BYTES = 240  # file systems take 255; ours add an ending


def safe_name(encoded: str) -> str | None:
    """The name that one percent-encoded part of an address stands for; None where it is not a plain file name.

    Refused: `.` and `..`, separators of any system, control and invisible characters, text that is not UTF-8, names
    too long for a file system, and the names of this program's own unfinished files.
    """
    try:
        name = unquote_to_bytes(encoded).decode("utf-8")
    except UnicodeDecodeError:
        return None
    if name in ("", ".", "..", LOCK) or "/" in name or "\\" in name or name.endswith((PARTIAL, STATE)):
        return None
    if any(unicodedata.category(character) in _UNSEEN for character in name):
        return None
    return name if len(name.encode("utf-8")) <= _LONGEST_BYTES else None


def place_below(folder: Path, path: str) -> Path:
    """Where a relative path of safe names lies below a folder. Raises OutputError when a link leads out of it."""
    target = folder.joinpath(*path.split("/"))
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{target.parent} is a link that leads out of {folder}", fix="Name another folder")
    return target


def printable(text: str) -> str:
    """Text of a server's as one line that cannot steer a terminal."""
    shown = ("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _UNSEEN else c for c in " ".join(text.split()))
    return "".join(shown)
