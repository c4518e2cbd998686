"""Joined set features on the detector grid for all rows of a crop, with gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


class _FeatureTable(torch.autograd.Function):
    """Joined set features on the detector grid, one tilt at a time; the gradient makes the hidden ones again.

    Inputs: lines `(tilt, line, column)`, folded matrices `(tilt, P, slice·H)` and `(slice·H, C)`, K, and the lines
    from one output row to the next. Output `(tilt, column·K, row, C)`.
    """

    @staticmethod
    def forward(ctx: Any, lines: Tensor, first: Tensor, out: Tensor, oversample: int, step: int) -> Tensor:
        """The table."""
        ctx.save_for_backward(lines, first, out)
        ctx.sizes = (oversample, step)
        s = _Sizes.of(lines, first, step)
        table = lines.new_zeros(len(lines), s.n_columns, oversample, s.n_rows, out.shape[1])
        for t, line in enumerate(lines):
            lifted = _windows(line, s) @ first[t]
            for k in range(oversample):
                hidden = _at_phase(lifted, k / oversample, s).relu_()
                rows = (s.by_row(hidden).flatten(-2).flatten(0, 1) @ out).view(s.n_rows, s.n_columns, -1)
                table[t, :, k] = rows.transpose(0, 1)
        return table.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor, None, None]:
        """Gradients of both kinds of matrices."""
        lines, first, out = ctx.saved_tensors
        oversample, step = ctx.sizes
        s = _Sizes.of(lines, first, step)
        grad = grad.unflatten(1, (s.n_columns, oversample))
        to_first, to_out = torch.empty_like(first), torch.zeros_like(out, dtype=torch.float32)
        spread = lines.new_zeros(s.n_lines * s.n_columns, first.shape[2])
        for t, line in enumerate(lines):
            windows = _windows(line, s)
            lifted = windows @ first[t]
            total = torch.zeros_like(lifted)
            for k in range(oversample):
                hidden = _at_phase(lifted, k / oversample, s).relu_()
                g = grad[t, :, k].transpose(0, 1).flatten(0, 1)
                to_out += (s.by_row(hidden).flatten(-2).flatten(0, 1).T @ g).float()
                s.by_row(spread).copy_((g @ out.T).view(s.n_rows, s.n_columns, s.n_slices, -1))
                back = _from_phase(torch.ops.aten.threshold_backward(spread, hidden, 0), k / oversample, s)
                total += back
            to_first[t] = windows.T @ total
        return None, to_first, to_out.to(out.dtype), None, None


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Lines and columns of one tilt, and the rows that are made of them; slice s of row y reads line step·y + s."""

    n_lines: int
    n_columns: int
    n_rows: int
    n_slices: int
    step: int

    @classmethod
    def of(cls, lines: Tensor, first: Tensor, step: int) -> _Sizes:
        """The sizes behind lines `(tilt, line, column)`; a patch has as many slices as columns."""
        size = first.shape[1]
        return cls(lines.shape[1], lines.shape[2] - size + 1, (lines.shape[1] - size) // step + 1, size, step)

    def by_row(self, hidden: Tensor) -> Tensor:
        """A view `(row, column, slice, H)` of features `(line·column, slice·H)`: each slice from its own line."""
        width = hidden.shape[1]
        h = width // self.n_slices
        line = self.n_columns * width
        shape = (self.n_rows, self.n_columns, self.n_slices, h)
        return hidden.as_strided(shape, (self.step * line, width, line + h, 1), hidden.storage_offset())


def _windows(line: Tensor, s: _Sizes) -> Tensor:
    """Patch rows `(line·column, P)` of lines `(line, column)`."""
    return line.unfold(-1, s.n_slices, 1).reshape(s.n_lines * s.n_columns, s.n_slices)


def _at_phase(lifted: Tensor, phase: float, s: _Sizes) -> Tensor:
    """First-layer outputs `phase` of a pixel to the right, a copy; the last column has no neighbour and stays."""
    if phase == 0.0:
        return lifted.clone()
    moved = lifted.clone().view(s.n_lines, s.n_columns, -1)
    moved[:, :-1].lerp_(lifted.view_as(moved)[:, 1:], phase)
    return moved.flatten(0, 1)


def _from_phase(grad: Tensor, phase: float, s: _Sizes) -> Tensor:
    """The transpose of `_at_phase`."""
    if phase == 0.0:
        return grad
    g = grad.view(s.n_lines, s.n_columns, -1)
    back = g.clone()
    back[:, :-1] *= 1 - phase
    back[:, 1:] += phase * g[:, :-1]
    return back.flatten(0, 1)


feature_table: Callable[[Tensor, Tensor, Tensor, int, int], Tensor] = _FeatureTable.apply
"""The table of lines, folded matrices, K and the lines from one row to the next, with gradients of the matrices."""
