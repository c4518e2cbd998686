"""The prepared projections: a Zarr store written frame by frame and read in strips."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec

from cryolithe_stream.errors import CryolitheError, DamagedStoreError, MissingFileError, OutputError
from cryolithe_stream.geometry import Float32s, Floats, Shape3, StripLayout
from cryolithe_stream.store.atomic import folder_made_whole, sync
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.ownership import is_ours
from cryolithe_stream.store.quiet import without_warning
from cryolithe_stream.store.tomogram import ATTRIBUTE_KEY, PathLike

ROWS_PER_CHUNK = 32
_KIND = "projections"
_AGAIN = "Run the same command again: they are prepared anew"


@dataclass(frozen=True, slots=True, eq=False)
class ProjectionStore:
    """Projections `(tilt, y, x)` in float32 with their tilt angles in degrees; cheap to pickle and to open.

    One shard per tilt holds chunks of whole rows, uncompressed (noise does not compress) and checksummed.
    `attributes` is provenance (JSON). Build one with `create` or `open`.
    """

    path: Path
    tilts_deg: Floats
    pixel_angstrom: float
    attributes: dict[str, Any]
    _array: zarr.Array[Any]

    @classmethod
    def create(
        cls,
        path: PathLike,
        *,
        shape_tyx: Shape3,
        tilts_deg: Floats,
        pixel_angstrom: float,
        attributes: dict[str, Any],
        rows_per_chunk: int = ROWS_PER_CHUNK,
    ) -> ProjectionStore:
        """An empty store for `write_frame`; one of this kind that stands at `path` is replaced.

        Raises OutputError when something else stands there or it cannot be written.
        """
        path, tilts_deg = Path(path), np.asarray(tilts_deg, dtype=np.float64)
        if tilts_deg.shape != (shape_tyx[0],):
            raise ValueError(f"{tilts_deg.shape} tilt angles do not fit projections of shape {shape_tyx}")
        _make_room(path)
        with folder_made_whole(path) as folder:
            group = zarr.create_group(
                folder,
                zarr_format=3,
                attributes={
                    "kind": _KIND,
                    "finished": False,
                    "pixel_angstrom": pixel_angstrom,
                    ATTRIBUTE_KEY: attributes,
                },
            )
            _create_coordinates(group, shape_tyx, tilts_deg, pixel_angstrom)
            _create_projections(group, shape_tyx, rows_per_chunk)
            _consolidate(folder)
        return cls(path, tilts_deg, pixel_angstrom, attributes, zarr.open_array(path / _KIND, mode="r+"))

    @classmethod
    def open(cls, path: PathLike) -> ProjectionStore:
        """The finished store at `path`, for reading.

        Raises MissingFileError when there is nothing, DamagedStoreError when it is unfinished or no such store.
        """
        path = Path(path)
        if not path.exists():
            raise MissingFileError(f"{path} does not exist", fix="Prepare the projections first")
        try:
            group = zarr.open_group(path, mode="r")
            entries: dict[str, Any] = dict(group.attrs)
            if entries["kind"] != _KIND or not entries["finished"]:
                raise DamagedStoreError(f"the projections in {path} are unfinished", fix=_AGAIN)
            array = zarr.open_array(path / _KIND, mode="r")
            tilts = np.asarray(zarr.open_array(path / "tilt_angle", mode="r")[:], dtype=np.float64)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise DamagedStoreError(f"{path} is no intact store of projections", fix=_AGAIN) from error
        return cls(path, tilts, float(entries["pixel_angstrom"]), entries[ATTRIBUTE_KEY], array)

    @staticmethod
    def is_whole(path: PathLike) -> bool:
        """Whether a finished store stands at `path` all of whose frames can be read; reads them all.

        A frame of zeros has no file, and counts as missing.
        """
        try:
            store = ProjectionStore.open(path)
            array = store._array
            for tilt in range(store.shape_tyx[0]):
                file = store.path / _KIND / array.metadata.encode_chunk_key((tilt, 0, 0))
                if not file.stat().st_size:  # which Zarr reads as zeros
                    return False
                array[tilt]
        except (CryolitheError, OSError, ValueError, RuntimeError):
            return False
        return True

    @property
    def shape_tyx(self) -> Shape3:
        """Shape `(tilt, y, x)`."""
        t, y, x = self._array.shape
        return (t, y, x)

    @property
    def rows_per_chunk(self) -> int:
        """Detector rows of a chunk: what is read at least."""
        return int(self._array.chunks[1])

    def write_frame(self, index: int, frame: Float32s) -> None:
        """Store the projection of one tilt, float32 `(y, x)`; frames may come in any order. Raises OutputError."""
        if frame.shape != self.shape_tyx[1:] or not 0 <= index < self.shape_tyx[0]:
            raise ValueError(f"frame {index} of shape {frame.shape} does not fit projections {self.shape_tyx}")
        with output_faults(self.path):
            self._array[index] = np.asarray(frame, dtype=np.float32)

    def finish(self, attributes: dict[str, Any]) -> ProjectionStore:
        """The store opened for reading, once `attributes` are added to its provenance and it is marked as complete."""
        with output_faults(self.path):
            for file in (self.path / _KIND).rglob("*"):
                sync(file)
            merged = {**self.attributes, **attributes}
            zarr.open_group(self.path, mode="r+").attrs.update({ATTRIBUTE_KEY: merged, "finished": True})
            sync(self.path / "zarr.json")
        return ProjectionStore.open(self.path)

    def read_strips(self, layout: StripLayout) -> Float32s:
        """The strips of all tilts, float32 `(tilt, row, column)`, zero outside the detector.

        Raises DamagedStoreError when a checksum does not fit.
        """
        strips = np.zeros(layout.shape, np.float32)
        _, height, width = self.shape_tyx
        rows = _overlap(layout.first_row, layout.n_rows, height)
        try:
            for tilt, first_column in enumerate(layout.first_column):
                columns = _overlap(int(first_column), layout.n_columns, width)
                if rows and columns:
                    strips[tilt, rows[1], columns[1]] = self._array[tilt, rows[0], columns[0]]
        except (OSError, ValueError, RuntimeError) as error:
            raise DamagedStoreError(f"the projections in {self.path} are damaged", fix=_AGAIN) from error
        return strips


def strips_bytes(layout: StripLayout, *, width: int, rows_per_chunk: int = ROWS_PER_CHUNK) -> int:
    """Upper bound of what `read_strips` allocates on a detector of `width` columns.

    The strips of all tilts, and of one tilt the row bands as file and as arrays, and the piece cut out of them.
    """
    n_bands = (layout.first_row + layout.n_rows - 1) // rows_per_chunk - layout.first_row // rows_per_chunk + 1
    bands = 4 * n_bands * rows_per_chunk * width
    return 4 * (math.prod(layout.shape) + layout.n_rows * layout.n_columns) + 2 * bands + bands // 16 + (1 << 18)


def _overlap(first: int, count: int, size: int) -> tuple[slice, slice] | None:
    start, stop = max(0, first), min(size, first + count)
    return (slice(start, stop), slice(start - first, stop - first)) if start < stop else None


def _make_room(path: Path) -> None:
    if not path.exists():
        return
    if not (is_ours(path) and zarr.open_group(path, mode="r").attrs.get("kind") == _KIND):
        raise OutputError(f"{path} exists and holds no projections of ours", fix="Name another folder or move it away")
    with output_faults(path):
        shutil.rmtree(path)


def _consolidate(folder: Path) -> None:
    """Gather the arrays' metadata in the group's: without it xarray.open_zarr warns."""
    with without_warning("Consolidated metadata is currently not part in the Zarr format 3", UserWarning):
        zarr.consolidate_metadata(folder)


def _create_projections(group: zarr.Group, shape_tyx: Shape3, rows_per_chunk: int) -> None:
    _, height, width = shape_tyx
    rows = min(rows_per_chunk, height)
    group.create_array(
        _KIND,
        shape=shape_tyx,
        dtype="<f4",
        chunks=(1, rows, width),
        shards=(1, math.ceil(height / rows) * rows, width),
        compressors=(Crc32cCodec(),),
        fill_value=0,
        dimension_names=("tilt", "y", "x"),
        attributes={"units": "1", "long_name": "normalised, filtered projections", "coordinates": "tilt_angle"},
    )


def _create_coordinates(group: zarr.Group, shape_tyx: Shape3, tilts_deg: Floats, pixel_angstrom: float) -> None:
    entries: list[tuple[str, str, Floats, dict[str, str]]] = [
        ("tilt_angle", "tilt", tilts_deg, {"units": "degree", "long_name": "tilt angle, sign as in IMOD's .tlt"})
    ]
    for name, n in zip("yx", shape_tyx[1:], strict=True):
        centred = (np.arange(n, dtype=np.float64) - (n - 1) / 2) * pixel_angstrom
        entries.append((name, name, centred, {"units": "angstrom", "long_name": "distance from the detector's centre"}))
    for name, dimension, values, attributes in entries:
        array = group.create_array(
            name, shape=values.shape, dtype="<f8", dimension_names=(dimension,), attributes=dict(attributes)
        )
        array[:] = values
