"""Aligned frames on disk between the two passes, gone when the process is, killed or not."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import DamagedStoreError
from cryolithe_stream.geometry import Float32s, Shape2
from cryolithe_stream.store.faults import output_faults


@dataclass(frozen=True, slots=True, eq=False)
class FrameScratch:
    """Float32 frames of one shape in an unnamed file; written one after another, read by bands of rows."""

    shape_yx: Shape2
    _folder: Path
    _file: BufferedRandom

    @classmethod
    def inside(cls, folder: Path, shape_yx: Shape2) -> FrameScratch:
        """An empty one on the file system of `folder`. Raises OutputError."""
        with output_faults(folder):
            file = tempfile.TemporaryFile(dir=folder, prefix="aligned-")  # noqa: SIM115  (closed by `close`)
        return cls(shape_yx, folder, file)

    def append(self, frame: Float32s) -> None:
        """Write the next frame. Raises OutputError, as when the disk is full."""
        with output_faults(self._folder):
            self._file.write(np.ascontiguousarray(frame, dtype=np.float32).data)
            self._file.flush()

    def rows(self, index: int, first: int, last: int) -> Float32s:
        """Rows first … last − 1 of frame `index`."""
        height, width = self.shape_yx
        band = np.empty((last - first, width), dtype=np.float32)
        self._file.seek(4 * width * (index * height + first))
        if self._file.readinto(band.data.cast("B")) != band.nbytes:
            raise DamagedStoreError(f"the aligned frames in {self._folder} were cut short", fix="Run it again")
        return band

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
