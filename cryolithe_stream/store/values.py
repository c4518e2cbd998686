"""Voxels as they are stored: float32, float16 or scaled int16, and what a write reports of them."""

from __future__ import annotations

import math
import zlib
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cryolithe_stream.errors import CryolitheError

DtypeName = Literal["float32", "float16", "int16"]
Scaling = tuple[float, float]
Stored = NDArray[Any]

UNSCALED: Scaling = (1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Count, extremes, mean and summed squared deviation `m2` of voxels as stored; `merge` joins two sets."""

    count: int = 0
    minimum: float = math.inf
    maximum: float = -math.inf
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, array: Stored) -> Statistics:
        """Statistics of an array `(z, y, x)`, in float64, one z plane at a time."""
        total = cls()
        for plane in array:
            values = plane.astype(np.float64).ravel()
            low, high, mean = float(values.min()), float(values.max()), float(values.mean())
            values -= mean
            total = total.merge(cls(values.size, low, high, mean, float(values @ values)))
        return total

    @property
    def deviation(self) -> float:
        """Population standard deviation: what an MRC header calls rms."""
        return math.sqrt(self.m2 / self.count) if self.count else 0.0

    def merge(self, other: Statistics) -> Statistics:
        """Statistics of both sets together (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        if not count:
            return self
        step = other.mean - self.mean
        return Statistics(
            count,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.mean + step * other.count / count,
            self.m2 + other.m2 + step * step * self.count * other.count / count,
        )


@dataclass(frozen=True, slots=True)
class Written:
    """What a write reports: voxels clipped to the data type, a checksum and statistics of what was stored."""

    n_clipped: int
    checksum: str
    statistics: Statistics

    def to_json(self) -> dict[str, Any]:
        """The report as JSON, for a ledger's mark."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: dict[str, Any]) -> Written:
        """The report that `to_json` wrote; other keys of the payload are ignored."""
        return cls(payload["n_clipped"], payload["checksum"], Statistics(**payload["statistics"]))


def crc32(stored: Stored, start: int = 0) -> int:
    """CRC-32 of an array's bytes in C order, carried on from `start`."""
    return zlib.crc32(np.ascontiguousarray(stored).data, start)


def checksum_text(crc: int) -> str:
    """A CRC-32 as it stands in a ledger."""
    return f"crc32:{crc:08x}"


def checked_scaling(dtype: str, scaling: Scaling | None) -> Scaling:
    """The scaling that `value = stored·scale + offset` uses: only int16 has one other than (1, 0).

    Raises ValueError for a data type that is not one of ours, a scale of 0, or a scaled float.
    """
    if dtype not in get_args(DtypeName):
        raise ValueError(f"data type {dtype!r} is not one of {', '.join(get_args(DtypeName))}")
    if scaling is None:
        return UNSCALED
    scale, offset = float(scaling[0]), float(scaling[1])
    if not (math.isfinite(scale) and math.isfinite(offset) and scale > 0):
        raise ValueError(f"scaling {scaling} needs a finite scale above 0 and a finite offset")
    if dtype != "int16" and (scale, offset) != UNSCALED:
        raise ValueError(f"scaling {scaling} is for int16 only, not for {dtype}")
    return (scale, offset)


def encode(block: NDArray[Any], dtype: DtypeName, scaling: Scaling = UNSCALED) -> tuple[Stored, int]:
    """The block `(z, y, x)` as stored (little endian, C order), and how many voxels had to be clipped.

    Raises CryolitheError when a value is NaN or infinite, whatever the data type.
    """
    stored = np.empty(block.shape, np.dtype(dtype).newbyteorder("<"))
    return stored, sum(_encode_plane(plane, out, scaling) for plane, out in zip(block, stored, strict=True))


def decode(stored: Stored, scaling: Scaling) -> NDArray[np.float32]:
    """The voxels that are stored, as float32 values."""
    values = stored.astype(np.float32)
    if scaling != UNSCALED:
        values *= np.float32(scaling[0])
        values += np.float32(scaling[1])
    return values


def _encode_plane(plane: NDArray[Any], out: Stored, scaling: Scaling) -> int:
    if not np.isfinite(plane).all():
        bad = int((~np.isfinite(plane)).sum())
        raise CryolitheError(
            f"{bad} of {plane.size} voxels of a section are NaN or infinite", fix="Try --precision float32"
        )
    if out.dtype == np.float32:
        out[...] = plane
        return 0
    if out.dtype == np.int16:
        plane = np.rint((plane.astype(np.float64) - scaling[1]) / scaling[0])
        low, high = (float(limit) for limit in (np.iinfo(np.int16).min, np.iinfo(np.int16).max))
    else:
        high = float(np.finfo(np.float16).max)
        low = -high
    out[...] = np.clip(plane, low, high)
    return int(np.count_nonzero((plane < low) | (plane > high)))
