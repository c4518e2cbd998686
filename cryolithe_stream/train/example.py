"""One training example: a piece of the projections, the points it is asked for, and the truth there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cryolithe_stream.geometry import Box, Float32s, Floats, SampleGrid
from cryolithe_stream.geometry.strips import column_ranges, row_range
from cryolithe_stream.network.wavelet import Wavelet
from cryolithe_stream.train.scene import Range, Scene, truth_around
from cryolithe_stream.train.sections import SamplingOptions

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A box of grid points that is predicted as a whole.

    `projections` `(tilt, row, column)` hold all that the box's patches see; `grid` is in their pixels. The loss is
    taken over the part `keep` of the box, whose truth `target` is, `(channel, z, y, x)`: the rest lacks neighbours or
    lies outside. `spread` is the truth's standard deviation.
    """

    projections: Tensor
    tilts_deg: Floats
    grid: SampleGrid
    target: Tensor
    keep: Box
    spread: float


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Points with the detector columns `(tilt, point)` and rows `(point,)` where they are seen.

    `projections` `(tilt, row, column)`, columns and rows in their pixels, `target` `(channel, point)`.
    """

    projections: Tensor
    tilts_deg: Floats
    columns: Tensor
    rows: Tensor
    target: Tensor
    spread: float


Example = Crop | Points


@dataclass(frozen=True, slots=True)
class Sampler:
    """How examples are cut out of scenes.

    `reach_px` is how far a patch sees from its centre. `margin` counts the grid points at the two ends of an axis that
    lack neighbours when a context network sees the crop alone, `loose` those that drawn examples leave out (None: as
    many); crops begin at multiples of `stride` and may leave the volume, as blocks do in a reconstruction.
    `whole_rows` keeps the detector's full width, for a learned filter.
    """

    options: SamplingOptions
    reach_px: float
    wavelet: Wavelet | None = None
    margin: Span = (0, 0)
    stride: int = 1
    whole_rows: bool = False
    loose: Span | None = None

    def draw(self, scene: Scene, rng: np.random.Generator) -> Example:
        """A random example of a scene."""
        inside = self.grid_box(scene, scene.inside)
        if self.options.kind == "points":
            return self._points(scene, inside, rng)
        drawn = self if self.loose is None else replace(self, margin=self.loose)
        spans = [
            drawn._span(a, b, size, rng)
            for a, b, size in zip(inside.start, inside.stop, self.options.crop_zyx or (None,) * 3, strict=True)
        ]
        return drawn.crop(scene, _box(spans), inside)

    def crop(self, scene: Scene, box: Box, inside: Box) -> Crop:
        """The example of a box of grid points; the loss stays `inside`."""
        grid = self._grid(scene, box)
        projections, rows, columns = self._read(scene, grid)
        shifted = SampleGrid(grid.z_px, grid.row_px - rows[0], grid.x_px, grid.axis_px - columns[0])
        low, high = self.margin
        ends = zip(box.start, box.stop, inside.start, inside.stop, strict=True)
        kept = _box([(max(a + low, first), min(b - high, past)) for a, b, first, past in ends])
        z, y, x = box.start
        target = torch.from_numpy(np.ascontiguousarray(self._target(scene, kept)))
        return Crop(projections, scene.tilts_deg, shifted, target, kept.shifted((-z, -y, -x)), scene.spread)

    def whole(self, inside: Box) -> Box:
        """The crop that keeps all of a box of grid points."""
        return _box([self._whole(a, b) for a, b in zip(inside.start, inside.stop, strict=True)])

    def grid_box(self, scene: Scene, voxels: Box) -> Box:
        """The grid points inside a box of voxels: the voxels, or the coefficients that lie in it."""
        if self.wavelet is None:
            return voxels
        counts, (step, start) = self.wavelet.coefficient_shape(scene.frame.volume_zyx), self.wavelet.place
        spans = []
        for a, b, n in zip(voxels.start, voxels.stop, counts, strict=True):
            first = min(max(0, int(np.ceil((a - start) / step))), n - 1)
            spans.append((first, min(n, max(first, int(np.floor((b - 1 - start) / step))) + 1)))
        return _box(spans)

    def _span(self, first: int, past: int, size: int | None, rng: np.random.Generator) -> Span:
        """A random stretch of an axis of `size` points, whole strides, whose kept part lies inside first … past − 1.

        It may leave it by less than a stride, so that the ends are trained as often as they can be.
        """
        a, b = self._whole(first, past)
        n = b - a if size is None else min(b - a, max(self.stride, size - size % self.stride))
        start = a + self.stride * int(rng.integers((b - a - n) // self.stride + 1))
        return start, start + n

    def _whole(self, first: int, past: int) -> Span:
        low, high = self.margin
        return (first - low) // self.stride * self.stride, -(-(past + high) // self.stride) * self.stride

    def _points(self, scene: Scene, inside: Box, rng: np.random.Generator) -> Points:
        """Random points of a random slab of rows."""
        (z0, y0, x0), (nz, ny, nx) = inside.start, inside.shape
        n_rows = min(self.options.rows, ny)
        first = y0 + int(rng.integers(ny - n_rows + 1))
        slab = Box((z0, first, x0), (z0 + nz, first + n_rows, x0 + nx))
        z, y, x = (rng.integers(n, size=self.options.points) for n in slab.shape)
        grid = self._grid(scene, slab)
        projections, rows, columns = self._read(scene, grid)
        theta = np.deg2rad(scene.tilts_deg)[:, None]
        seen = grid.x_px[x] * np.cos(theta) + grid.z_px[z] * np.sin(theta) + grid.axis_px - columns[0]
        return Points(
            projections,
            scene.tilts_deg,
            torch.from_numpy(seen),
            torch.from_numpy(grid.row_px[y] - rows[0]),
            torch.from_numpy(np.ascontiguousarray(self._target(scene, slab)[:, z, y, x])),
            scene.spread,
        )

    def _grid(self, scene: Scene, box: Box) -> SampleGrid:
        """Where the points of a box lie, which may leave the volume."""
        frame, wavelet = scene.frame, self.wavelet
        if wavelet is None:
            return frame.voxels().beyond(box)
        return frame.coefficients(wavelet.coefficient_shape(frame.volume_zyx), wavelet.place).beyond(box)

    def _target(self, scene: Scene, box: Box) -> Float32s:
        """The truth `(channel, z, y, x)` at a box of grid points.

        Coefficient k needs voxels 2k + 2 − L … 2k + 1: those of the box, transformed alone, hold its coefficients
        behind L/2 − 1 others.
        """
        if self.wavelet is None:
            return truth_around(scene, box)[None]
        length = self.wavelet.length
        voxels = truth_around(scene, _box([(2 * a + 2 - length, 2 * b) for a, b in _spans(box)]))
        first = length // 2 - 1
        z, y, x = (slice(first, first + n) for n in box.shape)
        return self.wavelet.forward(voxels)[:, z, y, x]

    def _read(self, scene: Scene, grid: SampleGrid) -> tuple[Tensor, Range, Range]:
        """The projections that a grid's patches see, with their rows and columns on the detector."""
        height, width = scene.frame.detector_yx
        rows = _clipped(*row_range(grid, halo_px=self.reach_px), height)
        ranges = column_ranges(grid, scene.tilts_deg, halo_px=self.reach_px + 2)
        columns = (0, width) if self.whole_rows else _clipped(int(ranges.min()), int(ranges.max()), width)
        found = np.ascontiguousarray(scene.projections(rows, columns), dtype=np.float32)
        return torch.from_numpy(found), rows, columns


def _spans(box: Box) -> list[Span]:
    return list(zip(box.start, box.stop, strict=True))


def _box(spans: list[Span]) -> Box:
    (z0, z1), (y0, y1), (x0, x1) = spans
    return Box((z0, y0, x0), (z1, y1, x1))


def _clipped(first: int, past: int, size: int) -> Range:
    start = min(max(first, 0), size - 1)
    return start, max(start + 1, min(past, size))
