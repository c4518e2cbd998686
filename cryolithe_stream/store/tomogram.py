"""An OME-Zarr tomogram: made with all its level arrays, and opened lazily."""

from __future__ import annotations

import hashlib
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import zarr

from cryolithe_stream.errors import FormatError, MissingFileError, OutputError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.store.atomic import folder_made_whole
from cryolithe_stream.store.layout import OmeVersion, TomogramLayout
from cryolithe_stream.store.place import Place, PlaceLike, RemotePath, place_of
from cryolithe_stream.store.remote_store import zarr_store
from cryolithe_stream.store.values import DtypeName, Scaling, checked_scaling, decode

PathLike = str | os.PathLike[str]
ATTRIBUTE_KEY = "cryolithe_stream"
AXES = ("z", "y", "x")


@dataclass(frozen=True, slots=True, eq=False)
class Tomogram:
    """An opened tomogram: its layout, provenance, and levels that are read on demand.

    `attributes` is the provenance that `finish_tomogram` wrote; `finished` is false until then.
    """

    path: Place
    layout: TomogramLayout
    attributes: dict[str, Any]
    finished: bool

    @property
    def shape_zyx(self) -> Shape3:
        """Voxels of level 0 along (z, y, x)."""
        return self.layout.shape_zyx

    @property
    def voxel_angstrom(self) -> float:
        """Voxel size of level 0."""
        return self.layout.voxel_angstrom

    @property
    def n_levels(self) -> int:
        """How many levels the pyramid has."""
        return len(self.layout.level_shapes)

    def level(self, index: int) -> zarr.Array[Any]:
        """A level as a lazy array `(z, y, x)` of stored numbers; index it like a NumPy array."""
        return open_level(self.path, index, mode="r")

    def read_box(self, box: Box, *, level: int = 0) -> Float32s:
        """The values in a box of a level, float32 `(z, y, x)`."""
        return decode(np.asarray(self.level(level)[box.slices]), self.layout.scaling)


def create_tomogram(
    path: PlaceLike,
    *,
    shape_zyx: Shape3,
    voxel_angstrom: float,
    dtype: DtypeName,
    chunk_zyx: Shape3,
    shard_zyx: Shape3,
    version: OmeVersion = "0.5",
    scaling: Scaling | None = None,
    origin_zyx_px: Shape3 = (0, 0, 0),
) -> Tomogram:
    """A new tomogram with empty arrays for all levels and no multiscales metadata; it appears whole or not at all.

    In an object store `path` is a draft (see `RemotePath`).
    Raises OutputError when something stands at `path` or it cannot be written.
    """
    path = place_of(path)
    layout = TomogramLayout(
        shape_zyx, voxel_angstrom, dtype, chunk_zyx, shard_zyx, version, checked_scaling(dtype, scaling), origin_zyx_px
    )
    if path.exists():
        raise OutputError(f"{path} exists already", fix="Name another output or remove it")
    with _made_whole(path) as folder:
        group = zarr.create_group(
            zarr_store(folder),
            zarr_format=3 if version == "0.5" else 2,
            attributes={ATTRIBUTE_KEY: {"layout": layout.to_json()}},
        )
        for level, shape in enumerate(layout.level_shapes):
            _create_level(group, level, shape, layout)
    return Tomogram(path, layout, {}, finished=False)


def open_tomogram(path: PlaceLike) -> Tomogram:
    """The tomogram at `path`, a folder or an address, finished or not.

    Raises MissingFileError when there is nothing, FormatError when it is no tomogram of this program, RemoteError.
    """
    path = place_of(path)
    if not path.exists():
        raise MissingFileError(f"{path} does not exist", fix="Check the path")
    try:
        attributes: dict[str, Any] = dict(zarr.open_group(zarr_store(path), mode="r").attrs)
        entry = dict(attributes[ATTRIBUTE_KEY])
        layout = TomogramLayout.from_json(entry.pop("layout"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path} is not a tomogram of cryolithe-stream", fix="Name a folder that it wrote") from error
    ome = attributes.get("ome", {}) if layout.version == "0.5" else attributes
    return Tomogram(path, layout, entry, finished=isinstance(ome, dict) and "multiscales" in ome)


def open_level(path: Place, level: int, *, mode: Literal["r", "r+"]) -> zarr.Array[Any]:
    """One level's array; cheap: a single small file is read. Raises FormatError when it is not there."""
    try:
        return zarr.open_array(zarr_store(path / str(level)), mode=mode)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path} has no level {level}", fix="Name a tomogram and one of its levels") from error


def metadata_digest(path: Place) -> str:
    """SHA-256 of the root metadata that make an image one; empty where there are none. Raises RemoteError."""
    for name in ("zarr.json", ".zattrs"):
        with suppress(FileNotFoundError):
            return hashlib.sha256((path / name).read_bytes()).hexdigest()
    return ""


def _made_whole(path: Place) -> AbstractContextManager[Place]:
    return nullcontext(path) if isinstance(path, RemotePath) else folder_made_whole(path)


def _create_level(group: zarr.Group, level: int, shape: Shape3, layout: TomogramLayout) -> None:
    scale, offset = layout.scaling
    attributes: dict[str, Any] = {"scale_factor": scale, "add_offset": offset} if layout.dtype == "int16" else {}
    sharded = layout.version == "0.5"
    if not sharded:
        attributes["_ARRAY_DIMENSIONS"] = list(AXES)
    group.create_array(
        str(level),
        shape=shape,
        dtype=np.dtype(layout.dtype).newbyteorder("<"),
        chunks=layout.chunk_zyx,
        shards=layout.shard_zyx if sharded else None,
        fill_value=0,
        attributes=attributes,
        chunk_key_encoding={"name": "default" if sharded else "v2", "separator": "/"},
        dimension_names=AXES if sharded else None,
    )
