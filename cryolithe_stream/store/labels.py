"""Labels in MRC headers: where a volume carries the fingerprint of the run that made it."""

from __future__ import annotations

from pathlib import Path

_HEADER_BYTES = 1024
_LABEL_COUNT, _LABELS, _LABEL_BYTES = slice(220, 224), 224, 80
_FINGERPRINT = "fingerprint "


def mrc_labels(path: Path) -> list[str]:
    """The text labels of an MRC file (at most 10 of 80 characters); none when it is too short to be one."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    count = int.from_bytes(header[_LABEL_COUNT], "little")
    if len(header) < _HEADER_BYTES or not 0 <= count <= 10:
        return []
    starts = (_LABELS + i * _LABEL_BYTES for i in range(count))
    return [header[a : a + _LABEL_BYTES].decode("ascii", "replace").rstrip(" \0") for a in starts]


def fingerprint_label(fingerprint: str) -> str:
    """The label that carries a run's fingerprint."""
    return _FINGERPRINT + fingerprint


def mrc_fingerprint(path: Path) -> str | None:
    """The fingerprint that an MRC volume carries, or None."""
    found = (label.removeprefix(_FINGERPRINT) for label in mrc_labels(path) if label.startswith(_FINGERPRINT))
    return next(found, None)
