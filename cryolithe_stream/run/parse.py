"""The written forms of option values: sizes, view lists, regions, devices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from difflib import get_close_matches

_SIZE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_VIEWS = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")
_RANGE = re.compile(r"\s*(\d*)\s*:\s*(\d*)\s*")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
_MOST_VIEWS = 10_000


def parse_bytes(value: object) -> int:
    """Bytes that `8GiB`, `500 MB`, `1.5G` or a plain number names.

    Units with an i are powers of 1,024, the others powers of 1,000; upper and lower case are the same.
    Raises ValueError for anything else and for sizes below one byte.
    """
    match = _SIZE.fullmatch(str(value))
    if match is None or isinstance(value, bool):
        raise ValueError("a size is a number with an optional unit, such as 8GiB or 500MB")
    number, prefix, binary = match.groups()
    size = int(Decimal(number) * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))
    if size < 1:
        raise ValueError("a size is at least one byte")
    return size


def parse_exclude(value: object) -> tuple[int, ...]:
    """1-based view numbers, sorted and each once, that `1,4-6` or a list of such parts names.

    Raises ValueError for anything else, for view 0 and for ranges that run backwards.
    """
    parts: Iterable[object] = value if isinstance(value, list | tuple | set | frozenset) else str(value).split(",")
    views: set[int] = set()
    for part in parts:
        if isinstance(part, str) and not part.strip():
            continue
        match = None if isinstance(part, bool) else _VIEWS.fullmatch(str(part))
        if match is None:
            raise ValueError("views are numbers and ranges counted from 1, such as 1,4-6")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last <= _MOST_VIEWS:
            raise ValueError(f"views count from 1 to at most {_MOST_VIEWS} and ranges run upwards, such as 1,4-6")
        views.update(range(first, last + 1))
    return tuple(sorted(views))


def parse_roi(value: object) -> str:
    """The region `z0:z1,y0:y1,x0:x1` without spaces; an end that is left out is the volume's.

    Whether it lies in the volume is checked when the volume is known (`geometry.Box.parse`).
    Raises ValueError for anything else and for empty ranges.
    """
    ranges = [_RANGE.fullmatch(part) for part in str(value).split(",")]
    if len(ranges) != 3 or not all(ranges):
        raise ValueError("a region is three half-open voxel ranges, z0:z1,y0:y1,x0:x1")
    pairs = [(m[1], m[2]) for m in ranges if m]
    if any(int(stop) <= int(start or 0) for start, stop in pairs if stop):
        raise ValueError("each range of a region ends after it begins")
    return ",".join(f"{start}:{stop}" for start, stop in pairs)


def parse_device(value: object) -> str:
    """The device name in lower case: auto, cpu, cuda or cuda:N; ValueError for anything else."""
    name = str(value).strip().lower()
    if not _DEVICE.fullmatch(name):
        raise ValueError("a device is auto, cpu, cuda or cuda:N" + suggestion(name, ("auto", "cpu", "cuda")))
    return name


def suggestion(word: str, known: Iterable[str]) -> str:
    """` (did you mean …?)` for the closest known word, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
