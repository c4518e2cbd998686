"""Filtered back-projection with the same operator and planner: the baseline, and the way to look at a series first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cryolithe_stream.engines.backproject import Backprojector, building_bytes
from cryolithe_stream.engines.features import tilt_sets
from cryolithe_stream.engines.strips import Strips, row_lines
from cryolithe_stream.geometry import SampleGrid, Shape3, StripLayout


@dataclass(frozen=True, slots=True, eq=False)
class FbpEngine:
    """Mean over tilts of the filtered projections at u(θ), times π/2 (paper, eq. 7; the filter's gain is 2·|f|)."""

    dtype: torch.dtype
    device: torch.device
    rows: int = 64

    @property
    def halo_yx_px(self) -> tuple[float, float]:
        """How far beyond the sinusoid samples are read, in pixels along (row, column)."""
        return 0.0, 1.0

    @property
    def n_channels(self) -> int:
        """Values per grid point."""
        return 1

    def reconstruct(self, grid: SampleGrid, strips: Strips, *, halves: bool = False) -> Tensor:
        """Values `(set, 1, z, y, x)`, float32; sets are [all] or [all, odd, even] tilts."""
        with torch.inference_mode():
            values = torch.from_numpy(strips.values).to(self.device)
            n_tilts, _, n_columns = values.shape
            operators = [
                Backprojector.build(
                    grid,
                    strips.tilts_deg,
                    tilts,
                    first_pixel=strips.first_column,
                    n_positions=n_columns,
                    oversample=1,
                    dtype=self.dtype,
                    device=self.device,
                )
                for tilts in tilt_sets(n_tilts, halves=halves)
            ]
            nz, ny, nx = grid.shape
            out = torch.empty(3 if halves else 1, 1, nz, ny, nx)
            for a in range(0, ny, self.rows):
                lines = row_lines(values, 0.0, strips.first_row, torch.from_numpy(grid.row_px[a : a + self.rows]))
                table = lines.transpose(1, 2).reshape(n_tilts * n_columns, -1).to(self.dtype)
                sets = [op(table).float().mul_(math.pi / 2) for op in operators]
                if halves:
                    share = math.ceil(n_tilts / 2) / n_tilts
                    sets = [share * sets[0] + (1 - share) * sets[1], *sets]
                for i, values_yx in enumerate(sets):
                    out[i, 0, :, a : a + lines.shape[1]] = values_yx.reshape(nz, nx, -1).transpose(1, 2).cpu()
            return out

    def peak_bytes(self, grid_zyx: Shape3, layout: StripLayout, *, halves: bool = False) -> int:
        """Upper bound of the bytes that `reconstruct` holds at once, its strips and output included."""
        n_tilts, n_rows, n_columns = layout.shape
        nz, ny, nx = grid_zyx
        rows, n_sets = min(self.rows, ny), 3 if halves else 1
        lines = n_tilts * n_columns * rows * (4 * 3 + self.dtype.itemsize)
        planes = (n_sets + 1) * nz * nx * rows * 4
        return (
            n_tilts * n_rows * n_columns * 4
            + lines
            + planes
            + building_bytes(nz * nx, n_tilts, self.dtype.itemsize)
            + n_sets * nz * ny * nx * 4
        )

    def cost(self, grid_zyx: Shape3, layout: StripLayout) -> float:
        """Multiply-adds of a block."""
        nz, ny, nx = grid_zyx
        n_tilts, n_rows, n_columns = layout.shape
        return float(2 * n_tilts * nz * ny * nx + n_tilts * n_rows * n_columns)
