"""`export`: an OME-Zarr tomogram as an MRC file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    tomogram: Annotated[Path, typer.Argument(metavar="TOMOGRAM", help="A finished OME-Zarr tomogram.")],
    mrc: Annotated[Path, typer.Argument(metavar="MRC", help="The MRC file to write.")],
    level: Annotated[int, typer.Option("--level", metavar="N", min=0, help="Level of the pyramid; 0: full size.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the MRC file.")] = False,
) -> None:
    """Write a tomogram as an MRC file, slab by slab."""
    from cryolithe_stream.store import export_mrc

    export_mrc(tomogram, mrc, level=level, overwrite=overwrite)
    typer.echo(f"done: {mrc}")
