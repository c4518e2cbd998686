"""`info`: what a file or folder is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import DamagedStoreError, FormatError, MissingFileError
from cryolithe_stream_cli.show import show

if TYPE_CHECKING:
    from cryolithe_stream.store import LedgerRecord, Place, Tomogram


def info(
    path: Annotated[
        str,
        typer.Argument(metavar="PATH", help="A stack, projection store, tomogram (also at s3://, https://) or model."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Describe a stack, a store of projections, a tomogram or a model."""
    from cryolithe_stream.store import place_of

    show(_describe(place_of(path)), as_json=as_json)


def _describe(path: Place) -> dict[str, Any]:
    from cryolithe_stream.store import RemotePath, open_tomogram

    if isinstance(path, RemotePath):
        return _describe_tomogram(open_tomogram(path))
    if not path.exists():
        raise MissingFileError(f"{path} does not exist", fix="Check the path")
    if path.suffix == ".safetensors" or (path / "config.json").is_file():
        from cryolithe_stream.network import load_model
        from cryolithe_stream_cli.models import describe_model

        return describe_model(load_model(str(path)))
    if path.is_dir():
        return _describe_folder(path)
    from cryolithe_stream.read import describe_stack

    return describe_stack(path)


def _describe_folder(path: Path) -> dict[str, Any]:
    from cryolithe_stream.store import Ledger, ProjectionStore, open_tomogram, read_ledger

    if Ledger.exists(path):
        return _describe_workspace(path, read_ledger(path))
    try:
        tomogram = open_tomogram(path)
    except FormatError:
        try:
            store = ProjectionStore.open(path)
        except DamagedStoreError as error:
            raise FormatError(
                f"{path} is no tomogram, projections or model that this program knows",
                fix="Name a stack, a folder that this program wrote, or a model",
            ) from error
        return {
            "projections": str(path),
            "shape_tyx": list(store.shape_tyx),
            "pixel_angstrom": store.pixel_angstrom,
            "tilts_deg": [float(tilt) for tilt in store.tilts_deg],
            "provenance": store.attributes,
        }
    return _describe_tomogram(tomogram)


def _describe_tomogram(tomogram: Tomogram) -> dict[str, Any]:
    layout = tomogram.layout
    return {
        "tomogram": str(tomogram.path),
        "finished": tomogram.finished,
        "ome_zarr": layout.version,
        "shape_zyx": list(layout.shape_zyx),
        "voxel_angstrom": layout.voxel_angstrom,
        "dtype": layout.dtype,
        "levels": tomogram.n_levels,
        "provenance": tomogram.attributes,
    }


def _describe_workspace(path: Path, record: LedgerRecord) -> dict[str, Any]:
    """What is known of a run, or a repair, that has not ended."""
    if "repairs" in record.plan:
        return {
            "unfinished_repair": str(path),
            "of": record.plan["repairs"],
            "next": "the command that started it continues it",
        }
    return {
        "unfinished_run": str(path),
        "prepared": "prepared" in record.done,
        "blocks_done": sum(key.startswith("block/") for key in record.done),
        "next": "the command that started it continues it",
        "voxels": record.plan["voxels"],
    }
