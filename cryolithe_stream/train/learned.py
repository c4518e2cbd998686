"""What may be learned besides the network: the filter along x, and the spacing of the patch's samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cryolithe_stream.network.filters import CosineRamp, ProjectionFilter
from cryolithe_stream.network.public_filters import RealTaps

_TAPS = 1024
_BANDS = 33


class LearnedFilter(nn.Module):
    """A symmetric filter along x: the cosine ramp times a gain that is learned at 33 frequencies and linear between.

    It works, in training and afterwards, as the `RealTaps` of the response's 1024 taps, so it fits rows of any width.
    """

    def __init__(self) -> None:
        """The cosine ramp, for now."""
        super().__init__()
        self.gain = nn.Parameter(torch.ones(_BANDS))
        ramp = torch.from_numpy(np.fft.rfft(CosineRamp().kernel(_TAPS // 2)).real)
        self.register_buffer("ramp", ramp.to(torch.float32), persistent=False)

    def taps(self) -> Tensor:
        """The filter in real space, `(1024,)`: distances 0, 1, … from the front, −1, −2, … from the back."""
        ramp = torch.as_tensor(self.ramp)
        gain = functional.interpolate(self.gain[None, None], size=len(ramp), mode="linear", align_corners=True)[0, 0]
        return torch.as_tensor(torch.fft.irfft(ramp * gain, n=_TAPS))

    def forward(self, rows: Tensor) -> Tensor:
        """Filtered rows `(…, x)`, as `RealTaps` would have them."""
        width = rows.shape[-1]
        taps, n = self.taps(), min(_TAPS, width)
        front, back = n // 2, n - n // 2
        kernel = torch.cat([taps[:front], taps.new_zeros(2 * width - n), taps[len(taps) - back :]])
        spectrum = torch.fft.rfft(rows, n=2 * width) * torch.fft.rfft(kernel)
        return torch.as_tensor(torch.fft.irfft(spectrum, n=2 * width)[..., :width])

    def as_filter(self) -> ProjectionFilter:
        """The filter as it is now, for a model."""
        return ProjectionFilter(ramp=RealTaps(_TAPS, self.taps().detach().cpu().clone()))


class PatchScale(nn.Module):
    """The spacing of the patch's samples in pixels: between half and twice what it starts from."""

    def __init__(self, scale: float) -> None:
        """The spacing to start from."""
        super().__init__()
        self.start = scale
        self.octaves = nn.Parameter(torch.zeros(()))

    def forward(self) -> Tensor:
        """The spacing, a scalar."""
        return self.start * 2 ** self.octaves.tanh()


def sample_patches(projections: Tensor, columns: Tensor, rows: Tensor, offsets_px: Tensor) -> Tensor:
    """Bilinear samples `(point, tilt, row, column)` of the patches around points (paper, eq. 6), zero outside.

    `projections` `(tilt, row, column)`, `columns` `(tilt, point)` and `rows` `(point,)` in their pixels, `offsets_px`
    `(P,)` from the patch's centre. Differentiable in the projections and the offsets.
    """
    n_tilts, height, width = projections.shape
    padded = functional.pad(projections, (1, 2, 1, 2))
    v = (rows[:, None] + offsets_px + 1).clamp(0, height + 1)[:, None, :, None]  # (point, 1, row, 1)
    u = (columns.T[:, :, None] + offsets_px + 1).clamp(0, width + 1)[:, :, None, :]  # (point, tilt, 1, column)
    v0, u0 = v.detach().floor(), u.detach().floor()
    fv, fu = (v - v0).to(projections.dtype), (u - u0).to(projections.dtype)
    iv, iu = v0.to(torch.int64), u0.to(torch.int64)
    t = torch.arange(n_tilts, device=projections.device)[None, :, None, None]
    low = padded[t, iv, iu] * (1 - fu) + padded[t, iv, iu + 1] * fu
    high = padded[t, iv + 1, iu] * (1 - fu) + padded[t, iv + 1, iu + 1] * fu
    return low * (1 - fv) + high * fv
