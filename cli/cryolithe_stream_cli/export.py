"""`export`: an OME-Zarr tomogram as an MRC file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryolithe_stream.errors import InputError, OutputError

_SUFFIXES = (".mrc", ".map", ".rec")


def export(
    tomogram: Annotated[
        str, typer.Argument(metavar="TOMOGRAM", help="A finished OME-Zarr tomogram, here or at s3://, https://.")
    ],
    mrc: Annotated[Path, typer.Argument(metavar="MRC", help="The MRC file to write.")],
    level: Annotated[int, typer.Option("--level", metavar="N", min=0, help="Level of the pyramid; 0: full size.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the MRC file.")] = False,
) -> None:
    """Write a tomogram as an MRC file, slab by slab."""
    if mrc.suffix not in _SUFFIXES:
        raise InputError(f"an MRC file is written, got the name {mrc}", fix=f"Give a name that ends in {_SUFFIXES[0]}")
    if not mrc.parent.is_dir():
        raise OutputError(f"{mrc.parent} is not an existing folder", fix="Create it, or name another file")
    from cryolithe_stream.store import export_mrc

    export_mrc(tomogram, mrc, level=level, overwrite=overwrite)
    typer.echo(f"done: {mrc}")
