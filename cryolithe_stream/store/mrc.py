"""MRC volumes written box by box in any order, never held in memory."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from cryolithe_stream.errors import DamagedStoreError, MissingFileError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.store.atomic import sync
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.labels import mrc_labels
from cryolithe_stream.store.ownership import MRC_SIGNATURE, require_replaceable
from cryolithe_stream.store.tomogram import PathLike
from cryolithe_stream.store.values import (
    UNSCALED,
    DtypeName,
    Scaling,
    Statistics,
    Stored,
    Written,
    checked_scaling,
    checksum_text,
    crc32,
    encode,
)

_MODES: dict[DtypeName, int] = {"float32": 2, "float16": 12, "int16": 1}
_HEADER_BYTES = 1024
_MAX_LABELS, _LABEL_CHARACTERS = 10, 80
_SCALING = re.compile(r"value = stored \* (\S+) \+ (\S+)")


@dataclass(frozen=True, slots=True)
class MrcVolume:
    """A volume that is being written to `path`; processes may write disjoint boxes at once. Picklable.

    Written by position, not through a memory map: a full disk is then an error, not a SIGBUS, and pages that wait for
    the disk do not count as this process's memory.
    """

    path: Path
    shape_zyx: Shape3
    dtype: DtypeName
    scaling: Scaling = UNSCALED

    @classmethod
    def create(
        cls,
        path: PathLike,
        *,
        shape_zyx: Shape3,
        voxel_angstrom: float,
        dtype: DtypeName,
        scaling: Scaling | None = None,
        origin_zyx_angstrom: Sequence[float] = (0.0, 0.0, 0.0),
        labels: Sequence[str] = (),
    ) -> MrcVolume:
        """A new file of the full size (the disk space is reserved) with its header and no data.

        `path` is a temporary name: `finish` gives the file its own. A file of that name is replaced. The header says
        ispg 1, nsymbt 0, mx = nx, cella = n·voxel; int16 scaling stands in a label, which leaves room for eight.
        Raises OutputError.
        """
        volume = cls(Path(path), shape_zyx, dtype, checked_scaling(dtype, scaling))
        with output_faults(volume.path):
            try:
                with mrcfile.new_mmap(volume.path, shape_zyx, _MODES[dtype], overwrite=True) as file:
                    file.set_volume()
                    file.voxel_size = voxel_angstrom
                    z, y, x = origin_zyx_angstrom
                    file.header.origin = (x, y, z)
                    _set_labels(file.header, volume._labels(labels))
                volume._reserve()
            except OSError:
                volume.path.unlink(missing_ok=True)
                raise
        return volume

    @classmethod
    def open(cls, path: PathLike) -> MrcVolume:
        """The unfinished volume at `path`, to write more boxes.

        Raises MissingFileError when there is none, DamagedStoreError when it is not what `create` made.
        """
        path = Path(path)
        if not path.exists():
            raise MissingFileError(f"{path} does not exist", fix="Start a new run")
        try:
            with mrcfile.open(path, header_only=True) as file:
                header = file.header
            dtype = next(name for name, mode in _MODES.items() if mode == header.mode)
            shape: Shape3 = (int(header.nz), int(header.ny), int(header.nx))
            found = [_SCALING.search(label) for label in mrc_labels(path)]
            volume = cls(path, shape, dtype, next(((float(m[1]), float(m[2])) for m in found if m), UNSCALED))
            complete = path.stat().st_size == _HEADER_BYTES + volume._n_bytes
        except (OSError, ValueError, StopIteration) as error:
            raise DamagedStoreError(
                f"{path} is not an intact MRC volume", fix="Start again with --overwrite"
            ) from error
        if not complete:
            raise DamagedStoreError(f"{path} has the wrong size", fix="Start again with --overwrite")
        return volume

    def write_box(self, box: Box, block: Float32s) -> Written:
        """Store a block `(z, y, x)`; report clipped voxels, checksum and statistics of what was stored.

        When this returns the block is on the disk. Raises OutputError and CryolitheError (NaN or infinite voxels).
        """
        stored, clipped = encode(block, self.dtype, self.scaling)
        return self.write_stored(box, stored, n_clipped=clipped)

    def write_stored(self, box: Box, stored: Stored, *, n_clipped: int = 0) -> Written:
        """The same for numbers that are already as they shall be stored."""
        if stored.shape != box.shape or any(b > n for b, n in zip(box.stop, self.shape_zyx, strict=True)):
            raise ValueError(f"block of shape {stored.shape} does not fill the box {box} in {self.shape_zyx}")
        stored = np.ascontiguousarray(stored, np.dtype(self.dtype).newbyteorder("<"))
        with output_faults(self.path), self.path.open("r+b", buffering=0) as file:
            for offset, run in self._runs(box, stored):
                _write_all(file.fileno(), run, offset)
            os.fsync(file.fileno())
        return Written(n_clipped, checksum_text(crc32(stored)), Statistics.of(stored))

    def finish(self, final_path: PathLike, statistics: Statistics, *, overwrite: bool = False) -> None:
        """Put the statistics of all boxes into the header and rename the file.

        Raises OutputError when `final_path` exists, unless `overwrite` and it is ours; ValueError when the
        statistics are not of all voxels.
        """
        final_path = Path(final_path)
        if statistics.count != math.prod(self.shape_zyx):
            raise ValueError(f"{statistics.count} voxels were written, the volume {self.shape_zyx} has another number")
        require_replaceable(final_path, overwrite=overwrite)
        with output_faults(final_path):
            with mrcfile.mmap(self.path, mode="r+") as file:
                header = file.header
                header.dmin, header.dmax = statistics.minimum, statistics.maximum
                header.dmean, header.rms = statistics.mean, statistics.deviation
            sync(self.path)
            self.path.replace(final_path)
            sync(final_path.parent)

    @property
    def _n_bytes(self) -> int:
        return math.prod(self.shape_zyx) * np.dtype(self.dtype).itemsize

    def _labels(self, labels: Sequence[str]) -> list[str]:
        scale, offset = self.scaling
        scaled = [f"value = stored * {scale!r} + {offset!r}"] if self.dtype == "int16" else []
        # The signature comes last: other programs append, so a file that they made of ours is not taken for ours.
        return [*scaled, *labels, f"{MRC_SIGNATURE} tomogram"]

    def _reserve(self) -> None:
        if hasattr(os, "posix_fallocate"):
            with self.path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, _HEADER_BYTES + self._n_bytes)

    def _runs(self, box: Box, stored: Stored) -> Iterable[tuple[int, Any]]:
        """File offset and data of every run of voxels that lie together in the file."""
        (z0, y0, x0), (_, ny, nx) = box.start, self.shape_zyx
        whole_rows = box.shape[2] == nx
        for z, plane in enumerate(stored, start=z0):
            for y, run in [(y0, plane)] if whole_rows else list(enumerate(plane, start=y0)):
                yield _HEADER_BYTES + ((z * ny + y) * nx + x0) * stored.itemsize, run


def _set_labels(header: Any, labels: Sequence[str]) -> None:
    if len(labels) > _MAX_LABELS:
        raise ValueError(f"{len(labels)} labels do not fit: an MRC header has {_MAX_LABELS}")
    header.label[:] = b""
    for i, label in enumerate(labels):
        header.label[i] = label.encode("ascii", "replace")[:_LABEL_CHARACTERS]
    header.nlabl = len(labels)


def _write_all(descriptor: int, data: Any, offset: int) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written
