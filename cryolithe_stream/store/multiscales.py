"""The metadata that make a tomogram an OME-Zarr image: written last, by ome-zarr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zarr

from cryolithe_stream.store.atomic import sync
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.layout import TomogramLayout
from cryolithe_stream.store.place import PlaceLike
from cryolithe_stream.store.quiet import without_warning
from cryolithe_stream.store.remote_store import zarr_store
from cryolithe_stream.store.tomogram import ATTRIBUTE_KEY, AXES, Tomogram, open_tomogram

UNIT = "angstrom"


def finish_tomogram(path: PlaceLike, attributes: dict[str, Any]) -> None:
    """Write the provenance, then the multiscales metadata, after which the tomogram counts as finished.

    `attributes` (JSON) come under the key "cryolithe_stream". Axes are z, y, x in angstrom; level i has scale
    voxel·2^i and translation voxel·(2^i − 1)/2, plus the origin. Temporary files of killed writers are removed.
    A draft stays one: `publish_output` makes it known.
    Raises OutputError when it cannot be written, and what `open_tomogram` raises.
    """
    tomogram = open_tomogram(path)
    layout = tomogram.layout
    with output_faults(tomogram.path):
        _write_multiscales(_record(tomogram, attributes), layout, tomogram.path.name.split(".")[0])
        sync(tomogram.path / ("zarr.json" if layout.version == "0.5" else ".zattrs"))


def record_attributes(tomogram: Tomogram, attributes: dict[str, Any]) -> None:
    """Replace the provenance of a finished tomogram, in one write: whoever reads it meanwhile sees the old or the new.

    Temporary files of killed writers are removed. Raises OutputError when it cannot be written.
    """
    _record(tomogram, attributes)


def _record(tomogram: Tomogram, attributes: dict[str, Any]) -> zarr.Group:
    with output_faults(tomogram.path):
        if isinstance(tomogram.path, Path):
            for partial in tomogram.path.rglob("*.partial"):
                partial.unlink(missing_ok=True)
        group = zarr.open_group(zarr_store(tomogram.path), mode="r+")
        group.attrs[ATTRIBUTE_KEY] = {**attributes, "layout": tomogram.layout.to_json()}
        sync(tomogram.path / ("zarr.json" if tomogram.layout.version == "0.5" else ".zattrs"))
    return group


def _write_multiscales(group: zarr.Group, layout: TomogramLayout, name: str) -> None:
    # ome-zarr loads Dask and pandas, a second that only this step should pay, and warns of its own default argument.
    with without_warning("Call to deprecated class Scaler", DeprecationWarning):
        from ome_zarr.format import FormatV04, FormatV05
        from ome_zarr.writer import write_multiscales_metadata
    datasets = [
        {
            "path": str(level),
            "coordinateTransformations": [
                {"type": "scale", "scale": layout.scale_angstrom(level)},
                {"type": "translation", "translation": layout.translation_angstrom(level)},
            ],
        }
        for level in range(len(layout.level_shapes))
    ]
    write_multiscales_metadata(
        group,
        datasets,
        fmt=FormatV05() if layout.version == "0.5" else FormatV04(),
        axes=[{"name": axis, "type": "space", "unit": UNIT} for axis in AXES],
        name=name,
    )
