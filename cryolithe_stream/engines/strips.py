"""The projection data of one block, and linear interpolation in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cryolithe_stream.geometry import Float32s, Floats, Ints, StripLayout


@dataclass(frozen=True, slots=True, eq=False)
class Strips:
    """Filtered projections around a block's sinusoid: what an engine reads, and all that it reads.

    `values` `(tilt, row, column)` float32, zero outside the detector; row i is detector row `first_row + i`, column j
    of tilt t detector column `first_column[t] + j`; `tilts_deg` `(tilt,)`.
    """

    values: Float32s
    first_row: int
    first_column: Ints
    tilts_deg: Floats

    @classmethod
    def of(cls, layout: StripLayout, values: Float32s, tilts_deg: Floats) -> Strips:
        """The strips that were read for a layout."""
        return cls(values, layout.first_row, layout.first_column, tilts_deg)


def row_lines(values: Tensor, row_px: float, first_row: int, offsets_px: Tensor) -> Tensor:
    """Detector rows `row_px + offsets_px`, linearly interpolated: `(tilt, offset, column)` of `(tilt, row, column)`."""
    position = offsets_px.to(torch.float64) + (row_px - first_row)
    lower = torch.floor(position)
    fraction = (position - lower).to(values.dtype).to(values.device)[None, :, None]
    index = lower.to(torch.int64).to(values.device)
    low = values[:, index]
    return low if not bool(fraction.any()) else low + fraction * (values[:, index + 1] - low)


def patch_offsets(patch_size: int, patch_scale: float) -> Tensor:
    """Distance in pixels of each patch sample from its centre, ascending: scale·(j − P//2)."""
    return (torch.arange(patch_size, dtype=torch.float64) - patch_size // 2) * patch_scale
