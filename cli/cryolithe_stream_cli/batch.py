"""`batch`: many tilt series, by a manifest that `batch plan` writes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cryolithe_stream_cli.batch_run import retry, run, status
from cryolithe_stream_cli.flags import FLAGS, takes_options

batch = typer.Typer(no_args_is_help=True, help="Many tilt series: find them, reconstruct them.")

_ONE_SERIES = ("angles", "alignment", "mdoc", "odd", "even", "output", "overwrite", "workspace")
_SHARED = tuple(flag for flag in FLAGS if flag.name not in _ONE_SERIES)


def _recipes(incomplete: str) -> list[str]:
    from cryolithe_stream.batch.recipes import recipe_names

    return [name for name in recipe_names() if name.startswith(incomplete)]


@batch.command("plan")
@takes_options(_SHARED, "source", typer.Argument(metavar="SOURCE", help="The folder to search, with all below it."))
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
) -> None:
    """Find the tilt series under a folder and write them into a manifest, which `batch run` takes and people may edit.

    Headers, angles and alignments are read as `run` reads them, and nothing is reconstructed. Options of `run` hold for
    every series. Exit code 1 when no series was found.
    """
    from cryolithe_stream.batch import Manifest, discover_series, find_recipe
    from cryolithe_stream.batch.plan import describe, shared_options
    from cryolithe_stream.errors import InputError
    from cryolithe_stream_cli.tables import show_discovery

    source = given.pop("source")
    if not source:
        raise InputError("no folder is named", fix="Name the folder of the tilt series")
    options = shared_options(given)
    chosen = None if recipe is None else find_recipe(recipe)
    Manifest.check_place(output, overwrite=overwrite)
    found = discover_series(Path(source).expanduser(), chosen, options)
    if found.found:
        Manifest.of(found, options).write(output, overwrite=overwrite)
    if as_json is not None:
        _write_json(as_json, describe(found, output))
    if as_json != "-":
        show_discovery(found, output, sys.stdout)
    if not found.found:
        raise typer.Exit(1)


batch.command("run")(
    takes_options(
        _SHARED, "source", typer.Argument(metavar="MANIFEST|FOLDER", help="What batch plan wrote, or a folder.")
    )(run)
)
batch.command("status")(status)
batch.command("retry")(retry)


def _write_json(place: str, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1) + os.linesep
    if place == "-":
        sys.stdout.write(text)
    else:
        from cryolithe_stream.store.atomic import write_atomically

        write_atomically(Path(place), text.encode())
