"""Tables for people: the tilt series that were found, and what was left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cryolithe_stream_cli.show import size as bytes_text

if TYPE_CHECKING:
    from cryolithe_stream.batch import Discovery
    from cryolithe_stream.batch.discover import Found

_NARROWEST = 100  # of output that goes to no terminal


def show_discovery(found: Discovery, output: Path, stream: TextIO) -> None:
    """Print a line for each series, one for each path that was left out, the recipe, and the counts last."""
    from cryolithe_stream.batch.series import ListedFacts

    console = Console(file=stream, highlight=False, width=None if stream.isatty() else _width(found))
    if found.found:
        table = Table(box=None, pad_edge=False, header_style="bold")
        known = ("files", "size") if isinstance(found.found[0].facts, ListedFacts) else ("views", "size", "pixel")
        for name in ("series", *known, "alignment", "halves"):
            table.add_column(name, justify="right" if name in known else "left", overflow="fold")
        for entry in found.found:
            table.add_row(*(Text(cell) for cell in _row(found, entry)))
        console.print(table)
    if found.skipped:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("skipped", overflow="fold")
        table.add_column("reason", overflow="fold")
        for skipped in found.skipped:
            table.add_row(Text(printable(skipped.path)), Text(printable(skipped.reason)))
        console.print(table)
    for line in _summary(found, output):
        stream.write(line + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], stream: TextIO) -> None:
    """Print rows under column names; nothing is cut short."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    cells = [[printable(cell) for cell in row] for row in rows]
    for row in cells:
        table.add_row(*map(Text, row))
    widest = sum(2 + max(map(len, column)) for column in zip(columns, *cells, strict=True))
    Console(file=stream, highlight=False, width=None if stream.isatty() else max(_NARROWEST, widest)).print(table)


def printable(text: str) -> str:
    """A text with characters that steer terminals written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _row(found: Discovery, entry: Found) -> Iterable[str]:
    from cryolithe_stream.batch.series import ListedFacts

    series, facts = entry.series, entry.facts
    halves = "yes" if series.odd is not None else "-"
    if isinstance(facts, ListedFacts):
        alignment = _from(found, facts.alignment_from) if facts.alignment_from else "-"
        yield from (series.name, str(facts.n_files), bytes_text(facts.n_bytes), alignment, halves)
        return
    views, rows, columns = facts.shape_vyx
    left = f" -{_count(facts.left_out)}" if facts.left_out else ""
    pixel = "" if facts.pixel_from == "header" else f" ({_from(found, facts.pixel_from)})"
    yield series.name
    yield f"{views}{left}"
    yield f"{columns} x {rows}"
    yield f"{facts.pixel_angstrom:.4g} Å{pixel}"
    yield _from(found, facts.alignment_from) if facts.alignment_from else "none: taken as aligned"
    yield halves


def _from(found: Discovery, place: str) -> str:
    """A path from the source, or words as they are."""
    path = Path(place)
    return printable(str(path.relative_to(found.source)) if path.is_relative_to(found.source) else place)


def _count(views: str) -> int:
    from cryolithe_stream.read import parse_views

    return len(parse_views(views))


def _width(found: Discovery) -> int:
    """Wide enough that no line of a file or pipe is broken."""
    rows = (sum(len(cell) for cell in _row(found, entry)) + 20 for entry in found.found)
    left_out = (len(printable(entry.path)) + len(printable(entry.reason)) + 10 for entry in found.skipped)
    return max(_NARROWEST, *rows, *left_out) if found.found or found.skipped else _NARROWEST


def _summary(found: Discovery, output: Path) -> Iterable[str]:
    from cryolithe_stream.batch.series import ListedFacts

    others = [f"{name} {count}" for name, count in found.tried.items() if name != found.recipe.name and count]
    if len(found.tried) > 1:
        compared = f"; others find {', '.join(others)}" if others else "; no other finds any"
        if found.found:
            yield f"recipe {found.recipe.name}: {found.recipe.about}. It fits best{compared}."
    noted = sum(bool(entry.facts.notes) for entry in found.found)
    if noted:
        yield f"{noted} series come with warnings (--json - tells them)."
    if found.found:
        listed = [entry.facts.n_bytes for entry in found.found if isinstance(entry.facts, ListedFacts)]
        if listed:
            yield f"about {bytes_text(sum(listed))} to fetch; no file was read yet"
        yield f"{len(found.found)} series found, {len(found.skipped)} skipped → {output}"
    else:
        yield f"0 series found, {len(found.skipped)} skipped; nothing written"
