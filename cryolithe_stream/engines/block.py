"""From the strips of a box to its voxels: an engine, and the inverse wavelet where the model works in coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

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
        """Values `(set, channel, z, y, x)`, float32; sets are [all] or [all, odd, even] tilts."""

    def peak_bytes(self, grid_zyx: Shape3, layout: StripLayout, *, halves: bool = False) -> int:
        """Upper bound of the bytes that `reconstruct` holds at once, its strips and output included."""

    def cost(self, grid_zyx: Shape3, layout: StripLayout) -> float:
        """Multiply-adds of a block."""


@dataclass(frozen=True, slots=True, eq=False)
class BlockReconstructor:
    """Voxels of any box of a volume, independent of how the volume is cut."""

    frame: VolumeFrame
    engine: Engine
    wavelet: Wavelet | None = None

    def grid(self, box: Box) -> SampleGrid:
        """The points that are evaluated for a box: its voxels, or the coefficients that they depend on."""
        if self.wavelet is None:
            return self.frame.voxels().cut(box)
        counts = self.wavelet.coefficient_shape(self.frame.volume_zyx)
        return self.frame.coefficients(counts, self.wavelet.place).cut(self.wavelet.coefficients_for_box(box))

    def layout(self, box: Box, tilts_deg: Floats) -> StripLayout:
        """The strips that a box needs."""
        return strips_for_grid(self.grid(box), tilts_deg, halo_yx_px=self.engine.halo_yx_px)

    def voxels(self, box: Box, strips: Strips, *, halves: bool = False) -> Float32s:
        """Voxels `(set, z, y, x)` of a box; sets are [all] or [all, odd, even] tilts."""
        values = self.engine.reconstruct(self.grid(box), strips, halves=halves).cpu()
        if self.wavelet is None:
            return np.ascontiguousarray(values[:, 0].numpy())
        coefficients = self.wavelet.coefficients_for_box(box)
        with torch.inference_mode():
            return np.stack([self.wavelet.inverse(v, coefficients, box).numpy() for v in values])

    def peak_bytes(self, block_zyx: Shape3, layout: StripLayout, *, halves: bool = False) -> int:
        """Upper bound of the bytes held at once for a block of voxels."""
        if self.wavelet is None:
            return self.engine.peak_bytes(block_zyx, layout, halves=halves)
        counts = self._counts(block_zyx)
        n_sets, n_coefficients = 3 if halves else 1, counts[0] * counts[1] * counts[2]
        voxels = block_zyx[0] * block_zyx[1] * block_zyx[2]
        inverse = 4 * (n_sets * self.wavelet.n_channels * n_coefficients + 3 * (n_sets + 2) * voxels)
        return max(self.engine.peak_bytes(counts, layout, halves=halves), inverse)

    def cost(self, block_zyx: Shape3, layout: StripLayout) -> float:
        """Multiply-adds of a block of voxels."""
        return self.engine.cost(block_zyx if self.wavelet is None else self._counts(block_zyx), layout)

    def _counts(self, block_zyx: Shape3) -> Shape3:
        assert self.wavelet is not None
        inside = 64 * self.wavelet.length  # away from the volume's start, where coefficients are cut off
        box = Box.whole(block_zyx).shifted((inside, inside, inside))
        return self.wavelet.coefficients_for_box(box).shape
