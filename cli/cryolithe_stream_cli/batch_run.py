"""`batch run`, `batch status` and `batch retry`: a manifest in, a folder of tomograms out."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli.archive import (
    Connections,
    Disk,
    KeepRaw,
    Limit,
    Relist,
    Scratch,
    list_once,
    refuse_unless_entry,
    streaming_for,
)
from cryolithe_stream_cli.empiar import Attempts, Files, Match, Timeout, server_for
from cryolithe_stream_cli.progress import progress_on, standard_error
from cryolithe_stream_cli.show import duration, size
from cryolithe_stream_cli.tables import print_table

if TYPE_CHECKING:
    from cryolithe_stream.batch import Job, Manifest, Orders
    from cryolithe_stream.empiar import Server
    from cryolithe_stream.run import Progress
    from cryolithe_stream.store import RemotePath

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of batch run.")]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--at-once",
        metavar="N",
        min=1,
        max=64,
        help="Series under way at a time. Default: one for each 2 workers, 3 to 64.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Output = Annotated[
    str,
    typer.Option("-o", "--output", metavar="DIR", help="Where NAME.ome.zarr of every series goes; or s3://BUCKET/DIR."),
]
Workspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        metavar="DIR",
        help="Where a batch into an object store keeps its record; default: its last name.",
    ),
]
Recipe = Annotated[
    str | None, typer.Option("--recipe", metavar="NAME|FILE", help="How a folder is laid out; as for batch plan.")
]


def run(
    given: dict[str, Any],
    output: Output,
    workspace: Workspace = None,
    recipe: Recipe = None,
    at_once: AtOnce = None,
    limit: Limit = None,
    match: Match = None,
    scratch: Scratch = None,
    disk: Disk = None,
    keep_raw: KeepRaw = False,
    connections: Connections = 4,
    relist: Relist = False,
    files_url: Files = None,
    timeout: Timeout = 60.0,
    attempts: Attempts = 8,
) -> None:
    """Reconstruct every series of a manifest, of a folder that is searched as `batch plan` does, or of `empiar:ID`.

    The same command again does what is missing and what failed. Options of `run` hold for every series; a series' own
    options in the manifest win. Of an entry of EMPIAR files are fetched a few series ahead, and deleted when their
    tomogram is complete. Exit code 1 when a series failed.
    """
    from cryolithe_stream.batch import Orders
    from cryolithe_stream.batch.archive import is_entry
    from cryolithe_stream.batch.plan import shared_options

    source = given.pop("source")
    if not source:
        raise InputError(
            "no manifest is named",
            fix="Name the file that batch plan wrote, a folder of tilt series, or an entry as empiar:11830",
        )
    options = shared_options(given)
    place, folder = _places(output, workspace)
    server = server_for(None, files_url, timeout, attempts)
    if is_entry(source):
        manifest = _entry(source, server, match, recipe, options, folder, relist=relist)
    else:
        refuse_unless_entry({"match": match, "relist": relist})
        manifest = _manifest(Path(source).expanduser(), recipe, options)
    streaming = None
    if is_entry(manifest.source):
        if place is not None:
            raise InputError(f"tomograms of an entry of EMPIAR do not go to {place}", fix="Name a local folder")
        streaming = streaming_for(folder, scratch, disk, keep_raw=keep_raw, connections=connections, server=server)
    else:
        refuse_unless_entry({"scratch": scratch, "disk": disk, "keep-raw": keep_raw})
    manifest = replace(manifest, series=manifest.series[:limit])
    _reconstruct(Orders(manifest, options, place, streaming), folder, at_once)


def retry(folder: Folder, at_once: AtOnce = None) -> None:
    """Run the batch in an output folder again as it was run: what is missing and what failed."""
    from cryolithe_stream.batch import Orders

    _reconstruct(Orders.kept(folder), folder, at_once)


def status(folder: Folder, as_json: AsJson = False) -> None:
    """How far the batch in an output folder is; it may be running elsewhere."""
    from cryolithe_stream.batch.status import batch_status, count_states

    found = batch_status(folder)
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=1))
        return
    rows = [(one.name, one.state, f"{100 * one.share:.0f} %", _spent(one.seconds), one.reason) for one in found]
    print_table(("series", "state", "blocks", "time", "reason"), rows, sys.stdout)
    typer.echo(", ".join(f"{count} {state}" for state, count in count_states(found).items()))


def _entry(
    source: str,
    server: Server,
    match: list[str] | None,
    recipe: str | None,
    options: dict[str, Any],
    output: Path,
    *,
    relist: bool,
) -> Manifest:
    from cryolithe_stream.batch import Manifest, discover_series, find_recipe
    from cryolithe_stream.batch.archive import entry_source

    entry, chosen = entry_source(source), None if recipe is None else find_recipe(recipe)
    found = discover_series(list_once(entry, server, match, output, anew=relist), chosen, options)
    if not found.found:
        raise InputError(f"no tilt series was found in {entry}", fix="batch plan tells what was left out, and why")
    return Manifest.of(found, options)


def _places(output: str, workspace: Path | None) -> tuple[RemotePath | None, Path]:
    """The object store that the tomograms go to, if any, and the folder of the batch here."""
    from cryolithe_stream.store import RemotePath, place_of

    place = place_of(output)
    if isinstance(place, RemotePath):
        if place.scheme != "s3":
            raise InputError(f"{place} cannot be written", fix="Name a local folder or s3://")
        return place, workspace or Path(place.name)
    if workspace is not None:
        raise InputError("--workspace is for outputs in object stores", fix="Leave it out")
    return None, place


def _manifest(source: Path, recipe: str | None, options: dict[str, Any]) -> Manifest:
    from cryolithe_stream.batch import Manifest, discover_series, find_recipe, read_manifest

    if not source.is_dir():
        if recipe is not None:
            raise InputError(f"--recipe is for folders, {source} is none", fix="Leave it out, or name the folder")
        return read_manifest(source)
    found = discover_series(source, None if recipe is None else find_recipe(recipe), options)
    if not found.found:
        raise InputError(f"no tilt series was found under {source}", fix="batch plan tells what was left out, and why")
    return Manifest.of(found, options)


def _reconstruct(orders: Orders, folder: Path, at_once: int | None) -> None:
    from cryolithe_stream.batch import BatchRecord

    with BatchRecord.open(folder) as record, progress_on(standard_error()) as progress:
        orders.keep(folder)
        if orders.streaming is None:
            _tell_estimate(orders.jobs(folder), progress)
        result = orders.run(folder, record, at_once=at_once, progress=progress)
    counts = result.counts()
    typer.echo(f"report: {result.report}")
    typer.echo(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["failed"]:
        raise typer.Exit(1)


def _tell_estimate(jobs: list[Job], progress: Progress) -> None:
    from cryolithe_stream.batch.estimate import estimate_batch

    takes = estimate_batch(jobs)
    if takes.n_series:
        unknown = f"; {takes.n_unknown} cannot be surveyed" if takes.n_unknown else ""
        time = "" if takes.seconds is None else f" and {duration(takes.seconds)} on this machine"
        progress.message(
            f"{takes.n_series} of {len(jobs)} series to do: about {size(takes.output_bytes)}{time}{unknown}"
        )


def _spent(seconds: float) -> str:
    return duration(seconds) if seconds else "-"
