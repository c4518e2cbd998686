"""The exact engine: patches sampled as the paper defines them. Slow and obviously right.

Every other path is tested against it. It also evaluates a network at arbitrary real coordinates (paper, 3.3).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cryolithe_stream.engines.features import tilt_sets
from cryolithe_stream.engines.strips import Strips, patch_offsets
from cryolithe_stream.geometry import Floats, SampleGrid, Shape3, StripLayout
from cryolithe_stream.network.sliceset import SliceSet


@dataclass(frozen=True, slots=True, eq=False)
class ExactEngine:
    """Evaluates a SliceSet point by point from bilinear samples of its P × P patches."""

    network: SliceSet
    patch_scale: float
    dtype: torch.dtype
    device: torch.device
    points: int = 1024

    @property
    def halo_yx_px(self) -> tuple[float, float]:
        """How far beyond the sinusoid samples are read, in pixels along (row, column)."""
        reach = self.network.config.patch_size // 2 * self.patch_scale
        return reach, reach

    @property
    def n_channels(self) -> int:
        """Values per grid point: 1, or a wavelet model's coefficients."""
        return self.network.config.output_size

    def reconstruct(self, grid: SampleGrid, strips: Strips, *, halves: bool = False) -> Tensor:
        """Values `(set, channel, z, y, x)`, float32; sets are [all] or [all, odd, even] tilts."""
        nz, ny, nx = grid.shape
        columns = grid.columns(strips.tilts_deg)  # (tilt, z, x)
        sets = [list(range(len(strips.tilts_deg))), *(tilt_sets(len(strips.tilts_deg), halves=True) if halves else [])]
        out = torch.empty(len(sets), self.n_channels, nz, ny, nx)
        flat = columns.reshape(len(columns), -1)
        for j, row in enumerate(grid.row_px):
            values = self.at(flat, np.full(flat.shape[1], row), strips, sets)
            out[:, :, :, j] = values.reshape(len(sets), self.n_channels, nz, nx)
        return out

    def at(self, columns: Floats, rows: Floats, strips: Strips, sets: list[list[int]]) -> Tensor:
        """Values `(set, channel, point)` where a point is seen at `columns` `(tilt, point)` and `rows` `(point,)`."""
        with torch.inference_mode():
            network = copy.deepcopy(self.network).to(self.device, self.dtype)
            values = torch.from_numpy(strips.values).to(self.device)
            tilts = torch.from_numpy(strips.tilts_deg).to(self.device)
            parts = []
            for a in range(0, len(rows), self.points):
                part = slice(a, a + self.points)
                patches = self._patches(values, strips, columns[:, part], rows[part]).to(self.dtype)
                outs = [network(patches[:, s], tilts[s]).float().T for s in sets]
                parts.append(torch.stack(outs).cpu())
            return torch.cat(parts, dim=2)

    def _patches(self, values: Tensor, strips: Strips, columns: Floats, rows: Floats) -> Tensor:
        """Bilinear samples `(point, tilt, row, column)` of the patches around each point (paper, eq. 6)."""
        offsets = patch_offsets(self.network.config.patch_size, self.patch_scale).to(values.device)
        row = torch.from_numpy(rows - strips.first_row).to(values.device)
        column = torch.from_numpy(columns - strips.first_column[:, None]).to(values.device)
        v = (row[:, None] + offsets)[:, None, :, None]  # (point, 1, row, 1)
        u = (column.T[:, :, None] + offsets)[:, :, None, :]  # (point, tilt, 1, column)
        v0, u0 = torch.floor(v), torch.floor(u)
        fv, fu = (v - v0).float(), (u - u0).float()
        iv, iu = v0.to(torch.int64), u0.to(torch.int64)
        t = torch.arange(values.shape[0], device=values.device)[None, :, None, None]
        low = values[t, iv, iu] * (1 - fu) + values[t, iv, iu + 1] * fu
        high = values[t, iv + 1, iu] * (1 - fu) + values[t, iv + 1, iu + 1] * fu
        return low * (1 - fv) + high * fv

    def peak_bytes(self, grid_zyx: Shape3, layout: StripLayout, *, halves: bool = False) -> int:
        """Upper bound of the bytes that `reconstruct` holds at once, its strips and output included."""
        n_tilts, n_rows, n_columns = layout.shape
        nz, ny, nx = grid_zyx
        c = self.network.config
        n_sets = 3 if halves else 1
        points = min(self.points, nz * nx)
        wide = max(c.set_input, c.set_output, *c.set_hidden, 1)
        patches = points * n_tilts * c.patch_size**2 * 4 * 7
        hidden = points * n_tilts * 3 * wide * max(4, self.dtype.itemsize) + points * 4 * 4 * max(
            *c.combine_hidden, *(c.slice_hidden or (1,)), 1
        )
        return (
            n_tilts * n_rows * n_columns * 8
            + 4 * n_tilts * nz * nx * 8
            + patches
            + hidden
            + 2 * 4 * n_sets * c.output_size * nz * ny * nx
            + sum(p.numel() for p in self.network.parameters()) * 4
        )

    def cost(self, grid_zyx: Shape3, layout: StripLayout) -> float:
        """Multiply-adds of a block."""
        nz, ny, nx = grid_zyx
        sets = sum(p.numel() for s in self.network.slices for p in s.setMlP.parameters())
        lift = self.network.config.patch_size**2 * self.network.config.set_input
        rest = sum(p.numel() for p in self.network.parameters()) - sets
        return float(nz * ny * nx) * (len(layout.first_column) * (sets + lift) + rest)
