"""`verify`: finished tomograms against the checksums that were recorded when they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli.progress import progress_on, standard_error


def verify(
    tomograms: Annotated[
        list[str],
        typer.Argument(metavar="OUT...", help="Tomograms (.ome.zarr) of this program, here or at s3://, https://."),
    ],
    repair: Annotated[
        bool, typer.Option("--repair", help="Make what is damaged again, from the series that it was made of.")
    ] = False,
    cluster: Annotated[
        str, typer.Option("--cluster", metavar="SPEC", help="Workers that repair, as for `run`.")
    ] = "local",
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            metavar="DIR",
            help="Where a repair in an object store keeps its OUT.repair, seen by all workers; default: here.",
        ),
    ] = None,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Repair though one elsewhere, or a run, that was killed still claims it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check every block and the pyramid of finished tomograms; exit code 1 when one is damaged and stays so."""
    from cryolithe_stream.run import repair_tomogram, verify_tomogram
    from cryolithe_stream.run.repair_claim import left_behind, require_repairable
    from cryolithe_stream.store import place_of

    paths = [place_of(tomogram) for tomogram in tomograms]
    if repair:
        for path in paths:
            require_repairable(path, workspace)
    elif take_over or workspace is not None:
        raise InputError("--workspace and --take-over are for --repair", fix="Add it, or leave them out")
    results = []
    with progress_on(standard_error()) as progress:
        for path in paths:
            found = verify_tomogram(path, progress)
            for damage in found.damages:
                progress.message(f"{path}, level {damage.level}, voxels {damage.box}: {damage.reason}")
            if repair and (found.damages or take_over or left_behind(path, workspace)):
                if found.damages:
                    progress.message(f"{path}: {len(found.damages)} pieces are made again")
                found = repair_tomogram(
                    found, cluster=cluster, progress=progress, workspace=workspace, take_over=take_over
                )
            results.append(found)
    if as_json:
        typer.echo(json.dumps([found.to_json() for found in results], indent=1))
    else:
        for found in results:
            state = f"{len(found.damages)} of {found.n_checked} pieces are damaged" if found.damages else "whole"
            typer.echo(f"{state}: {found.path}")
    if any(found.damages for found in results):
        raise typer.Exit(1)
