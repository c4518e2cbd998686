"""Volumes that are compared: files of either kind, arrays, and boxes of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cryolithe_stream.errors import InputError, MissingFileError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.read import open_mrc_map
from cryolithe_stream.store import PlaceLike, RemotePath, open_ome_zarr, place_of

PIECE_VOXELS = 1 << 21


class Volume(Protocol):
    """A volume `(z, y, x)` that is read box by box."""

    @property
    def name(self) -> str:
        """What errors call it."""

    @property
    def shape_zyx(self) -> Shape3:
        """Voxels along (z, y, x)."""

    @property
    def voxel_angstrom(self) -> float | None:
        """The side of a voxel in Å, None where nobody knows."""

    @property
    def chunk_zyx(self) -> Shape3:
        """The voxels that are best read together."""

    def read_box(self, box: Box) -> Float32s:
        """The values in a box, float32 `(z, y, x)`."""


VolumeLike = Volume | NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayVolume:
    """A volume in memory."""

    values: NDArray[Any]
    name: str = "the volume"
    voxel_angstrom: float | None = None

    @property
    def shape_zyx(self) -> Shape3:
        """Voxels along (z, y, x)."""
        nz, ny, nx = self.values.shape
        return (nz, ny, nx)

    @property
    def chunk_zyx(self) -> Shape3:
        """A plane."""
        return (1, *self.shape_zyx[1:])

    def read_box(self, box: Box) -> Float32s:
        """The values in a box, float32 `(z, y, x)`."""
        return np.asarray(self.values[box.slices], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A box of a volume, as a volume."""

    source: Volume
    box: Box

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def shape_zyx(self) -> Shape3:
        """Voxels along (z, y, x)."""
        return self.box.shape

    @property
    def voxel_angstrom(self) -> float | None:
        """The source's voxel size."""
        return self.source.voxel_angstrom

    @property
    def chunk_zyx(self) -> Shape3:
        """The source's chunk."""
        return self.source.chunk_zyx

    def read_box(self, box: Box) -> Float32s:
        """The values in a box of this box, float32 `(z, y, x)`."""
        return self.source.read_box(box.shifted(self.box.start))


def open_volume(path: PlaceLike, *, level: int = 0, voxel_angstrom: float | None = None) -> Volume:
    """The volume at `path`: a level of an OME-Zarr image (a folder or an address), or an MRC file.

    `voxel_angstrom` is used instead of what the file says. Raises InputError for a level of an MRC file, and what
    `open_ome_zarr` and `open_mrc_map` raise.
    """
    path = place_of(path)
    if isinstance(path, RemotePath):
        return open_ome_zarr(path, level=level, voxel_angstrom=voxel_angstrom)
    if not path.exists():
        raise MissingFileError(f"volume {path} does not exist", fix="Check the path")
    if path.is_dir():
        return open_ome_zarr(path, level=level, voxel_angstrom=voxel_angstrom)
    if level:
        raise InputError(f"{path} has no level {level}: it is no OME-Zarr", fix="Leave out --level, or name OME-Zarr")
    return open_mrc_map(path, voxel_angstrom=voxel_angstrom)


def as_volume(values: VolumeLike, name: str) -> Volume:
    """A volume of what a caller gave: itself, or an array `(z, y, x)`; InputError for other or empty arrays."""
    if not isinstance(values, np.ndarray):
        return values
    if values.ndim != 3 or not values.size or values.dtype.kind not in "fiub":
        raise InputError(f"{name} is an array {values.shape} of {values.dtype}", fix="Give numbers (z, y, x)")
    return ArrayVolume(values, name)


def common_voxel(a: Volume, b: Volume) -> float | None:
    """The voxel size that two volumes share, in Å; None when neither tells.

    Raises InputError when their shapes differ, or their voxel sizes by more than 1 %.
    """
    require_same_shape(a, b)
    sizes = [v.voxel_angstrom for v in (a, b) if v.voxel_angstrom is not None]
    if len(sizes) == 2 and abs(sizes[0] - sizes[1]) > 0.01 * max(sizes):
        raise InputError(
            f"{a.name} has voxels of {sizes[0]:.4g} angstrom, {b.name} of {sizes[1]:.4g}",
            fix="Compare volumes of one grid, or give --voxel-size if a header is wrong",
        )
    return sizes[0] if sizes else None


def require_same_shape(a: Volume, b: Volume) -> None:
    """Raise InputError when two volumes differ in shape."""
    if a.shape_zyx != b.shape_zyx:
        first, second = (" x ".join(map(str, v.shape_zyx)) for v in (a, b))
        raise InputError(
            f"{a.name} has {first} voxels (z, y, x), {b.name} has {second}",
            fix="Compare volumes of one grid: another --level, the same --thickness, --bin and --roi, or resample one",
        )


def pieces(box: Box, chunk_zyx: Shape3, *, most_voxels: int = PIECE_VOXELS) -> Iterator[Box]:
    """The box in pieces that end where chunks end: whole rows, of about `most_voxels` or of one row of chunks."""
    (z0, y0, x0), (z1, y1, x1) = box.start, box.stop
    depth = chunk_zyx[0] * max(1, most_voxels // max(1, chunk_zyx[0] * box.shape[1] * box.shape[2]))
    high = chunk_zyx[1] * max(1, most_voxels // max(1, min(depth, z1 - z0) * chunk_zyx[1] * box.shape[2]))
    for a, b in _cuts(z0, z1, depth):
        for c, d in _cuts(y0, y1, high):
            yield Box((a, c, x0), (b, d, x1))


def read_finite(volume: Volume, box: Box) -> Float32s:
    """The values in a box; InputError when some are NaN or infinite."""
    values = volume.read_box(box)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(
            f"{volume.name} has {bad} NaN or infinite voxels in {box}",
            fix="Reconstruct it again, or leave the place out with --roi",
        )
    return values


def _cuts(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    while start < stop:
        end = min(stop, (start // step + 1) * step)
        yield start, end
        start = end
