"""The features engine: set features on a detector grid, back-projected, then one small MLP per voxel.

For one output row y and each patch row s the set features are evaluated along detector row y + scale·(s − P//2), on a
grid of step 1/K pixel anchored at detector pixel 0, so that results do not depend on how a volume is cut. The linear
interpolation at u(θ) and the mean over tilts bring them to the voxels. The one approximation is that interpolation:
its error falls as 1/K²; a model that was trained with its grid has none.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryolithe_stream.engines.backproject import Backprojector, building_bytes, operator_bytes
from cryolithe_stream.engines.detector import DetectorGrid
from cryolithe_stream.engines.device import KERNEL_BYTES
from cryolithe_stream.engines.folded import FoldedSets, fold
from cryolithe_stream.engines.strips import Strips, patch_offsets, row_lines
from cryolithe_stream.geometry import SampleGrid, Shape3, StripLayout
from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.sliceset import SliceSet

_ALLOCATOR = 1.3
"""What the allocator takes for arrays that come and go, over their sum (measured: up to 1.22)."""


def tilt_sets(n_tilts: int, *, halves: bool) -> list[list[int]]:
    """Tilts whose mean each output volume takes: all of them, or odd and even views (counted from 1)."""
    return [list(range(0, n_tilts, 2)), list(range(1, n_tilts, 2))] if halves else [list(range(n_tilts))]


@dataclass(frozen=True, slots=True, eq=False)
class FeaturesEngine:
    """Evaluates a SliceSet on whole grids by back-projecting features.

    `oversample` is K; `dtype` what is computed in; `points` how many voxels the combining MLP takes at once.
    """

    network: SliceSet
    oversample: int
    patch_scale: float
    dtype: torch.dtype
    device: torch.device
    points: int = 8192

    @property
    def halo_yx_px(self) -> tuple[float, float]:
        """How far beyond the sinusoid samples are read, in pixels along (row, column)."""
        reach = self.network.config.patch_size // 2 * self.patch_scale
        return reach, reach + 2.0

    @property
    def n_channels(self) -> int:
        """Values per grid point: 1, or a wavelet model's coefficients."""
        return self.network.config.output_size

    @property
    def output_dtype(self) -> torch.dtype:
        """The type of the values: what they are worked out in, unless a float32 residual is added to them."""
        return torch.float32 if self.network.config.learn_residual else self.dtype

    def reconstruct(self, grid: SampleGrid, strips: Strips, *, halves: bool = False) -> Tensor:
        """Values `(set, channel, z, y, x)`, channels last in memory; sets are [all] or [all, odd, even] tilts."""
        with torch.inference_mode():
            head = copy.deepcopy(self.network).to(self.device, self.dtype)
            return self.evaluate(grid, strips, head, halves=halves)

    def evaluate(self, grid: SampleGrid, strips: Strips, head: SliceSet, *, halves: bool = False) -> Tensor:
        """The same, differentiable in the weights when `head` is the engine's own network."""
        values = torch.from_numpy(strips.values).to(self.device)
        offsets = patch_offsets(self.network.config.patch_size, self.patch_scale)
        detector = DetectorGrid.over(strips.first_column, values.shape[2], offsets, self.oversample, self.device)
        first_only = self.network.config.pool == "first"
        pool = self._pooling(grid, strips, detector, halves=halves, first_only=first_only)
        means = self._pooling(grid, strips, detector, halves=halves) if _own_means(self.network.config) else pool
        by_row = self.network.config.slice_axis == "row"
        sets = fold(self.network, torch.from_numpy(strips.tilts_deg).to(self.device), self.device)
        sets = sets.joined_sooner() if _narrower(self.network) else sets
        sets = (sets.over_windows(detector.taps) if by_row else sets).to(self.dtype)
        nx = grid.shape[2]
        plane = _Plane(self, sets, detector, pool, means, head, max(1, self.points // nx) * nx)
        out = torch.empty(len(pool.mixing), *grid.shape, self.n_channels, dtype=self.output_dtype, device=self.device)
        for y, row_px in enumerate(grid.row_px):
            lines = row_lines(values, float(row_px), strips.first_row, offsets)
            for points, found in plane.values(lines):
                out[:, points.start // nx : points.stop // nx, y] = found.unflatten(1, (-1, nx))
        return out.movedim(-1, 1)

    def _pooling(
        self, grid: SampleGrid, strips: Strips, detector: DetectorGrid, *, halves: bool, first_only: bool = False
    ) -> _Pooling:
        """The mean over each set's tilts, or each set's first tilt."""
        operators = [
            Backprojector.build(
                grid,
                strips.tilts_deg,
                tilts[:1] if first_only else tilts,
                first_pixel=detector.first_pixel,
                n_positions=detector.n_positions,
                oversample=self.oversample,
                dtype=self.dtype,
                device=self.device,
            )
            for tilts in tilt_sets(len(strips.tilts_deg), halves=halves)
        ]
        n_tilts = len(strips.tilts_deg)
        odd = np.float32(1.0) if first_only else np.float32((n_tilts + 1) // 2 / n_tilts)
        rows = [[odd, 1 - odd], [1.0, 0.0], [0.0, 1.0]] if halves else [[1.0]]
        return _Pooling(operators, torch.tensor(rows, dtype=torch.float32, device=self.device))

    def peak_bytes(self, grid_zyx: Shape3, layout: StripLayout, *, halves: bool = False) -> int:
        """Upper bound of the bytes that `reconstruct` holds at once, its strips and output included."""
        n_tilts, n_rows, n_columns = layout.shape
        nz, ny, nx = grid_zyx
        c, size, item = self.network.config, self.network.config.patch_size, self.dtype.itemsize
        positions, plane, n_sets = n_columns * self.oversample, nz * nx, 3 if halves else 1
        entry = (*c.set_hidden, c.set_output)[0]
        folded = n_tilts * size * (size + 2) * self.oversample * entry * (8 + item)
        chunk = _tilts_at_once(self.device, positions, size, c, item)
        widest = max(c.set_input, c.set_output, *c.set_hidden, 1)
        hot = chunk * size * positions * item * (3 * widest + 2 * size + c.set_output)
        lines = n_tilts * size * n_columns * (4 * 3 + item)
        joined = c.slice_hidden is None
        width = (c.combine_hidden or (c.output_size,))[0] if joined else c.set_output
        table = 2 * n_tilts * positions * width * item
        accumulated = 0 if joined else n_sets * plane * (c.combine_hidden or (c.output_size,))[0] * 4
        wide = max(*c.combine_hidden, *(c.slice_hidden or (1,)), width, 1)
        batch = n_sets * min(max(self.points, nx), plane) * (3 * wide * max(item, 4) + 2 * width * item)
        operators = operator_bytes(plane, n_tilts, item) * (2 if _own_means(c) else 1)
        output = n_sets * plane * ny * c.output_size * self.output_dtype.itemsize
        values = n_tilts * n_rows * n_columns * 4 * (1 if self.device.type == "cpu" else 2)
        working = lines + table + max(hot, batch) + accumulated + operators + output
        return KERNEL_BYTES + values + folded + max(int(_ALLOCATOR * working), building_bytes(plane, n_tilts, item))

    def cost(self, grid_zyx: Shape3, layout: StripLayout) -> float:
        """Multiply-adds of a block: set evaluations on the detector grid, and work per voxel (see the design)."""
        n_tilts, _, n_columns = layout.shape
        nz, ny, nx = grid_zyx
        per_position, per_voxel = _multiply_adds(self.network, n_tilts)
        return float(ny * n_tilts * n_columns * self.oversample * per_position + ny * nz * nx * per_voxel)


@dataclass(frozen=True, slots=True, eq=False)
class _Pooling:
    """Values of [all] or [all, odd, even] tilts at each point, mixed from one operator each for odd and even."""

    operators: Sequence[Backprojector]
    mixing: Tensor

    @property
    def n_points(self) -> int:
        """Points of the plane."""
        return self.operators[0].n_points

    def __call__(self, table: Tensor, points: slice) -> Tensor:
        """Pooled features `(set, point, channel)` of a table."""
        parts = [operator(table, points) for operator in self.operators]
        if len(parts) == 1:
            return parts[0][None]
        return torch.einsum("si,ipc->spc", self.mixing.to(table.dtype), torch.stack(parts))


@dataclass(frozen=True, slots=True, eq=False)
class _Plane:
    """Everything that the rows of a block share; `pool` pools the sets' features, `means` the residual."""

    engine: FeaturesEngine
    sets: FoldedSets
    detector: DetectorGrid
    pool: _Pooling
    means: _Pooling
    head: SliceSet
    at_once: int

    def values(self, lines: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Points of a (z, x) plane and their values `(set, point, channel)`, from lines `(tilt, P, column)`."""
        typed = lines.to(self.engine.dtype)
        hidden = self._joined(typed) if self.sets.join is not None else self._per_slice(typed)
        first = self.head.combination_mlp.linears[0]
        middle = self._middle(lines) if self.engine.network.config.learn_residual else None
        for points, h in zip(self._batches(), hidden, strict=True):
            whole = h if first.bias is None else h + first.bias
            values = self.head.combination_mlp.after_first(whole.to(self.engine.dtype))
            yield points, values if middle is None else values.float() + self.means(middle, points)

    def _batches(self) -> Iterator[slice]:
        n = self.pool.n_points
        return (slice(a, min(a + self.at_once, n)) for a in range(0, n, self.at_once))

    def _tables(self, lines: Tensor, slices: slice) -> Iterator[Tensor]:
        """Features `(tilt, slice, position, F)` of a few tilts at a time."""
        c, by_column = self.engine.network.config, self.engine.network.config.slice_axis == "column"
        item = self.engine.dtype.itemsize
        step = _tilts_at_once(self.engine.device, self.detector.n_positions, c.patch_size, c, item)
        for a in range(0, len(lines), step):
            part = slice(a, a + step)
            samples = (
                self.detector.patches(lines[part], by_column=True) if by_column else self.detector.windows(lines[part])
            )
            yield self.sets.features(samples[:, slices], part, slices)

    def _joined(self, lines: Tensor) -> Iterator[Tensor]:
        table = torch.cat([self.sets.joined(f) for f in self._tables(lines, slice(None))]).flatten(0, 1)
        return (self.pool(table, points) for points in self._batches())

    def _per_slice(self, lines: Tensor) -> Iterator[Tensor]:
        """mlp_s of each slice's pooled features, taken into the combining MLP's first layer slice by slice."""
        entry = self.head.combination_mlp.linears[0].weight
        columns = entry.split(self.engine.network.config.slice_output, dim=1)
        hidden: list[Tensor] = []
        for s, smlp in enumerate(self.head.slices):
            table = torch.cat(list(self._tables(lines, slice(s, s + 1)))).flatten(0, 2)
            for b, points in enumerate(self._batches()):
                part = (smlp.of_mean(self.pool(table, points)) @ columns[s].T).float()
                if s == 0:
                    hidden.append(part)
                else:
                    hidden[b] = hidden[b] + part
        return iter(hidden)

    def _middle(self, lines: Tensor) -> Tensor:
        """The patch's centre, whose mean over tilts is the residual: `(tilt · position, 1)`."""
        middle = lines.shape[1] // 2
        patches = self.detector.patches(lines, by_column=False)[:, middle, :, middle]
        return patches.reshape(-1, 1).float()


def _narrower(network: SliceSet) -> bool:
    """Whether the set networks' last layer costs less as a part of the combining MLP's first."""
    last, entry = network.slices[0].setMlP.linears[-1], network.combination_mlp.linears[0].out_features
    return last.in_features * entry <= last.out_features * (last.in_features + entry)


def _own_means(config: SliceSetConfig) -> bool:
    """Whether the residual, which is always a mean over tilts, is pooled in another way than the features."""
    return config.learn_residual and config.pool == "first"


def _tilts_at_once(device: torch.device, positions: int, size: int, config: SliceSetConfig, item: int) -> int:
    """Tilts whose hidden features fit the cache (CPU) or a modest part of the memory (CUDA)."""
    width = max(config.set_input, *config.set_hidden, 1)
    budget = 4 << 20 if device.type == "cpu" else 512 << 20
    return max(1, budget // max(1, positions * size * width * item))


def _multiply_adds(network: SliceSet, n_tilts: int) -> tuple[float, float]:
    """Multiply-adds per detector-grid position and per voxel."""
    c = network.config
    first = network.slices[0]
    chain = sum(layer.weight.numel() for layer in first.setMlP.linears[1:])
    entry = first.setMlP.linears[0].out_features * c.patch_size
    head = sum(layer.weight.numel() for layer in network.combination_mlp.linears[1:])
    joint = network.combination_mlp.linears[0]
    if c.slice_hidden is None:
        return c.patch_size * (entry + chain) + joint.weight.numel(), head + 2.0 * n_tilts * joint.out_features * 4
    slices = sum(p.numel() for s in network.slices if s.mlp is not None for p in s.mlp.parameters())
    pooled = 2.0 * n_tilts * c.set_output * c.patch_size * 4
    return c.patch_size * (entry + chain), head + slices + joint.weight.numel() + pooled
