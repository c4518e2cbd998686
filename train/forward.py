"""The network on whole x–z planes of a few rows, with gradients: what the features engine computes, made to train.

It is the engine's order of work (fold, evaluate on the K-fold detector grid, join, back-project, combine) with two
changes that only training needs: several rows share one back-projection, and the gradient of the back-projection is
itself a gather, along the transposed operator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cryolithe_stream.engines.folded import fold
from cryolithe_stream.geometry import Floats, SampleGrid
from cryolithe_stream.network.sliceset import SliceSet

OVERSAMPLE = 2


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """Back-projection of an (z, x) plane and its transpose, as bags of table rows.

    The table holds `n_positions` half-pixel positions per tilt from detector column `first_pixel` on.
    """

    first_pixel: int
    n_pixels: int
    index: Tensor
    weight: Tensor
    back_index: Tensor
    back_offsets: Tensor
    back_weight: Tensor

    @classmethod
    def build(cls, grid: SampleGrid, tilts_deg: Floats, dtype: torch.dtype) -> Plane:
        """The operator of a grid's (z, x) plane and the mean over tilts; one strip of columns serves all tilts."""
        columns = grid.columns(tilts_deg).reshape(len(tilts_deg), -1)
        first = int(np.floor(columns.min()))
        n_pixels = int(np.floor(columns.max())) + 2 - first
        n_positions = OVERSAMPLE * (n_pixels - 1) + 1
        position = (columns - first) * OVERSAMPLE
        lower = np.floor(position).astype(np.int32)
        fraction = (position - lower).astype(np.float32) / len(tilts_deg)
        rest = np.float32(1 / len(tilts_deg)) - fraction
        base = (np.arange(len(tilts_deg), dtype=np.int32) * n_positions)[:, None]
        index = np.stack([lower + base, lower + base + 1], axis=-1).transpose(1, 0, 2).reshape(columns.shape[1], -1)
        weight = np.stack([rest, fraction], axis=-1).transpose(1, 0, 2).reshape(columns.shape[1], -1)
        back = _transposed(lower, rest, fraction, n_positions)
        as_tensor = torch.from_numpy
        return cls(
            first,
            n_pixels,
            as_tensor(np.ascontiguousarray(index)),
            as_tensor(np.ascontiguousarray(weight)).to(dtype),
            as_tensor(back[0]),
            as_tensor(back[1]),
            as_tensor(back[2]).to(dtype),
        )


def _transposed(
    lower: np.ndarray, rest: np.ndarray, fraction: np.ndarray, n_positions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, bag offsets and weights of the transposed operator: one bag of points per table row."""
    n_tilts, n_points = lower.shape
    points, weights, counts = [], [], []
    for t in range(n_tilts):
        rows = np.concatenate([lower[t], lower[t] + 1]).astype(np.uint16)
        order = np.argsort(rows, kind="stable")
        points.append((order % n_points).astype(np.int32))
        weights.append(np.concatenate([rest[t], fraction[t]])[order])
        counts.append(np.bincount(rows, minlength=n_positions))
    ends = np.cumsum(np.concatenate(counts))
    offsets = np.concatenate([[0], ends[:-1]]).astype(np.int32)
    return np.concatenate(points), offsets, np.concatenate(weights)


class _Backproject(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, table: Tensor, plane: Plane) -> Tensor:
        ctx.plane = plane  # type: ignore[attr-defined]
        return functional.embedding_bag(plane.index, table, mode="sum", per_sample_weights=plane.weight)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        plane: Plane = ctx.plane  # type: ignore[attr-defined]
        bags = functional.embedding_bag(
            plane.back_index,
            grad.contiguous(),
            plane.back_offsets,
            mode="sum",
            per_sample_weights=plane.back_weight,
        )
        return bags, None


def evaluate_rows(network: SliceSet, filtered: Tensor, rows: list[int], plane: Plane, tilts_deg: Tensor) -> Tensor:
    """Values `(row, point)` of the planes through detector rows `rows`, float32, differentiable in the weights.

    `filtered` `(tilt, y, x)` are the whole filtered projections; outside them is zero.
    """
    dtype = plane.weight.dtype
    size = network.config.patch_size
    half = size // 2
    n_tilts, _, width = filtered.shape
    sets = fold(network, tilts_deg, dtype=dtype, device=filtered.device)
    if sets.join is None:
        raise AssertionError("this training forward is for networks without mlp_s")
    left = max(0, half - plane.first_pixel)
    right = max(0, plane.first_pixel + plane.n_pixels + half - width)
    padded = functional.pad(filtered, (left, right, half, half)).to(dtype)
    start = plane.first_pixel - half + left
    lines = torch.stack([padded[:, r : r + size, start : start + plane.n_pixels + size - 1] for r in rows], dim=2)
    windows = lines.unfold(-1, size, 1).reshape(n_tilts, size, -1, size)  # (tilt, slice, row·pixel, P)
    lifted = (windows @ sets.first).reshape(n_tilts, size, len(rows), plane.n_pixels, -1)
    between = (lifted[..., :-1, :] + lifted[..., 1:, :]) * 0.5
    fine = torch.cat([torch.stack([lifted[..., :-1, :], between], dim=-2).flatten(-3, -2), lifted[..., -1:, :]], dim=-2)
    h = functional.relu(fine).flatten(2, 3)
    for i, (weight, _) in enumerate(sets.rest):
        h = (functional.relu(h) if i else h) @ weight
    joined = h.transpose(1, 2).flatten(2) @ sets.join  # (tilt, row·position, C)
    channels = joined.shape[-1]
    table = joined.reshape(n_tilts, len(rows), -1, channels).transpose(1, 2).reshape(-1, len(rows) * channels)
    hidden: Tensor = _Backproject.apply(table.contiguous(), plane)
    voxels = hidden.reshape(-1, len(rows), channels)
    return _head(network, voxels)[..., 0].float().T


def _head(network: SliceSet, h: Tensor) -> Tensor:
    """The combining MLP after its first layer, in `h`'s type."""
    for linear in network.combination_mlp.linears[1:]:
        h = functional.relu(h) @ linear.weight.T.to(h.dtype)
    return h
