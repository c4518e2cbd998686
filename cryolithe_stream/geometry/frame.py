"""The one page of conventions: centres, handedness, tilt sign, and where samples lie.

Stacks are `(tilt, y, x)` and the tilt axis runs along y; volumes are `(z, y, x)`; distances are pixels of
the prepared (aligned, binned) stack. A voxel at (z, y, x) is seen at detector row y and column

    u(θ) = (x − cx)·cos θ + (z − cz)·sin θ + cu

with cx = (nx − 1)/2, cz = (nz − 1)/2, cu = (width − 1)/2 and θ as in IMOD's `.tlt`. This is IMOD's frame after
`trimvol -rx`; Kishore et al. 2025, eq. 4, write −sin: the same curve with z pointing the other way.

A `SampleGrid` says where the points of a box lie; everything that reconstructs takes one and knows nothing else
of volumes. `VolumeFrame` makes them: for voxels, for wavelet coefficients, and on the public program's grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cryolithe_stream.geometry.box import Box
from cryolithe_stream.geometry.types import Floats, Shape2, Shape3

GridName = Literal["true", "public"]


@dataclass(frozen=True, slots=True, eq=False)
class SampleGrid:
    """Where the points of a rectangular grid lie, in pixels of the projections.

    `z_px` `(nz,)` and `x_px` `(nx,)` are distances from the tilt axis, `row_px` `(ny,)` detector rows (fractional,
    0 is the centre of the first row), `axis_px` the detector column of the tilt axis.
    """

    z_px: Floats
    row_px: Floats
    x_px: Floats
    axis_px: float

    @property
    def shape(self) -> Shape3:
        """Points along (z, y, x)."""
        return (len(self.z_px), len(self.row_px), len(self.x_px))

    def cut(self, box: Box) -> SampleGrid:
        """The points of `box` (indices into this grid)."""
        z, y, x = box.slices
        return SampleGrid(self.z_px[z], self.row_px[y], self.x_px[x], self.axis_px)

    def beyond(self, box: Box) -> SampleGrid:
        """The points of `box`, which may leave the grid: there it goes on evenly (by 1 if it has one point)."""
        axes = (self.z_px, self.row_px, self.x_px)
        z, y, x = (_continued(axis, a, b) for axis, a, b in zip(axes, box.start, box.stop, strict=True))
        return SampleGrid(z, y, x, self.axis_px)

    def columns(self, tilts_deg: Floats) -> Floats:
        """Detector column of every (z, x) in each projection: `(tilt, nz, nx)`."""
        theta = np.deg2rad(tilts_deg)[:, None, None]
        return self.x_px[None, None, :] * np.cos(theta) + self.z_px[None, :, None] * np.sin(theta) + self.axis_px


@dataclass(frozen=True, slots=True)
class VolumeFrame:
    """A volume over a detector: shapes, the tilt axis, and shifts of the volume's centre.

    `volume_zyx` voxels; `detector_yx` pixels of the prepared projections; `axis_offset_px` moves the tilt axis from
    the detector's centre column; `shift_zx_px` is the distance of the volume's centre from the axis along (z, x).
    `grid` is "true" (unit spacing) or "public": the public CryoLithe program's, for parity with its output; it pads
    the stack to a square, so there `volume_zyx` is the square one, of which the output is a window.
    """

    volume_zyx: Shape3
    detector_yx: Shape2
    axis_offset_px: float = 0.0
    shift_zx_px: tuple[float, float] = (0.0, 0.0)
    grid: GridName = "true"

    @property
    def axis_px(self) -> float:
        """Detector column of the tilt axis."""
        return (self.detector_yx[1] - 1) / 2 + self.axis_offset_px

    def voxels(self) -> SampleGrid:
        """Where the voxels lie."""
        if self.grid == "public":
            return self._public(self.volume_zyx)
        return self._true(*(np.arange(n, dtype=np.float64) for n in self.volume_zyx))

    def coefficients(self, counts_zyx: Shape3, place: tuple[float, float]) -> SampleGrid:
        """Where one-level wavelet coefficients lie: coefficient k of an axis at `place[0]·k + place[1]` voxels."""
        if self.grid == "public":
            return self._public(counts_zyx)
        step, start = place
        return self._true(*(step * np.arange(m, dtype=np.float64) + start for m in counts_zyx))

    def with_volume(self, volume_zyx: Shape3) -> VolumeFrame:
        """The same frame for a volume of another shape."""
        return replace(self, volume_zyx=volume_zyx)

    def _true(self, z: Floats, y: Floats, x: Floats) -> SampleGrid:
        nz, ny, nx = self.volume_zyx
        rows = self.detector_yx[0]
        z_px = z - (nz - 1) / 2 + self.shift_zx_px[0]
        x_px = x - (nx - 1) / 2 + self.shift_zx_px[1]
        return SampleGrid(z_px, y - (ny - 1) / 2 + (rows - 1) / 2, x_px, self.axis_px)

    def _public(self, counts_zyx: Shape3) -> SampleGrid:
        """`linspace(-1, 1, m)·m/max(m)` along each axis, in half sides of the padded detector (public evaluator)."""
        rows, width = self.detector_yx
        longest, most = max(self.detector_yx), max(counts_zyx)
        z, y, x = (np.linspace(-1.0, 1.0, m) * m / most for m in counts_zyx)
        half_x, half_y = (width - 1) / 2 * longest / width, (rows - 1) / 2 * longest / rows
        return SampleGrid(z * half_x, y * half_y + (rows - 1) / 2, x * half_x, self.axis_px)


def _continued(axis: Floats, start: int, stop: int) -> Floats:
    """Entries start … stop − 1 of an axis that goes on evenly beyond both ends."""
    n = len(axis)
    step = (axis[-1] - axis[0]) / (n - 1) if n > 1 else 1.0
    index = np.arange(start, stop)
    inside = np.clip(index, 0, n - 1)
    return np.asarray(axis[inside] + (index - inside) * step)
