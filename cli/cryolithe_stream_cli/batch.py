"""`batch`: many tilt series, by a manifest that `batch plan` writes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream_cli.archive import Limit, list_entry, refuse_unless_entry
from cryolithe_stream_cli.batch_run import retry, run, status
from cryolithe_stream_cli.batch_simulate import simulate
from cryolithe_stream_cli.empiar import Attempts, Files, Match, Timeout, server_for
from cryolithe_stream_cli.flags import FLAGS, takes_options
from cryolithe_stream_cli.show import write_json

if TYPE_CHECKING:
    from cryolithe_stream.batch.tree import Tree

batch = typer.Typer(no_args_is_help=True, help="Many tilt series: find them, reconstruct them.")

_ONE_SERIES = ("angles", "alignment", "mdoc", "odd", "even", "output", "overwrite", "workspace")
_NO_CLUSTER = ("cluster", "workers", "adapt", "dashboard")
_SHARED = tuple(flag for flag in FLAGS if flag.name not in _ONE_SERIES)
_IMAGINED = tuple(flag for flag in _SHARED if flag.name not in _NO_CLUSTER)


def _recipes(incomplete: str) -> list[str]:
    from cryolithe_stream.batch.recipes import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


@batch.command("plan")
@takes_options(_SHARED, "source", typer.Argument(metavar="FOLDER|empiar:ID", help="What to search, with all below it."))
def plan(
    given: dict[str, Any],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The manifest to write (YAML).")
    ] = Path("manifest.yaml"),
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            metavar="NAME|FILE",
            help="How folders are laid out: etomo, aretomo, warp, relion5, cryoet-portal, folder, empiar-NNNNN or a "
            "file (.yaml) of your own; without it what fits best.",
            autocompletion=_recipes,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the manifest.")] = False,
    as_json: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE|-", help="Also write what was found as JSON; - prints only that."),
    ] = None,
    limit: Limit = None,
    match: Match = None,
    files_url: Files = None,
    timeout: Timeout = 60.0,
    attempts: Attempts = 8,
) -> None:
    """Find the tilt series under a folder or in an entry of EMPIAR and write them into a manifest.

    `batch run` takes it, and people may edit it. Headers, angles and alignments are read as `run` reads them, and
    nothing is reconstructed. Options of `run` hold for every series. Of an entry (`empiar:11830`) only lists are read,
    and nothing is fetched. Exit code 1 when no series was found.
    """
    from cryolithe_stream.batch import Manifest, discover_series, find_recipe
    from cryolithe_stream.batch.archive import entry_source, is_entry
    from cryolithe_stream.batch.plan import describe, shared_options
    from cryolithe_stream.errors import InputError
    from cryolithe_stream_cli.tables import show_discovery

    source = given.pop("source")
    if not source:
        raise InputError("no folder is named", fix="Name the folder of the tilt series, or an entry as empiar:11830")
    options = shared_options(given)
    chosen = None if recipe is None else find_recipe(recipe)
    Manifest.check_place(output, overwrite=overwrite)
    place: Path | Tree = Path(source).expanduser()
    if is_entry(source):
        place = list_entry(entry_source(source), server_for(None, files_url, timeout, attempts), match)
    else:
        refuse_unless_entry({"match": match})
    found = discover_series(place, chosen, options)
    found = replace(found, found=found.found[:limit])
    if found.found:
        Manifest.of(found, options).write(output, overwrite=overwrite)
    if as_json is not None:
        write_json(as_json, describe(found, output))
    if as_json != "-":
        show_discovery(found, output, sys.stdout)
    if not found.found:
        raise typer.Exit(1)


batch.command("run")(
    takes_options(
        _SHARED,
        "source",
        typer.Argument(metavar="MANIFEST|FOLDER|empiar:ID", help="What batch plan wrote, a folder, or an entry."),
    )(run)
)
batch.command("simulate")(
    takes_options(_IMAGINED, "source", typer.Argument(metavar="MANIFEST", help="What batch plan wrote; or --series."))(
        simulate
    )
)
batch.command("status")(status)
batch.command("retry")(retry)
