"""`empiar`: what entries of the public archive hold, and their files."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import InputError, OutputError, RemoteError
from cryolithe_stream_cli.downloads import downloads_on
from cryolithe_stream_cli.entries import about, count, file_facts, folder_facts, print_entry, print_folders, told
from cryolithe_stream_cli.progress import standard_error
from cryolithe_stream_cli.show import size as bytes_text

if TYPE_CHECKING:
    from cryolithe_stream.empiar import Client, Outcome, Server, Tree

_SERVER = "Server of EMPIAR"
_STDOUT = Path("-")

Id = Annotated[str, typer.Argument(metavar="ID", help="EMPIAR-10499, 10499, its DOI or the address of its page.")]
Match = Annotated[
    list[str] | None,
    typer.Option(
        "--match",
        metavar="GLOB",
        help="Only paths such as 'data/*/TS_01*' (** goes across folders, a name alone is looked for in all); again "
        "for more.",
    ),
]
AsJson = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON; - : to standard output.")]
Api = Annotated[
    str | None,
    typer.Option(
        "--api-url",
        metavar="URL",
        envvar="CRYOLITHE_EMPIAR_API",
        help="Where EMPIAR's database answers.",
        rich_help_panel=_SERVER,
    ),
]
Files = Annotated[
    str | None,
    typer.Option(
        "--files-url",
        metavar="URL",
        envvar="CRYOLITHE_EMPIAR_FILES",
        help="Where the folders of entries are.",
        rich_help_panel=_SERVER,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", min=0.1, help="How long a server may be silent.", rich_help_panel=_SERVER
    ),
]
Attempts = Annotated[
    int,
    typer.Option("--attempts", metavar="N", min=1, help="Attempts without progress.", rich_help_panel=_SERVER),
]
empiar = typer.Typer(no_args_is_help=True, help="Look at entries of EMPIAR, the public archive, and fetch files.")


@empiar.command("list")
def list_entry(
    entry: Id,
    match: Match = None,
    depth: Annotated[int, typer.Option("--depth", metavar="N", min=0, max=24, help="Folders below each other.")] = 2,
    folders: Annotated[int, typer.Option("--folders", metavar="N", min=1, help="Most folders to look into.")] = 200,
    as_json: AsJson = None,
    api_url: Api = None,
    files_url: Files = None,
    timeout: Timeout = 60.0,
    attempts: Attempts = 5,
) -> None:
    """Show what an entry is, its image sets, and its folders with counts and sizes of their files."""
    from cryolithe_stream.empiar import Bounds, read_entry

    client, number = _client(api_url, files_url, timeout, attempts), _number(entry)
    _check_json(as_json)
    found, problem = None, ""
    try:
        found = read_entry(client, number)
    except RemoteError as error:
        problem = str(error)
    tree = _tree(client, number, match, Bounds(folders=folders, depth=depth))
    seen, bounded, code = [], "", 0
    try:
        for folder in told(tree):
            seen.append(folder)  # noqa: PERF402 - what was seen before a fault is shown
    except (InputError, RemoteError) as error:
        if not seen and found is None:
            raise
        bounded, code = str(error), 0 if seen else error.exit_code
    facts = {
        "accession": f"EMPIAR-{number}",
        "entry": None if found is None else asdict(found),
        "folders": [folder_facts(folder) for folder in seen],
        "faults": [line for line in (problem, bounded) if line],
        "complete": not bounded and not any(folder.unread for folder in seen),
    }
    if not _written(as_json, facts):
        print_entry(number, found, problem)
        print_folders(seen)
    if bounded:
        typer.echo(f"{'not all' if seen else 'no'} folders: {bounded}", err=True)
    if code:
        raise typer.Exit(code)


@empiar.command("fetch")
def fetch_entry(
    entry: Id,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="The folder to fill. Default: EMPIAR-ID.")
    ] = None,
    match: Match = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", min=1, help="Only the first N files.")] = None,
    connections: Annotated[
        int, typer.Option("--connections", metavar="N", min=1, max=16, help="Files that are fetched at once.")
    ] = 4,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be fetched.")] = False,
    as_json: AsJson = None,
    api_url: Api = None,
    files_url: Files = None,
    timeout: Timeout = 60.0,
    attempts: Attempts = 8,
) -> None:
    """Fetch files of an entry; what was begun is continued, and what is there is left alone.

    Files keep their paths below DIR and bear their names only when they are whole. The last line counts; the exit code
    is 1 when a file failed.
    """
    from cryolithe_stream.empiar import fetch

    client, number = _client(api_url, files_url, timeout, attempts), _number(entry)
    _check_json(as_json)
    folder = output or Path(f"EMPIAR-{number}")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", fix="Name a folder with -o")
    tree = _tree(client, number, match)
    files = list(islice((file for folder in told(tree) for file in folder.files), limit))
    if not files:
        raise InputError(f"no file of EMPIAR-{number} matches", fix=f"See `cryolithe-stream empiar list {number}`")
    if dry_run:
        if not _written(as_json, {"files": [file_facts(file) for file in files]}):
            for file in files:
                typer.echo(f"{about(file):>10}  {file.path}")
            typer.echo(f"{count(files)}, to {folder}")
        return
    typer.echo(f"EMPIAR-{number}: {count(files)}, to {folder}", err=True)
    expected = sum(file.size.likely for file in files if file.size is not None)
    with downloads_on(standard_error(), len(files), expected) as progress:
        outcome = fetch(client, files, folder, connections=connections, progress=progress)
    if not _written(as_json, {"folder": str(folder), **asdict(outcome)}):
        typer.echo(_counted(outcome, folder))
    if outcome.failed:
        raise typer.Exit(1)


def server_for(api_url: str | None, files_url: str | None, timeout: float, attempts: int) -> Server:
    """The server that the options name. Raises InputError for addresses that are none."""
    from cryolithe_stream.empiar import Server

    given: dict[str, Any] = {"timeout_s": timeout, "attempts": attempts}
    if api_url:
        given["api_url"] = api_url
    if files_url:
        given["files_url"] = files_url
    return Server(**given)


def _client(api_url: str | None, files_url: str | None, timeout: float, attempts: int) -> Client:
    from cryolithe_stream.empiar import Client

    return Client(server_for(api_url, files_url, timeout, attempts))


def _number(entry: str) -> str:
    from cryolithe_stream.empiar import entry_number

    return entry_number(entry)


def _tree(client: Client, number: str, match: Sequence[str] | None, bounds: Any = None) -> Tree:
    from cryolithe_stream.empiar import Bounds, Patterns, Tree

    return Tree(client, number, Patterns.parse(match or ()), bounds or Bounds(), warn)


def warn(line: str) -> None:
    """Tell what was passed over."""
    typer.echo(f"warning: {line}", err=True)


def _check_json(target: Path | None) -> None:
    if target is not None and target != _STDOUT and (target.is_dir() or not target.parent.is_dir()):
        raise OutputError(f"{target} cannot be written: no file in an existing folder", fix="Name another --json")


def _written(target: Path | None, facts: dict[str, Any]) -> bool:
    """Write JSON where it is asked for; whether it went to standard output."""
    if target is None:
        return False
    text = json.dumps(facts, indent=2, allow_nan=False) + "\n"
    if target == _STDOUT:
        sys.stdout.write(text)
        return True
    from cryolithe_stream.store.atomic import write_atomically

    write_atomically(target, text.encode())
    return False


def _counted(outcome: Outcome, folder: Path) -> str:
    counts = f"{len(outcome.fetched)} fetched, {len(outcome.skipped)} there already, {len(outcome.failed)} failed"
    return f"{'incomplete' if outcome.failed else 'done'}: {counts}, {bytes_text(outcome.n_bytes)} fetched to {folder}"
