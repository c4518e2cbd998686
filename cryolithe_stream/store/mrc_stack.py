"""MRC stacks of images, written image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mrcfile
import numpy as np

from cryolithe_stream.geometry import Float32s, Shape3
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.mrc import _HEADER_BYTES, MrcVolume, _set_labels, _write_all
from cryolithe_stream.store.ownership import MRC_SIGNATURE
from cryolithe_stream.store.tomogram import PathLike
from cryolithe_stream.store.values import Statistics, encode


@dataclass(slots=True)
class MrcStack:
    """A float32 stack `(tilt, y, x)` that is being written to an unfinished name; it is renamed when complete."""

    _file: MrcVolume
    _statistics: Statistics = field(default_factory=Statistics)

    @classmethod
    def create(
        cls, path: PathLike, *, shape_tyx: Shape3, pixel_angstrom: float, labels: Sequence[str] = ()
    ) -> MrcStack:
        """A new file of the full size with its header and no data: mode 2, ispg 0, no extended header.

        A file of that name is replaced. Raises OutputError.
        """
        volume = MrcVolume.create(path, shape_zyx=shape_tyx, voxel_angstrom=pixel_angstrom, dtype="float32")
        with output_faults(volume.path), mrcfile.mmap(volume.path, mode="r+") as file:
            file.set_image_stack()
            file.voxel_size = pixel_angstrom
            _set_labels(file.header, [*labels, f"{MRC_SIGNATURE} tilt series"])
        return cls(volume)

    def write_image(self, index: int, image: Float32s) -> None:
        """Store one image `(y, x)`; it is on the disk after `finish`. Raises OutputError and CryolitheError (NaN)."""
        n_tilts, rows, width = self._file.shape_zyx
        if not 0 <= index < n_tilts or image.shape != (rows, width):
            raise ValueError(f"image {index} of shape {image.shape} for a stack of {self._file.shape_zyx}")
        stored, _ = encode(np.ascontiguousarray(image), "float32")
        with output_faults(self._file.path), self._file.path.open("r+b", buffering=0) as file:
            _write_all(file.fileno(), stored, _HEADER_BYTES + index * stored.nbytes)
        self._statistics = self._statistics.merge(Statistics.of(stored))

    def finish(self, final_path: PathLike, *, overwrite: bool = False) -> Statistics:
        """Put the statistics into the header and rename the file, when every image was written once.

        Raises OutputError when `final_path` exists, unless `overwrite` and it is ours.
        """
        self._file.finish(Path(final_path), self._statistics, overwrite=overwrite)
        return self._statistics
