"""The networks on whole crops, with gradients: what the engines compute, arranged for training.

It is the features engine's order of work (fold, evaluate on the K-fold detector grid, join, back-project) with three
changes that only training needs: all rows of a crop share their matrix products and one back-projection, hidden
features are made again for the gradient instead of being kept, and the gradient of the back-projection is itself a
gather, along the transposed operator.

It takes networks of the compact family (one hidden set layer, no mlp_s, no biases, no combining layers but the first,
which a context network follows) on grids whose rows lie a whole number of pixels apart. Others are evaluated by the
features engine itself, which is differentiable but slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cryolithe_stream.engines.features import FeaturesEngine
from cryolithe_stream.engines.folded import fold
from cryolithe_stream.engines.strips import Strips
from cryolithe_stream.geometry import Floats, SampleGrid, strips_for_grid
from cryolithe_stream.network.context import Context
from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.train.backprojection import Operator, backproject
from cryolithe_stream.train.table import feature_table


class Predictor(nn.Module):
    """What is trained: a SliceSet, and the context network that its features go to, if any."""

    def __init__(self, slices: SliceSet, context: Context | None = None) -> None:
        """Both parts as they are."""
        super().__init__()
        self.slices = slices
        self.context = context


def predict(
    predictor: Predictor,
    filtered: Tensor,
    grid: SampleGrid,
    tilts_deg: Floats,
    *,
    oversample: int,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """Values `(channel, z, y, x)`, float32, of a grid from filtered projections `(tilt, y, x)`; zero lies outside them.

    Differentiable in the weights, not in the projections. With a context network the grid is a whole number of its
    strides, and values near its sides lack neighbours.
    """
    filtered = filtered.to(device)
    rows = _Rows.of(grid)
    if rows is not None and _is_compact(predictor.slices):
        features = _fast(predictor.slices, filtered, grid, rows, tilts_deg, oversample, dtype)
    else:
        features = _by_engine(predictor.slices, filtered, grid, tilts_deg, oversample, dtype)
    if predictor.context is None:
        return features.float()
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        typed = features[None].contiguous(memory_format=torch.channels_last_3d)
        return torch.as_tensor(predictor.context(typed)[0]).float()


@dataclass(frozen=True, slots=True)
class _Rows:
    """Detector rows `first + fraction + step·y` of a grid's rows y."""

    first: int
    fraction: float
    step: int
    count: int

    @classmethod
    def of(cls, grid: SampleGrid) -> _Rows | None:
        """The rows of a grid; None when they are not evenly spaced by whole pixels."""
        first = int(np.floor(grid.row_px[0]))
        steps = np.diff(grid.row_px)
        step = round(float(steps[0])) if len(steps) else 1
        if step < 1 or (len(steps) and np.abs(steps - step).max() > 1e-6):
            return None
        return cls(first, float(grid.row_px[0]) - first, step, len(grid.row_px))


def _is_compact(slices: SliceSet) -> bool:
    c = slices.config
    return (
        len(c.set_hidden) == 1
        and c.slice_hidden is None
        and c.combine_hidden == ()
        and not (c.set_bias or c.lift_bias or c.combine_bias or c.learn_residual)
        and (c.angle_code, c.slice_axis, c.pool) == ("multiply", "row", "mean")
        and c.patch_size % 2 == 1
    )


def _by_engine(
    slices: SliceSet, filtered: Tensor, grid: SampleGrid, tilts_deg: Floats, oversample: int, dtype: torch.dtype
) -> Tensor:
    """Features `(channel, z, y, x)` from the features engine."""
    engine = FeaturesEngine(slices, oversample, 1.0, dtype, filtered.device)
    layout = strips_for_grid(grid, tilts_deg, halo_yx_px=engine.halo_yx_px)
    values = np.zeros(layout.shape, np.float32)
    for t, first_column in enumerate(layout.first_column):
        (to_y, from_y) = _overlap(layout.first_row, layout.n_rows, filtered.shape[1])
        (to_x, from_x) = _overlap(int(first_column), layout.n_columns, filtered.shape[2])
        values[t, to_y, to_x] = filtered[t, from_y, from_x].cpu().numpy()
    with torch.autocast(filtered.device.type, dtype, enabled=dtype != torch.float32):  # weights are float32
        return engine.evaluate(grid, Strips.of(layout, values, tilts_deg), slices)[0]


def _overlap(first: int, count: int, size: int) -> tuple[slice, slice]:
    """Where the part of `first … first + count` that lies in 0 … size goes to, and comes from."""
    a, b = min(max(first, 0), size), max(min(first + count, size), 0)
    return slice(a - first, max(a, b) - first), slice(a, max(a, b))


def _fast(
    slices: SliceSet,
    filtered: Tensor,
    grid: SampleGrid,
    rows: _Rows,
    tilts_deg: Floats,
    oversample: int,
    dtype: torch.dtype,
) -> Tensor:
    """Features `(channel, z, y, x)` of a network of the compact family."""
    size, device = slices.config.patch_size, filtered.device
    operator = Operator.build(grid, tilts_deg, oversample, dtype, device)
    sets = fold(slices, torch.from_numpy(tilts_deg).to(device), device).joined_sooner()
    assert sets.join is not None
    n_tilts, n_slices, _, hidden = sets.first.shape
    first = sets.first.permute(0, 2, 1, 3).reshape(n_tilts, size, n_slices * hidden).to(dtype)
    out = sets.join.to(dtype)
    n_lines = (rows.count - 1) * rows.step + size
    corner = (rows.first - size // 2, operator.first_pixel - size // 2)
    lines = _window(filtered, corner, (n_lines + 1, operator.n_pixels + size - 1))
    lines = lines[:, :-1] if rows.fraction == 0.0 else torch.lerp(lines[:, :-1], lines[:, 1:], rows.fraction)
    table = feature_table(lines.to(dtype).contiguous(), first, out, oversample, rows.step)
    pooled = backproject(table.flatten(2).flatten(0, 1), operator)
    nz, ny, nx = grid.shape
    return pooled.view(nz, nx, ny, -1).permute(3, 0, 2, 1)


def _window(filtered: Tensor, corner_yx: tuple[int, int], shape_yx: tuple[int, int]) -> Tensor:
    """A window `(tilt, row, column)` of the projections, zero outside them."""
    to_y, from_y = _overlap(corner_yx[0], shape_yx[0], filtered.shape[1])
    to_x, from_x = _overlap(corner_yx[1], shape_yx[1], filtered.shape[2])
    found = filtered.new_zeros(len(filtered), *shape_yx)
    found[:, to_y, to_x] = filtered[:, from_y, from_x]
    return found
