"""Half-open boxes of voxels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry.types import Shape3

_RANGE = re.compile(r"\s*(\d*)\s*:\s*(\d*)\s*")


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A half-open box of voxels: `start[i] <= index < stop[i]`, order (z, y, x)."""

    start: Shape3
    stop: Shape3

    @classmethod
    def whole(cls, shape: Shape3) -> Box:
        """The box that is a whole volume of `shape`."""
        return cls((0, 0, 0), shape)

    @classmethod
    def parse(cls, text: str, volume: Shape3) -> Box:
        """The box that `z0:z1,y0:y1,x0:x1` names in a volume; an omitted end is the volume's.

        Raises InputError when the text is no such box, is empty, or leaves the volume.
        """
        parts = [_RANGE.fullmatch(part) for part in text.split(",")]
        if len(parts) != 3 or not all(parts):
            raise InputError(f"region {text!r} is not z0:z1,y0:y1,x0:x1", fix="Give three half-open voxel ranges")
        start = tuple(int(m[1]) if m and m[1] else 0 for m in parts)
        stop = tuple(int(m[2]) if m and m[2] else n for m, n in zip(parts, volume, strict=True))
        for axis, lo, hi, n in zip("zyx", start, stop, volume, strict=True):
            if not 0 <= lo < hi <= n:
                raise InputError(
                    f"region {text!r} asks for {axis} {lo}:{hi}, the volume has {axis} 0:{n}",
                    fix="Keep each range inside the volume and not empty",
                )
        return cls((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    @property
    def shape(self) -> Shape3:
        """Voxels along (z, y, x)."""
        (z0, y0, x0), (z1, y1, x1) = self.start, self.stop
        return (z1 - z0, y1 - y0, x1 - x0)

    @property
    def n_voxels(self) -> int:
        """Voxels in the box."""
        nz, ny, nx = self.shape
        return nz * ny * nx

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in an array `(z, y, x)`."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return (z, y, x)

    def shifted(self, offset: Shape3) -> Box:
        """This box moved by `offset` voxels along (z, y, x)."""
        a, b = (tuple(i + o for i, o in zip(end, offset, strict=True)) for end in (self.start, self.stop))
        return Box((a[0], a[1], a[2]), (b[0], b[1], b[2]))

    def __str__(self) -> str:
        return ",".join(f"{a}:{b}" for a, b in zip(self.start, self.stop, strict=True))
