"""Back-projection with gradients: both ways are gathers, along an operator and its transpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from cryolithe_stream.geometry import Float32s, Floats, SampleGrid

Index = NDArray[np.int32]

_COLUMN_STEP = 32
"""Strips are widened to multiples of this: matrix kernels are compiled for each shape anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Operator:
    """Back-projection of a (z, x) plane with the mean over tilts, and its transpose, as bags of table rows.

    The table holds `oversample` positions for each of `n_pixels` columns from `first_pixel` on, for each tilt.
    """

    first_pixel: int
    n_pixels: int
    index: Tensor
    weight: Tensor
    back_index: Tensor
    back_offsets: Tensor
    back_weight: Tensor

    @classmethod
    def build(
        cls, grid: SampleGrid, tilts_deg: Floats, oversample: int, dtype: torch.dtype, device: torch.device
    ) -> Operator:
        """The operator of a grid's plane; one strip of columns serves all tilts."""
        columns = grid.columns(tilts_deg).reshape(len(tilts_deg), -1)
        first = int(np.floor(columns.min()))
        n_pixels = -(-(int(np.floor(columns.max())) + 2 - first) // _COLUMN_STEP) * _COLUMN_STEP
        n_positions = oversample * n_pixels
        position = (columns - first) * oversample
        lower = np.floor(position).astype(np.int32)
        upper_weight: Float32s = ((position - lower) / len(tilts_deg)).astype(np.float32)
        lower_weight: Float32s = np.float32(1 / len(tilts_deg)) - upper_weight
        base = (np.arange(len(tilts_deg), dtype=np.int32) * n_positions)[:, None]
        index = np.stack([lower + base, lower + base + 1], axis=-1).transpose(1, 0, 2).reshape(columns.shape[1], -1)
        weight = np.stack([lower_weight, upper_weight], axis=-1).transpose(1, 0, 2).reshape(columns.shape[1], -1)
        back_index, back_offsets, back_weight = _transposed(lower, lower_weight, upper_weight, n_positions)
        arrays = (index, weight, back_index, back_offsets, back_weight)
        tensors = [torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays]
        return cls(first, n_pixels, *(t.to(dtype) if t.is_floating_point() else t for t in tensors))


def _transposed(
    lower: Index, lower_weight: Float32s, upper_weight: Float32s, n_positions: int
) -> tuple[Index, Index, Float32s]:
    """Points, bag offsets and weights of the transposed operator: one bag of points for each row of the table."""
    n_points = lower.shape[1]
    points, weights, counts = [], [], []
    for low, w_low, w_up in zip(lower, lower_weight, upper_weight, strict=True):
        positions = np.concatenate([low, low + 1])
        order = np.argsort(positions, kind="stable")
        points.append((order % n_points).astype(np.int32))
        weights.append(np.concatenate([w_low, w_up])[order])
        counts.append(np.bincount(positions, minlength=n_positions))
    ends = np.cumsum(np.concatenate(counts))
    return np.concatenate(points), np.concatenate([[0], ends[:-1]]).astype(np.int32), np.concatenate(weights)


class _Backproject(torch.autograd.Function):
    """Points × channels from table rows × channels."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, operator: Operator) -> Tensor:
        """Back-projected features."""
        ctx.operator = operator
        return F.embedding_bag(operator.index, table, mode="sum", per_sample_weights=operator.weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of the table."""
        o: Operator = ctx.operator
        bags = F.embedding_bag(
            o.back_index, grad.contiguous(), o.back_offsets, mode="sum", per_sample_weights=o.back_weight
        )
        return bags, None


backproject: Callable[[Tensor, Operator], Tensor] = _Backproject.apply
"""Points × channels from a table `(row, channel)` and an operator."""
