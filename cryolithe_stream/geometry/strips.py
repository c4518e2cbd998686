"""The strips of the projections that a box of voxels needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.geometry.frame import SampleGrid
from cryolithe_stream.geometry.types import Floats, Ints, Shape2, Shape3


@dataclass(frozen=True, slots=True, eq=False)
class StripLayout:
    """Which part of each projection to read: rows shared by all tilts, columns that follow the sinusoid.

    Row `first_row + i` and, of tilt t, column `first_column[t] + j`, for i < n_rows, j < n_columns. Rows and columns
    may lie outside the detector: what is read there is zero.
    """

    first_row: int
    n_rows: int
    first_column: Ints
    n_columns: int

    @property
    def shape(self) -> Shape3:
        """Shape `(tilt, row, column)` of the array that is read."""
        return (len(self.first_column), self.n_rows, self.n_columns)

    def stored_pixels(self, detector_yx: Shape2) -> int:
        """Pixels of it that lie on the detector, which is what a reader fetches."""
        rows, width = detector_yx
        n_rows = max(0, min(rows, self.first_row + self.n_rows) - max(0, self.first_row))
        last = np.minimum(self.first_column + self.n_columns, width)
        return n_rows * int(np.maximum(0, last - np.maximum(0, self.first_column)).sum())


def column_ranges(grid: SampleGrid, tilts_deg: Floats, *, halo_px: float) -> Ints:
    """Detector columns that each projection must supply to reconstruct a grid, `(tilt, 2)`, half-open.

    A point at (z, x) from the tilt axis traces u(θ) = x·cos θ + z·sin θ (paper, eq. 4; sign as in `frame`). A box
    traces a band, widened by `halo_px` and by the neighbour that linear interpolation reads. Not clipped.
    """
    theta = np.deg2rad(tilts_deg)[:, None]
    x, z = grid.x_px[[0, -1]], grid.z_px[[0, -1]]
    corners = (x[:, None] * np.cos(theta)[..., None] + z[None, :] * np.sin(theta)[..., None]).reshape(len(tilts_deg), 4)
    first = np.floor(corners.min(axis=1) + grid.axis_px - halo_px).astype(np.int64)
    last = np.floor(corners.max(axis=1) + grid.axis_px + halo_px).astype(np.int64) + 1
    return np.stack([first, last + 1], axis=1)


def row_range(grid: SampleGrid, *, halo_px: float) -> tuple[int, int]:
    """Detector rows that a grid needs, half-open, with halo and interpolation neighbour. Not clipped."""
    first = int(np.floor(grid.row_px.min() - halo_px))
    last = int(np.floor(grid.row_px.max() + halo_px)) + 1
    return first, last + 1


def strips_for_grid(grid: SampleGrid, tilts_deg: Floats, *, halo_yx_px: tuple[float, float]) -> StripLayout:
    """The strips that a grid needs, as one rectangle per tilt of a common width."""
    columns = column_ranges(grid, tilts_deg, halo_px=halo_yx_px[1])
    first_row, last_row = row_range(grid, halo_px=halo_yx_px[0])
    width = int((columns[:, 1] - columns[:, 0]).max())
    return StripLayout(first_row, last_row - first_row, columns[:, 0].copy(), width)
