"""Any OME-Zarr image as a volume that is read box by box: ours, and those of other programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import zarr

from cryolithe_stream.errors import FormatError, InputError, MissingFileError, UnsupportedError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.store.place import Place, PlaceLike, place_of
from cryolithe_stream.store.remote_store import zarr_store
from cryolithe_stream.store.tomogram import ATTRIBUTE_KEY, AXES
from cryolithe_stream.store.values import Scaling, decode

_ANGSTROM = {"angstrom": 1.0, "nanometer": 10.0, "micrometer": 1e4, "picometer": 0.01}
_LONGEST_SIDE = 1 << 16
_NO_SENSE = (OSError, ValueError, LookupError, TypeError, RecursionError)  # what Zarr raises for odd metadata
_NO_IMAGE = "Name the folder of an OME-Zarr 0.4 or 0.5 image, the one that holds its levels"


@dataclass(frozen=True, slots=True, eq=False)
class OmeZarrVolume:
    """One level of an OME-Zarr image `(z, y, x)`, read on demand.

    `voxel_angstrom` is None where the image gives no length. `tilts_deg` are the tilt angles of the series that it was
    reconstructed from, where this program wrote it, else empty. `chunk_zyx` is what a read fetches at least.
    """

    path: Place
    level: int
    shape_zyx: Shape3
    voxel_angstrom: float | None
    chunk_zyx: Shape3
    tilts_deg: tuple[float, ...]
    array: zarr.Array[Any]
    axes_zyx: Shape3
    scaling: Scaling

    @property
    def name(self) -> str:
        """What errors call it."""
        return str(self.path)

    def read_box(self, box: Box) -> Float32s:
        """The values in a box, float32 `(z, y, x)`. Raises FormatError when a chunk is damaged."""
        index: list[Any] = [0] * self.array.ndim
        for axis, part in zip(self.axes_zyx, box.slices, strict=True):
            index[axis] = part
        try:
            stored = np.asarray(self.array[tuple(index)])
        except (OSError, ValueError, RuntimeError) as error:
            raise FormatError(f"{self.path}: the voxels {box} cannot be read: {error}", fix="Copy it again") from error
        return decode(stored.transpose(np.argsort(np.argsort(self.axes_zyx))), self.scaling)


def open_ome_zarr(path: PlaceLike, *, level: int = 0, voxel_angstrom: float | None = None) -> OmeZarrVolume:
    """A level of the OME-Zarr image (0.4 or 0.5) at `path`, a folder or an address.

    Axes other than z, y and x have one entry. `voxel_angstrom` is used instead of the image's own scale. Integers that
    this program scaled are scaled back.
    Raises MissingFileError, FormatError when it is no such image, UnsupportedError for several channels or times,
    InputError for a level that it lacks and for voxels that are no cubes, RemoteError.
    Source: NGFF 0.4 and 0.5, `multiscales` metadata (https://ngff.openmicroscopy.org).
    """
    path = place_of(path)
    if not path.exists():
        raise MissingFileError(f"volume {path} does not exist", fix="Check the path")
    attributes, image = _image(path)
    names = _axis_names(path, image)
    datasets: Sequence[Any] = image["datasets"] if isinstance(image.get("datasets"), list) else []
    if not 0 <= level < len(datasets):
        raise InputError(f"{path} has no level {level}", fix=f"Choose one of the levels 0 to {len(datasets) - 1}")
    array, entries = _open_array(path, datasets[level])
    if array.ndim != len(names) or array.dtype.kind not in "fiub":
        raise FormatError(f"{path}, level {level}: {array.ndim} axes of {array.dtype}, not numbers along {names}")
    z, y, x = (names.index(axis) for axis in AXES)
    if any(n != 1 for i, n in enumerate(array.shape) if i not in (z, y, x)):
        raise UnsupportedError(f"{path} has shape {array.shape} along {','.join(names)}", fix="Store one volume alone")
    shape: Shape3 = (array.shape[z], array.shape[y], array.shape[x])
    if min(shape) < 1:
        raise FormatError(f"{path}, level {level} is empty: its shape is {shape}", fix="Name a volume with voxels")
    if max(shape) > _LONGEST_SIDE or min(array.chunks) < 1:
        raise FormatError(
            f"{path}, level {level} says that it has shape {shape} in chunks of {array.chunks}, no volume has",
            fix=f"Name a volume of at most {_LONGEST_SIDE} voxels along each axis",
        )
    scale = voxel_angstrom if voxel_angstrom is not None else _voxel(path, image, datasets[level], (z, y, x))
    chunks = array.chunks
    return OmeZarrVolume(
        path=path,
        level=level,
        shape_zyx=shape,
        voxel_angstrom=scale,
        chunk_zyx=(chunks[z], chunks[y], chunks[x]),
        tilts_deg=_tilts(attributes),
        array=array,
        axes_zyx=(z, y, x),
        scaling=(_number(path, entries.get("scale_factor", 1.0)), _number(path, entries.get("add_offset", 0.0))),
    )


def _image(path: Place) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of the group, and its first multiscale image."""
    try:
        attributes: dict[str, Any] = dict(zarr.open_group(zarr_store(path), mode="r").attrs)
    except _NO_SENSE as error:
        raise FormatError(f"{path} is no OME-Zarr image: it is no Zarr group", fix=_NO_IMAGE) from error
    ome = attributes.get("ome", attributes)
    images = ome.get("multiscales") if isinstance(ome, Mapping) else None
    if not (isinstance(images, list) and images and isinstance(images[0], Mapping)):
        ours = attributes.get(ATTRIBUTE_KEY)
        if isinstance(ours, Mapping) and "layout" in ours:
            raise FormatError(f"{path} is unfinished", fix="Finish it with the command that started it")
        raise FormatError(f"{path} is no OME-Zarr image: it has no multiscales metadata", fix=_NO_IMAGE)
    return attributes, dict(images[0])


def _axis_names(path: Place, image: Mapping[str, Any]) -> list[str]:
    axes = image.get("axes")
    if not isinstance(axes, list):
        raise FormatError(f"{path} does not name its axes (OME-Zarr 0.3 or older)", fix="Convert it to version 0.4")
    names = [str(axis.get("name", "")) if isinstance(axis, Mapping) else str(axis) for axis in axes]
    if any(names.count(axis) != 1 for axis in AXES):
        raise FormatError(f"{path} has the axes {', '.join(names)}, not z, y and x", fix="Name a volume")
    return names


def _open_array(path: Place, dataset: Any) -> tuple[zarr.Array[Any], dict[str, Any]]:
    """A level's array and its attributes; its path is the image's word, so it must stay in the image's folder."""
    place = PurePosixPath(str(dataset.get("path", "") if isinstance(dataset, Mapping) else ""))
    if not place.parts or place.is_absolute() or ".." in place.parts:
        raise FormatError(f"{path} names the level {str(place)!r}, which is no place inside it", fix=_NO_IMAGE)
    try:
        array = zarr.open_array(zarr_store(path.joinpath(*place.parts)), mode="r")
        return array, dict(array.attrs)
    except _NO_SENSE as error:
        raise FormatError(f"{path} lacks the array of its level {place}", fix="Copy it again") from error


def _voxel(path: Place, image: Mapping[str, Any], dataset: Mapping[str, Any], axes_zyx: Shape3) -> float | None:
    """Side of a voxel in Å: the product of the level's scale and the image's; None where lengths have no unit."""
    axes = [image["axes"][i] for i in axes_zyx]
    units = [str(axis.get("unit")) if isinstance(axis, Mapping) else "" for axis in axes]
    if any(unit not in _ANGSTROM for unit in units):
        return None
    sides = [_ANGSTROM[unit] for unit in units]
    for owner in (dataset, image):
        transforms = owner.get("coordinateTransformations")
        for entry in transforms if isinstance(transforms, list) else []:
            scale = entry.get("scale") if isinstance(entry, Mapping) and entry.get("type") == "scale" else None
            if isinstance(scale, list) and len(scale) == len(image["axes"]):
                sides = [side * _number(path, scale[i]) for side, i in zip(sides, axes_zyx, strict=True)]
    if not all(0 < side < 1e9 for side in sides):
        return None
    if max(sides) > 1.01 * min(sides):
        z, y, x = sides
        raise InputError(
            f"{path} has voxels of {z:.4g} x {y:.4g} x {x:.4g} angstrom (z, y, x), which are no cubes",
            fix="Resample it, or give --voxel-size if its metadata are wrong",
        )
    return sides[0]


def _number(path: Place, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FormatError(f"{path} has {str(value)[:40]!r} where its metadata need a number", fix=_NO_IMAGE)
    return number


def _tilts(attributes: Mapping[str, Any]) -> tuple[float, ...]:
    """Tilt angles in the provenance that a run of this program wrote; empty for anything else."""
    found: Any = attributes
    for key in (ATTRIBUTE_KEY, "run", "voxels", "tilts_deg"):
        found = found.get(key) if isinstance(found, Mapping) else None
    numbers = isinstance(found, list) and all(isinstance(t, int | float) and abs(t) <= 90 for t in found)
    return tuple(float(t) for t in found) if numbers else ()
