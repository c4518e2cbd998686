"""From the strips of a box to its voxels: an engine, and the inverse wavelet where the model works in coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from cryolithe_stream.engines.context import ContextHead
from cryolithe_stream.engines.strips import Strips
from cryolithe_stream.geometry import (
    Box,
    Float32s,
    Floats,
    SampleGrid,
    Shape3,
    StripLayout,
    VolumeFrame,
    strips_for_grid,
)
from cryolithe_stream.network.wavelet import Wavelet


class Engine(Protocol):
    """What evaluates a grid of points from strips: `exact`, `features` or `fbp`."""

    @property
    def halo_yx_px(self) -> tuple[float, float]:
        """How far beyond the sinusoid it reads, in pixels along (row, column)."""

    @property
    def n_channels(self) -> int:
        """Values per point."""

    def reconstruct(self, grid: SampleGrid, strips: Strips, *, halves: bool = False) -> Tensor:
        """Values `(set, channel, z, y, x)`; sets are [all] or [all, odd, even] tilts."""

    def peak_bytes(self, grid_zyx: Shape3, layout: StripLayout, *, halves: bool = False) -> int:
        """Upper bound of the bytes that `reconstruct` holds at once, its strips and output included."""

    def cost(self, grid_zyx: Shape3, layout: StripLayout) -> float:
        """Multiply-adds of a block."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockReconstructor:
    """Voxels of any box of a volume, independent of how the volume is cut.

    An engine evaluates points; a context network, where the model has one, turns the features of these and the points
    around them into values; the inverse wavelet, where the model works in coefficients, turns those into voxels.
    """

    frame: VolumeFrame
    engine: Engine
    wavelet: Wavelet | None = None
    context: ContextHead | None = None

    def grid(self, box: Box) -> SampleGrid:
        """The points that are evaluated for a box."""
        return self._whole().beyond(self._around(self._points(box)))

    def layout(self, box: Box, tilts_deg: Floats) -> StripLayout:
        """The strips that a box needs."""
        return strips_for_grid(self.grid(box), tilts_deg, halo_yx_px=self.engine.halo_yx_px)

    def voxels(self, box: Box, strips: Strips, *, halves: bool = False) -> Float32s:
        """Voxels `(set, z, y, x)` of a box; sets are [all] or [all, odd, even] tilts."""
        points = self._points(box)
        values = self.engine.reconstruct(self.grid(box), strips, halves=halves)
        if self.context is not None:
            values = self.context.values(values, self._around(points), points)
        values = values.cpu().float()
        if self.wavelet is None:
            return np.ascontiguousarray(values[:, 0].numpy())
        with torch.inference_mode():
            return np.stack([self.wavelet.inverse(v, points, box).numpy() for v in values])

    def peak_bytes(self, block_zyx: Shape3, layout: StripLayout, *, halves: bool = False) -> int:
        """Upper bound of the bytes held at once for a block of voxels."""
        points, n_sets = self._most_points(block_zyx), 3 if halves else 1
        steps = [self.engine.peak_bytes(self._most_around(points), layout, halves=halves)]
        if self.context is None:
            steps[0] += 4 * n_sets * self.engine.n_channels * prod(points)  # in float32
        else:
            steps.append(self.context.peak_bytes(self._most_around(points), halves=halves))
        if self.wavelet is not None:
            coefficients = n_sets * self.wavelet.n_channels * prod(points)
            steps.append(4 * (coefficients + 3 * (n_sets + 2) * prod(block_zyx)))
        return max(steps)

    def cost(self, block_zyx: Shape3, layout: StripLayout) -> float:
        """Multiply-adds of a block of voxels."""
        points = self._most_points(block_zyx)
        work = self.engine.cost(self._most_around(points), layout)
        return work if self.context is None else work + self.context.cost(points)

    def _whole(self) -> SampleGrid:
        """All points of the volume: its voxels or its coefficients."""
        if self.wavelet is None:
            return self.frame.voxels()
        counts = self.wavelet.coefficient_shape(self.frame.volume_zyx)
        return self.frame.coefficients(counts, self.wavelet.place)

    def _points(self, box: Box) -> Box:
        """The points whose values a box of voxels depends on."""
        return box if self.wavelet is None else self.wavelet.coefficients_for_box(box)

    def _around(self, points: Box) -> Box:
        """The points that are evaluated for values at `points`."""
        return points if self.context is None else self.context.network.input_box(points)

    def _most_points(self, block_zyx: Shape3) -> Shape3:
        if self.wavelet is None:
            return block_zyx
        inside = 64 * self.wavelet.length  # away from the volume's start, where coefficients are cut off
        return self.wavelet.coefficients_for_box(Box.whole(block_zyx).shifted((inside, inside, inside))).shape

    def _most_around(self, points_zyx: Shape3) -> Shape3:
        return points_zyx if self.context is None else self.context.network.input_shape(points_zyx)
