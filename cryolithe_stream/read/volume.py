"""A volume in an MRC file, read box by box."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from cryolithe_stream.errors import InputError, MissingFileError, UnsupportedError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.read.header import MrcHeader, read_header
from cryolithe_stream.read.text import PathLike

_SCALING = re.compile(r"value = stored \* (\S+) \+ (\S+)")  # a label that `store.mrc` writes
_STACKS_OF_VOLUMES = range(401, 631)
_TILT_SERIES = "cryolithe-stream tilt series"  # the label that `store.mrc_stack` writes


@dataclass(frozen=True, slots=True)
class MrcMap:
    """A volume `(z, y, x)` in an MRC file, memory-mapped for each box; it holds no file open.

    `voxel_angstrom` is None where the header gives none. `scaling` is (scale, offset) of integers that this program
    scaled, else (1, 0).
    """

    header: MrcHeader
    voxel_angstrom: float | None
    scaling: tuple[float, float]

    @property
    def name(self) -> str:
        """What errors call it."""
        return str(self.header.path)

    @property
    def shape_zyx(self) -> Shape3:
        """Voxels along (z, y, x)."""
        return self.header.shape

    @property
    def chunk_zyx(self) -> Shape3:
        """What is best read together: a plane."""
        return (1, *self.header.shape[1:])

    def read_box(self, box: Box) -> Float32s:
        """The values in a box, float32 `(z, y, x)`; only its pages are read."""
        header = self.header
        try:
            stored = np.memmap(header.path, header.dtype, "r", header.data_offset, header.stored)
            values = np.array(stored.transpose(header.axes)[box.slices], dtype=np.float32, order="C")
        except (OSError, ValueError) as error:
            raise MissingFileError(
                f"volume {header.path} can no longer be read: {error}", fix="Check the file and its disk"
            ) from error
        if self.scaling != (1.0, 0.0):
            values *= np.float32(self.scaling[0])
            values += np.float32(self.scaling[1])
        return values


def open_mrc_map(path: PathLike, *, voxel_angstrom: float | None = None) -> MrcMap:
    """The volume in an MRC file of any mode, byte order and axis order that `read_header` knows.

    `voxel_angstrom` is used instead of the header's. Raises what `read_header` does, UnsupportedError for a stack of
    volumes and InputError for tilt series that this program wrote and for voxels that are no cubes.
    """
    header = read_header(path)
    if header.ispg in _STACKS_OF_VOLUMES:
        raise UnsupportedError(
            f"{path} is a stack of volumes (space group {header.ispg})", fix="Store each volume in a file of its own"
        )
    if _TILT_SERIES in header.labels:
        raise InputError(f"{path} is a tilt series, not a volume", fix="Reconstruct it and name the tomogram")
    return MrcMap(header, _voxel(header) if voxel_angstrom is None else voxel_angstrom, _scaling(header))


def _scaling(header: MrcHeader) -> tuple[float, float]:
    for label in header.labels:
        if match := _SCALING.search(label):
            try:
                scale, offset = float(match[1]), float(match[2])
            except ValueError:
                continue
            if math.isfinite(scale) and math.isfinite(offset):
                return scale, offset
    return 1.0, 0.0


def _voxel(header: MrcHeader) -> float | None:
    sides = header.pixel_xyz_angstrom
    if min(sides) <= 0:
        return None
    if max(sides) > 1.01 * min(sides):
        x, y, z = sides
        raise InputError(
            f"{header.path} has voxels of {z:.4g} x {y:.4g} x {x:.4g} angstrom (z, y, x), which are no cubes",
            fix="Resample it, or give --voxel-size if its header is wrong",
        )
    return sides[0]
