"""`batch run`, `batch status` and `batch retry`: a manifest in, a folder of tomograms out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli.progress import progress_on, standard_error
from cryolithe_stream_cli.show import duration, size
from cryolithe_stream_cli.tables import print_table

if TYPE_CHECKING:
    from cryolithe_stream.batch import Manifest, Orders
    from cryolithe_stream.store import RemotePath

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The output folder of batch run.")]
AtOnce = Annotated[
    int,
    typer.Option("--at-once", metavar="N", min=1, max=64, help="Series under way at a time; more fill many workers."),
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
    at_once: AtOnce = 3,
) -> None:
    """Reconstruct every series of a manifest, or of a folder that is searched as `batch plan` does.

    The same command again does what is missing and what failed. Options of `run` hold for every series; a series' own
    options in the manifest win. Exit code 1 when a series failed.
    """
    from cryolithe_stream.batch import Orders
    from cryolithe_stream.batch.plan import shared_options

    source = given.pop("source")
    if not source:
        raise InputError("no manifest is named", fix="Name the file that batch plan wrote, or a folder of tilt series")
    options = shared_options(given)
    place, folder = _places(output, workspace)
    _reconstruct(Orders(_manifest(Path(source).expanduser(), recipe, options), options, place), folder, at_once)


def retry(folder: Folder, at_once: AtOnce = 3) -> None:
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


def _reconstruct(orders: Orders, folder: Path, at_once: int) -> None:
    from cryolithe_stream.batch import BatchRecord, run_batch
    from cryolithe_stream.batch.estimate import estimate_batch

    jobs = orders.jobs(folder)
    with BatchRecord.open(folder) as record, progress_on(standard_error()) as progress:
        orders.keep(folder)
        takes = estimate_batch(jobs)
        if takes.n_series:
            unknown = f"; {takes.n_unknown} cannot be surveyed" if takes.n_unknown else ""
            progress.message(
                f"{takes.n_series} of {len(jobs)} series to do: about {size(takes.output_bytes)} and "
                f"{duration(takes.seconds)} on this machine{unknown}"
            )
        result = run_batch(jobs, record, at_once=at_once, progress=progress)
    counts = result.counts()
    typer.echo(f"report: {result.report}")
    typer.echo(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["failed"]:
        raise typer.Exit(1)


def _spent(seconds: float) -> str:
    return duration(seconds) if seconds else "-"
