"""Small text files: lines without comments, tables of numbers, lists of views."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from cryolithe_stream.errors import FormatError, InputError, MissingFileError, UnsupportedError

PathLike: TypeAlias = str | os.PathLike[str]
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

_TEXT_LIMIT = 32 * 2**20
_VIEW_LIMIT = 100_000
_PACKED = {b"\x1f\x8b": ("gzip", "gunzip"), b"BZh": ("bzip2", "bunzip2"), b"\xfd7zXZ": ("xz", "unxz")}
_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


def existing_file(path: PathLike, role: str) -> Path:
    """The path of a regular file that can be read, whose `role` ("stack", "angles", …) errors name.

    Raises MissingFileError when it is not there or may not be read, InputError for a folder, UnsupportedError when
    it is compressed.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{role} {path} is a folder", fix="Name the file in it")
    if path.exists() and not path.is_file():
        raise InputError(f"{role} {path} is a device or pipe", fix="Name a file on disk")
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
    except FileNotFoundError as error:
        raise MissingFileError(f"{role} {path} does not exist", fix="Check the name") from error
    except OSError as error:
        what = f"{role} {path} cannot be read: {error.strerror}"
        raise MissingFileError(what, fix="Check its permissions") from error
    except ValueError as error:  # a NUL in the name
        raise MissingFileError(f"{role} {str(path)!r} is no file name", fix="Check the name") from error
    for magic, (name, tool) in _PACKED.items():
        if head.startswith(magic):
            raise UnsupportedError(f"{role} {path} is {name}-compressed", fix=f"Unpack it first: {tool} {path.name}")
    return path


def read_text(path: PathLike, role: str) -> str:
    """The text of a small file. Raises FormatError when it is binary or larger than 32 MiB; see `existing_file`."""
    path = existing_file(path, role)
    if path.stat().st_size > _TEXT_LIMIT:
        raise FormatError(f"{role} {path} holds {path.stat().st_size} bytes, a text file has {_TEXT_LIMIT} at most")
    raw = path.read_bytes()
    if b"\0" in raw:
        raise FormatError(f"{role} {path} is binary, not text", fix=f"Name the text file that holds the {role}")
    return raw.decode("utf-8", errors="replace")


def content_lines(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines (from 1) that are left without `#` comments and blank lines."""
    for number, line in enumerate(text.splitlines(), 1):
        content = line.split("#", 1)[0].strip()
        if content:
            yield number, content


def read_numbers(path: PathLike, role: str) -> list[tuple[int, list[float]]]:
    """Line number and numbers of each line of a text file; spaces or commas part them, `#` starts a comment.

    Raises FormatError for anything that is not a number, and for a file without numbers.
    """
    rows = [(number, _floats(line, f"{role} {path}, line {number}")) for number, line in lines_of(path, role)]
    if not rows:
        raise FormatError(f"{role} {path} is empty", fix=f"Name the file that holds the {role}")
    return rows


def lines_of(path: PathLike, role: str) -> list[tuple[int, str]]:
    """Numbered content lines of a text file."""
    return list(content_lines(read_text(path, role)))


def parse_floats(text: str, where: str, counts: tuple[int, ...]) -> list[float]:
    """The finite numbers of an entry; `counts` are the lengths allowed."""
    values = _floats(text, where)
    if len(values) not in counts or not all(abs(v) < 1e9 for v in values):
        wanted = " or ".join(str(c) for c in counts)
        raise FormatError(f"{where} is {text.strip()[:60]!r}, not {wanted} finite numbers")
    return values


def parse_views(text: str, where: str = "list of views") -> tuple[int, ...]:
    """View numbers (1-based, sorted, each once) of a list such as `1,4-6 9`: commas or spaces, ranges included.

    Raises InputError for anything else, for view 0, and for numbers above 100,000.
    """
    views: set[int] = set()
    for part in re.sub(r"\s*-\s*", "-", text).replace(",", " ").split():
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        first, last = min(first, last), max(first, last)
        if not 1 <= first <= last <= _VIEW_LIMIT:
            raise InputError(f"{where} has {part[:40]!r}, not a view number or range from 1", fix="Write it as 1,4-6")
        views.update(range(first, last + 1))
    return tuple(sorted(views))


def format_views(views: set[int] | frozenset[int] | tuple[int, ...]) -> str:
    """The list of views that `parse_views` reads back, with ranges: `1,4-6`."""
    runs: list[list[int]] = []
    for view in sorted(views):
        if runs and view == runs[-1][1] + 1:
            runs[-1][1] = view
        else:
            runs.append([view, view])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _floats(text: str, where: str) -> list[float]:
    values = []
    for token in text.replace(",", " ").split():
        try:
            values.append(float(token))
        except ValueError as error:
            raise FormatError(f"{where} has {token[:40]!r}, which is not a number") from error
    return values
