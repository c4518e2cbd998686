"""How a tomogram lies in its arrays: levels, chunks, shards, and the boxes that they cover."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any, Literal

from cryolithe_stream.geometry import Box, Shape3
from cryolithe_stream.store.values import DtypeName, Scaling, checked_scaling

OmeVersion = Literal["0.4", "0.5"]
SMALLEST_LEVEL = 64


@dataclass(frozen=True, slots=True)
class TomogramLayout:
    """What is fixed when a tomogram is created.

    `scaling` is (scale, offset) with value = stored·scale + offset. `origin_zyx_px` is where the first voxel lies in
    the full volume, in voxels of level 0. Version 0.4 has no shards: there every chunk is its own shard.
    """

    shape_zyx: Shape3
    voxel_angstrom: float
    dtype: DtypeName
    chunk_zyx: Shape3
    shard_zyx: Shape3
    version: OmeVersion
    scaling: Scaling
    origin_zyx_px: Shape3 = (0, 0, 0)

    def __post_init__(self) -> None:
        checked_scaling(self.dtype, self.scaling)
        if self.version not in ("0.4", "0.5"):
            raise ValueError(f"OME-Zarr version {self.version!r} is not 0.4 or 0.5")
        if min(self.shape_zyx) < 1 or min(self.chunk_zyx) < 1 or not self.voxel_angstrom > 0:
            raise ValueError(f"shape, chunks and voxel size must be positive: {self}")
        if self.version == "0.4" and self.shard_zyx != self.chunk_zyx:
            raise ValueError(f"OME-Zarr 0.4 has no shards: shard {self.shard_zyx} must be the chunk {self.chunk_zyx}")
        if any(s % c for s, c in zip(self.shard_zyx, self.chunk_zyx, strict=True)):
            raise ValueError(f"shard {self.shard_zyx} is not a multiple of the chunk {self.chunk_zyx}")

    @property
    def level_shapes(self) -> list[Shape3]:
        """Shape of every level, largest first."""
        return level_shapes(self.shape_zyx)

    def shard_counts(self, level: int) -> Shape3:
        """How many shards a level has along (z, y, x)."""
        z, y, x = (math.ceil(n / s) for n, s in zip(self.level_shapes[level], self.shard_zyx, strict=True))
        return (z, y, x)

    def shard_indices(self, level: int) -> list[Shape3]:
        """Index of every shard of a level, in C order."""
        nz, ny, nx = self.shard_counts(level)
        return list(product(range(nz), range(ny), range(nx)))

    def shard_box(self, level: int, index: Shape3) -> Box:
        """The voxels of a level that a shard covers, clipped to the level."""
        shape = self.level_shapes[level]
        start, stop = [], []
        for i, s, n in zip(index, self.shard_zyx, shape, strict=True):
            if not 0 <= i * s < n:
                raise ValueError(f"shard {index} is outside level {level} of shape {shape}")
            start.append(i * s)
            stop.append(min((i + 1) * s, n))
        return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    def scale_angstrom(self, level: int) -> list[float]:
        """Voxel size of a level along (z, y, x)."""
        return [self.voxel_angstrom * 2**level] * 3

    def translation_angstrom(self, level: int) -> list[float]:
        """Where the centre of a level's first voxel lies, from the centre of the full volume's first voxel."""
        return [self.voxel_angstrom * (origin + (2**level - 1) / 2) for origin in self.origin_zyx_px]

    def to_json(self) -> dict[str, Any]:
        """The layout as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> TomogramLayout:
        """The layout that `to_json` wrote (lists become tuples)."""
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        return cls(**fields)


def level_shapes(shape_zyx: Shape3) -> list[Shape3]:
    """Shapes of a pyramid: ⌈n/2⌉ again and again until no side is above 64; level 0 is `shape_zyx`."""
    shapes = [shape_zyx]
    while max(shapes[-1]) > SMALLEST_LEVEL:
        z, y, x = (math.ceil(n / 2) for n in shapes[-1])
        shapes.append((z, y, x))
    return shapes


def split(box: Box, step_zyx: Shape3) -> Iterator[Box]:
    """The box cut into pieces of `step_zyx` from its start, in C order; the last along an axis may be smaller."""
    ranges = (range(a, b, s) for a, b, s in zip(box.start, box.stop, step_zyx, strict=True))
    for z, y, x in product(*ranges):
        stop = [min(i + s, n) for i, s, n in zip((z, y, x), step_zyx, box.stop, strict=True)]
        yield Box((z, y, x), (stop[0], stop[1], stop[2]))
