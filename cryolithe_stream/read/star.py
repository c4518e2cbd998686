"""RELION's STAR files: tables of texts, with the line of each row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import FormatError
from cryolithe_stream.geometry import Floats
from cryolithe_stream.read.text import PathLike, parse_floats, read_text

_TOKEN = re.compile(r""""([^"]*)"(?=\s|$)|'([^']*)'(?=\s|$)|(\S+)""")
_SHOWN = 40
_MOST_COLUMNS = 1000
_MOST_ROWS = 100_000
_MOST_TABLES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class StarTable:
    """A table of one data block: entries as they are written, `lines` the line (from 1) of each row.

    Labels are without their underscore. Single values (`_label value`) make a table of one row.
    """

    path: Path
    name: str
    labels: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def __contains__(self, label: str) -> bool:
        return label in self.labels

    def texts(self, label: str) -> list[str]:
        """The entries of a column. Raises FormatError when the table has no such column."""
        if label not in self.labels:
            raise FormatError(
                f"star file {self.path} has no column {label} in data_{self.name}",
                fix="Name the star file of one tilt series, as RELION-5 writes it into tilt_series/",
            )
        at = self.labels.index(label)
        return [row[at] for row in self.rows]

    def numbers(self, label: str) -> Floats:
        """The finite numbers of a column, `(row,)`. Raises FormatError, with the line, for anything else."""
        values = [
            parse_floats(text, f"star file {self.path}, line {number}: {label}", (1,))[0]
            for number, text in zip(self.lines, self.texts(label), strict=True)
        ]
        return np.array(values, dtype=np.float64)


@dataclass(slots=True, eq=False)
class _Open:
    """A table that is being read."""

    path: Path
    name: str
    loop: bool
    labels: list[str] = field(default_factory=list)
    rows: list[tuple[str, ...]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)

    def add_label(self, number: int, tokens: Sequence[str]) -> None:
        label = tokens[0][1:]
        if label in self.labels or not label:
            raise _fault(self.path, number, f"the column {label[:_SHOWN]!r} is there twice or has no name")
        if len(self.labels) >= _MOST_COLUMNS:
            raise _fault(self.path, number, f"more than {_MOST_COLUMNS} columns")
        if len(tokens) != (1 if self.loop else 2):
            wanted = "a label" if self.loop else "a label and its value"
            raise _fault(self.path, number, f"{len(tokens)} entries, not {wanted}")
        self.labels.append(label)
        if not self.loop:
            self.rows = [(*(self.rows[0] if self.rows else ()), tokens[1])]
            self.lines = self.lines or [number]

    def add_row(self, number: int, tokens: Sequence[str]) -> None:
        n_columns = len(self.labels) if self.loop else 0
        if len(tokens) != n_columns or not n_columns:
            raise _fault(self.path, number, f"{len(tokens)} entries, the table has {n_columns} columns")
        if len(self.rows) >= _MOST_ROWS:
            raise _fault(self.path, number, f"more than {_MOST_ROWS} rows, this is no table of tilt series or images")
        self.rows.append(tuple(tokens))
        self.lines.append(number)

    def closed(self) -> StarTable:
        return StarTable(self.path, self.name, tuple(self.labels), tuple(self.rows), tuple(self.lines))


def read_star(path: PathLike) -> list[StarTable]:
    """The tables of a STAR file in their order, as RELION and its Python packages write them.

    Every row is one line; entries with spaces stand in quotes, `#` at the start of an entry begins a comment. Raises
    FormatError, with the line, for all else: columns twice, rows too short or too long, text blocks, save frames.
    """
    path = Path(path)
    found: list[_Open] = []
    block: str | None = None
    for number, line in enumerate(read_text(path, "star file").splitlines(), 1):
        if line.startswith(";"):
            raise _fault(path, number, "a text block, which RELION does not write")
        tokens = _tokens(path, number, line)
        if not tokens:
            continue
        if len(found) > _MOST_TABLES:
            raise _fault(path, number, f"more than {_MOST_TABLES} tables")
        word = tokens[0].lower()
        if word.startswith("data_"):
            _alone(path, number, tokens)
            block = tokens[0][5:]
            found.append(_Open(path, block, loop=False))
        elif block is None or word.startswith(("save_", "global_", "stop_")):
            raise _fault(path, number, f"{tokens[0][:_SHOWN]!r}, this is no star file of RELION")
        elif word == "loop_":
            _alone(path, number, tokens)
            found.append(_Open(path, block, loop=True))
        elif tokens[0].startswith("_") and not (found[-1].loop and found[-1].rows):
            found[-1].add_label(number, tokens)
        else:
            found[-1].add_row(number, tokens)
    if block is None:
        raise FormatError(f"star file {path} holds no data_ block", fix="Name a star file that RELION wrote")
    return [table.closed() for table in found if table.labels]


def _tokens(path: Path, number: int, line: str) -> list[str]:
    tokens: list[str] = []
    for match in _TOKEN.finditer(line):
        plain = match[3]
        if plain is not None and plain.startswith("#"):
            break
        if plain is not None and plain[0] in "\"'":
            raise _fault(path, number, "a quote that does not end")
        tokens.append(next(text for text in match.groups() if text is not None))
    return tokens


def _alone(path: Path, number: int, tokens: Sequence[str]) -> None:
    if len(tokens) != 1:
        raise _fault(path, number, f"{tokens[1][:_SHOWN]!r} after {tokens[0][:_SHOWN]!r}")


def _fault(path: Path, number: int, what: str) -> FormatError:
    return FormatError(f"star file {path}, line {number}: {what}", fix="Copy it again, or let RELION write it anew")
