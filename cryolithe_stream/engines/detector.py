"""The columns of the detector on which set features are evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cryolithe_stream.geometry import Ints


@dataclass(frozen=True, slots=True, eq=False)
class DetectorGrid:
    """The columns on which set features are evaluated: `oversample` a pixel, from pixel `first_pixel` of each tilt.

    `taps` `(T, K·P)` interpolates the P patch samples of the K phases of a pixel from T neighbouring columns.
    """

    taps: Tensor
    first_pixel: Ints
    n_pixels: int
    oversample: int

    @classmethod
    def over(
        cls, first_column: Ints, n_columns: int, offsets_px: Tensor, oversample: int, device: torch.device
    ) -> DetectorGrid:
        """The grid whose patches lie wholly inside strips of `n_columns` that begin at `first_column`."""
        phase = torch.arange(oversample, dtype=torch.float64)[:, None] / oversample
        position = phase + offsets_px[None, :]
        lower = torch.floor(position)
        first, n_taps = int(lower.min()), int(lower.max() - lower.min()) + 2
        taps = torch.zeros(n_taps, position.numel(), dtype=torch.float64)
        sample = torch.arange(position.numel())
        fraction, tap = (position - lower).flatten(), (lower - first).to(torch.int64).flatten()
        taps[tap, sample] = 1.0 - fraction
        taps[tap + 1, sample] += fraction
        return cls(taps.float().to(device), first_column - first, n_columns - n_taps + 1, oversample)

    def windows(self, lines: Tensor) -> Tensor:
        """What the patches of each pixel's K phases are interpolated from: `(tilt, P, pixel, T)`, a view of lines."""
        return lines.unfold(-1, len(self.taps), 1)

    @property
    def n_positions(self) -> int:
        """Positions per tilt."""
        return self.n_pixels * self.oversample

    def patches(self, lines: Tensor, *, by_column: bool) -> Tensor:
        """Patch samples `(tilt, slice, position, P)` from lines `(tilt, P, column)`; slices are rows or columns."""
        n_tilts, size, _ = lines.shape
        windows = self.windows(lines) @ self.taps.to(lines.dtype)
        if not by_column:
            return windows.reshape(n_tilts, size, self.n_positions, size)
        split = windows.reshape(n_tilts, size, self.n_positions, size)
        return split.permute(0, 3, 2, 1)
