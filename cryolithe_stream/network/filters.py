"""Filters of the projections, applied frame by frame along x: what localises a voxel's information (paper, 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from cryolithe_stream.errors import ModelError
from cryolithe_stream.geometry import Floats, Shape2

ROWS_AT_ONCE = 256


class Ramp(Protocol):
    """A one-dimensional filter along x, as the kernel of a circular convolution."""

    @property
    def kind(self) -> str:
        """The filter's name in configurations and model files."""

    def kernel(self, width: int) -> Floats:
        """Real kernel `(n,)` for rows of `width` pixels: tap j ≥ 0 at j, tap −j at n − j; rows are zero-padded to n.

        Raises ModelError when the filter does not fit rows so wide.
        """

    def settings(self) -> Mapping[str, Any]:
        """What defines the filter besides its tensors, as JSON types."""

    def tensors(self) -> Mapping[str, Tensor]:
        """The filter's tensors, float32."""


class FrameFilter(Protocol):
    """A two-dimensional filter of one frame, applied before the ramp."""

    @property
    def kind(self) -> str:
        """The filter's name in configurations and model files."""

    def apply(self, frame: Tensor) -> Tensor:
        """The filtered frame `(y, x)`."""

    def peak_bytes(self, frame_yx: Shape2) -> int:
        """Upper bound of the bytes that `apply` holds, its outcome included, the frame itself not."""

    def settings(self) -> Mapping[str, Any]:
        """What defines the filter besides its tensors, as JSON types."""

    def tensors(self) -> Mapping[str, Tensor]:
        """The filter's tensors, float32."""


@dataclass(frozen=True, slots=True)
class CosineRamp:
    """The ramp 2·|f| with a cosine window, the plain filter of filtered back-projection.

    Rows are padded to L = 4·⌈width/2⌉, at least twice their width. The ramp is the transform of its band-limited kernel
    (Kak and Slaney 1988, eq. 61), 1/4 at 0, −1/(πj)² at odd j, 0 at even j, so that its gain at f = 0 is that of a
    finite row, not 0. L is a multiple of 4: the usual formula places the odd taps wrongly where L/2 is odd.
    """

    @property
    def kind(self) -> str:
        """The filter's name in configurations and model files."""
        return "cosine"

    def kernel(self, width: int) -> Floats:
        """Real kernel `(L,)` for rows of `width` pixels."""
        length = 4 * -(-width // 2)
        distance = np.minimum(np.arange(length), length - np.arange(length))
        ramp = np.zeros(length)
        ramp[0] = 0.25
        ramp[distance % 2 == 1] = -1 / (np.pi * distance[distance % 2 == 1]) ** 2
        response = 2 * np.fft.rfft(ramp).real * np.cos(np.pi * np.fft.rfftfreq(length))
        return np.fft.irfft(response, length)

    def settings(self) -> Mapping[str, Any]:
        """Nothing: the filter has no settings."""
        return {}

    def tensors(self) -> Mapping[str, Tensor]:
        """Nothing: the filter is a formula."""
        return {}


@dataclass(frozen=True, slots=True, eq=False)
class ProjectionFilter:
    """What is done to each normalised frame before it is stored: a filter of the frame, a ramp along x, or neither."""

    ramp: Ramp | None = None
    frame: FrameFilter | None = None

    @property
    def kind(self) -> str:
        """The filter's name, for people and provenance."""
        return " + ".join(part.kind for part in (self.frame, self.ramp) if part is not None) or "none"

    def check_width(self, width: int) -> None:
        """Raise ModelError when rows of `width` pixels do not fit the filter."""
        if self.ramp is not None:
            self.ramp.kernel(width)

    def apply(self, frames: Tensor) -> Tensor:
        """Filtered frames, `(…, y, x)` float32 like `frames`; a frame's outcome does not depend on the others."""
        if self.frame is not None:
            flat = [self.frame.apply(frame) for frame in frames.reshape(-1, *frames.shape[-2:])]
            frames = torch.stack(flat).reshape(frames.shape)
        return frames if self.ramp is None else _convolved(frames, self.ramp.kernel(frames.shape[-1]))

    def peak_bytes(self, frame_yx: Shape2) -> int:
        """Upper bound of the bytes that `apply` holds for one frame, its outcome included, the frame itself not."""
        rows, width = frame_yx
        frame = 4 * rows * width
        two_d = 0 if self.frame is None else 2 * frame + self.frame.peak_bytes(frame_yx)
        if self.ramp is None:
            return two_d
        n = len(self.ramp.kernel(width))
        ramp = frame + 20 * n * min(rows, ROWS_AT_ONCE) + 40 * n
        return ramp if self.frame is None else max(two_d, frame + ramp)


def check_fits(kind: str, width: int, longest: int) -> None:
    """Raise ModelError when rows are wider than the response that a checkpoint stores."""
    if width > longest:
        raise ModelError(
            f"the model's {kind} filter is stored for rows of at most {longest} pixels, the projections have {width}",
            fix="Bin the projections (--bin), or use a model whose filter fits any width",
        )


def _convolved(rows: Tensor, kernel: Floats) -> Tensor:
    """Circular convolution along x over `len(kernel)` pixels, cut to the rows' width, some rows at a time."""
    n, width = len(kernel), rows.shape[-1]
    response = torch.from_numpy(np.fft.rfft(kernel)).to(torch.complex64).to(rows.device)
    filtered = torch.empty_like(rows, memory_format=torch.contiguous_format)
    source, target = rows.reshape(-1, width), filtered.view(-1, width)
    for first in range(0, len(source), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        target[part] = torch.fft.irfft(torch.fft.rfft(source[part], n=n) * response, n=n)[:, :width]
    return filtered
