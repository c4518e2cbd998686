"""Back-projection as one sparse operator that all channels and all rows of a block share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cryolithe_stream.geometry import Floats, Ints, SampleGrid


@dataclass(frozen=True, slots=True, eq=False)
class Backprojector:
    """Linear interpolation along each sinusoid of an (z, x) plane, and the weighted mean over tilts.

    The table it reads holds feature vectors at `n_positions` columns per tilt, `oversample` per pixel: row
    `t·n_positions + m` belongs to detector column `first_pixel[t] + m/oversample`. `index` and `weight` are
    `(point, 2·tilts)`, points in (z, x) order.
    """

    index: Tensor
    weight: Tensor

    @classmethod
    def build(
        cls,
        grid: SampleGrid,
        tilts_deg: Floats,
        tilts: Sequence[int],
        *,
        first_pixel: Ints,
        n_positions: int,
        oversample: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Backprojector:
        """The operator of a grid's (z, x) plane for the mean over `tilts` (indices into all tilts)."""
        nz, _, nx = grid.shape
        index = np.empty((nz * nx, 2 * len(tilts)), dtype=np.int32)
        weight = np.empty((nz * nx, 2 * len(tilts)), dtype=np.float32)
        for i, t in enumerate(tilts):
            position = (grid.columns(tilts_deg[t : t + 1])[0].ravel() - first_pixel[t]) * oversample
            lower = np.floor(position)
            fraction = position - lower
            if lower.min() < 0 or lower.max() + 1 >= n_positions:
                raise AssertionError(f"tilt {t} asks for positions outside its strip of {n_positions}")
            index[:, 2 * i] = t * n_positions + lower.astype(np.int32)
            index[:, 2 * i + 1] = index[:, 2 * i] + 1
            weight[:, 2 * i] = (1.0 - fraction) / len(tilts)
            weight[:, 2 * i + 1] = fraction / len(tilts)
        return cls(torch.from_numpy(index).to(device), torch.from_numpy(weight).to(device).to(dtype))

    @property
    def n_points(self) -> int:
        """Points of the plane."""
        return len(self.index)

    def __call__(self, table: Tensor, points: slice = slice(None)) -> Tensor:
        """Back-projected features `(point, channel)` from a table `(tilt · n_positions, channel)`."""
        return functional.embedding_bag(
            self.index[points], table, mode="sum", per_sample_weights=self.weight[points].to(table.dtype)
        )


def operator_bytes(n_points: int, n_tilts: int, itemsize: int) -> int:
    """Bytes of the Backprojectors of all tilts of a plane."""
    return n_points * 2 * n_tilts * (4 + itemsize)


def building_bytes(n_points: int, n_tilts: int, itemsize: int) -> int:
    """Upper bound of the bytes held while a plane's Backprojectors are built, they themselves included."""
    return operator_bytes(n_points, n_tilts, itemsize) + n_points * (48 + (8 * n_tilts if itemsize < 4 else 0))
