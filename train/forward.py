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

    The table holds two positions per pixel (whole, half) of `n_pixels` columns from `first_pixel` on, for each tilt.
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
        n_positions = OVERSAMPLE * n_pixels
        position = (columns - first) * OVERSAMPLE
        lower = np.floor(position).astype(np.int32)
        fraction = (position - lower).astype(np.float32) / len(tilts_deg)
        rest = np.float32(1 / len(tilts_deg)) - fraction
        is_half = lower % 2 == 1  # the table's half-pixel entries are doubled, see `_hidden`
        rest[is_half] *= 0.5
        fraction[~is_half] *= 0.5
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


class _Table(torch.autograd.Function):
    """Joined set features on the half-pixel grid, a few tilts at a time; the gradient makes the hidden ones again.

    Inputs: lines `(tilt, slice, column)`, folded matrices `(tilt, slice, P, H)`, `(slice, H, F)` and `(slice·F, C)`;
    output `(tilt · positions, C)`. What lies between stays in the processor's cache.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx, lines: Tensor, first: Tensor, rest: Tensor, join: Tensor
    ) -> Tensor:
        ctx.save_for_backward(lines, first, rest, join)
        size = first.shape[2]
        n_pixels = lines.shape[-1] - size + 1
        table = lines.new_zeros(len(lines), n_pixels, 2, join.shape[1])
        for t in _chunks(len(lines)):
            _, even, odd = _hidden(lines[t], first[t])
            table[t, :, 0] = _joined(even, rest) @ join
            table[t, :-1, 1] = _joined(odd, rest) @ join
        return table.flatten(0, 2)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:  # type: ignore[override]
        lines, first, rest, join = ctx.saved_tensors  # type: ignore[attr-defined]
        n_slices, width = rest.shape[0], rest.shape[2]
        grad = grad.reshape(len(lines), -1, 2, join.shape[1])
        to_first, to_rest, to_join = (
            torch.empty_like(first),
            torch.zeros_like(rest).float(),
            torch.zeros_like(join).float(),
        )
        for t in _chunks(len(lines)):
            windows, even, odd = _hidden(lines[t], first[t])
            back = []
            for hidden, g in ((even, grad[t, :, 0]), (odd, grad[t, :-1, 1])):
                to_join += (_joined(hidden, rest).flatten(0, 1).T @ g.flatten(0, 1)).float()
                g_features = (g @ join.T).unflatten(-1, (n_slices, width)).transpose(1, 2)
                to_rest += (hidden.transpose(2, 3) @ g_features).sum(dim=0).float()
                g_hidden = g_features @ rest.transpose(1, 2)
                back.append(torch.ops.aten.threshold_backward(g_hidden, hidden, 0))
            lifted, half = back
            lifted[:, :, :-1] += half
            lifted[:, :, 1:] += half
            to_first[t] = windows.transpose(2, 3) @ lifted
        return None, to_first, to_rest.to(rest.dtype), to_join.to(join.dtype)


def _chunks(n_tilts: int, size: int = 8) -> list[slice]:
    return [slice(a, min(a + size, n_tilts)) for a in range(0, n_tilts, size)]


def _hidden(lines: Tensor, first: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Windows `(tilt, slice, pixel, P)` and hidden features at whole and (doubled, so far) at half pixels."""
    windows = lines.unfold(-1, first.shape[2], 1)
    lifted = windows @ first
    odd = (lifted[:, :, :-1] + lifted[:, :, 1:]).relu_()
    return windows, lifted.relu_(), odd


def _joined(hidden: Tensor, rest: Tensor) -> Tensor:
    """Features `(tilt, position, slice·F)`."""
    return (hidden @ rest).transpose(1, 2).flatten(2)


def evaluate_rows(network: SliceSet, filtered: Tensor, rows: list[int], plane: Plane, tilts_deg: Tensor) -> Tensor:
    """Values `(row, point)` of the planes through detector rows `rows`, float32, differentiable in the weights.

    `filtered` `(tilt, y, x)` are the whole filtered projections; outside them is zero.
    """
    dtype = plane.weight.dtype
    size = network.config.patch_size
    half = size // 2
    width = filtered.shape[2]
    sets = fold(network, tilts_deg, dtype=dtype, device=filtered.device)
    if sets.join is None or len(sets.rest) != 1:
        raise AssertionError("this training forward is for networks of one hidden set layer without mlp_s")
    left = max(0, half - plane.first_pixel)
    right = max(0, plane.first_pixel + plane.n_pixels + half - width)
    start = plane.first_pixel - half + left
    values = []
    for row in rows:
        above, below = max(0, half - row), max(0, row + half + 1 - filtered.shape[1])
        band = filtered[:, max(0, row - half) : row + half + 1]
        padded = functional.pad(band, (left, right, above, below)).to(dtype)
        lines = padded[:, :, start : start + plane.n_pixels + size - 1].contiguous()
        table = _Table.apply(lines, sets.first, sets.rest[0][0], sets.join)
        values.append(_head(network, _Backproject.apply(table, plane))[:, 0].float())
    return torch.stack(values)


def _head(network: SliceSet, h: Tensor) -> Tensor:
    """The combining MLP after its first layer, in `h`'s type."""
    for linear in network.combination_mlp.linears[1:]:
        h = functional.relu(h) @ linear.weight.T.to(h.dtype)
    return h
