"""Batches of entries of EMPIAR: what `batch plan` and `batch run` take for them, and their lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli.empiar import warn
from cryolithe_stream_cli.entries import told

if TYPE_CHECKING:
    from cryolithe_stream.batch import Streaming
    from cryolithe_stream.batch.tree import Tree
    from cryolithe_stream.empiar import KeptListings, Server

_PANEL = "Entries of EMPIAR"

Limit = Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N series.")]
Scratch = Annotated[
    Path | None,
    typer.Option(
        "--scratch",
        metavar="DIR",
        help="Where raw files are fetched to, a folder of their own. Default: inside the output folder.",
        rich_help_panel=_PANEL,
    ),
]
Disk = Annotated[
    str | None,
    typer.Option(
        "--disk",
        metavar="SIZE",
        help="Most bytes of raw files at a time: 200GiB. Default: half of what is free.",
        rich_help_panel=_PANEL,
    ),
]
KeepRaw = Annotated[
    bool,
    typer.Option("--keep-raw", help="Do not delete raw files; they count for --disk.", rich_help_panel=_PANEL),
]
Connections = Annotated[
    int,
    typer.Option(
        "--connections", metavar="N", min=1, max=16, help="Files that are fetched at once.", rich_help_panel=_PANEL
    ),
]
Relist = Annotated[
    bool,
    typer.Option("--relist", help="List the entry's folders again; else once is enough.", rich_help_panel=_PANEL),
]


def list_entry(source: Path, server: Server, match: Sequence[str] | None, kept: KeptListings | None = None) -> Tree:
    """The names in the entry that is a source; lists in `kept` are not asked for again."""
    from cryolithe_stream.batch.archive import number_of, tree_of
    from cryolithe_stream.batch.tree import is_passed_over
    from cryolithe_stream.empiar import Client, Patterns
    from cryolithe_stream.empiar import Tree as Remote

    patterns = Patterns.parse(match or ())
    remote = Remote(
        Client(server),
        number_of(source),
        patterns,
        refused=warn,
        enters=lambda name: not is_passed_over(name),
        kept=kept,
    )
    return tree_of(source, told(remote))


def list_once(source: Path, server: Server, match: Sequence[str] | None, folder: Path, *, anew: bool) -> Tree:
    """The names in an entry; its lists are kept in the output folder of a batch, where they are looked up first."""
    from cryolithe_stream.batch import BatchRecord
    from cryolithe_stream.batch.archive import number_of
    from cryolithe_stream.batch.record import FOLDER
    from cryolithe_stream.empiar import KeptListings

    with (
        BatchRecord.open(folder),
        KeptListings(folder / FOLDER / f"lists-{number_of(source)}.txt", anew=anew) as kept,
    ):
        return list_entry(source, server, match, kept)


def streaming_for(
    folder: Path, scratch: Path | None, disk: str | None, *, keep_raw: bool, connections: int, server: Server
) -> Streaming:
    """How files of an entry are fetched for a batch in an output folder. Raises InputError for a wrong size."""
    from cryolithe_stream.batch import Streaming
    from cryolithe_stream.batch.record import FOLDER
    from cryolithe_stream.run.parse import parse_bytes

    try:
        budget = None if disk is None else parse_bytes(disk)
    except ValueError as error:
        raise InputError(f"--disk {disk!r}: {error}", fix="Give it as 200GiB") from error
    return Streaming(scratch or folder / FOLDER / "raw", budget, keep_raw, connections, server)


def refuse_unless_entry(given: dict[str, object]) -> None:
    """Raise InputError for options that only an entry of EMPIAR takes."""
    for name, value in given.items():
        if value:
            raise InputError(f"--{name} is for entries of EMPIAR", fix="Leave it out, or name empiar:ID")
