"""Steps of a convolutional network over arrays larger than any cache: in place, a few planes along z at a time.

What a step makes of its planes is small enough to be used again for the next ones, while a whole array is fresh memory
each time, which costs more than the sum that is written to it. Arrays are `(batch, channel, z, y, x)`, channels last in
memory, and may be parts of larger ones. All but `pointwise` are for inference: they keep no gradients.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryolithe_stream.geometry import Shape3

_CPU_BYTES, _GPU_BYTES = 4 << 20, 128 << 20
"""What a step makes at once: a few caches' worth; on a GPU, which wants few and large kernels, a little memory."""

_ONEDNN_ROWS = 20480
"""In float32 torch leaves arrays of no more channels times planes times rows to its slow convolution."""


def residual_(h: Tensor, convolution: nn.Conv3d) -> None:
    """Add relu(convolution(h)) to h, zeros around it; a 3 × 3 × 3 convolution without bias.

    Planes are added to when the next ones, which still see them as they were, have been convolved.
    """
    nz, ny = h.shape[2:4]
    waiting: tuple[slice, Tensor] | None = None
    for planes in _slabs(nz, _convolved_at_once(_planes(h), h.shape[1], ny)):
        change = F.relu_(F.conv3d(_with_neighbours(h, planes), convolution.weight, padding=(0, 1, 1)))
        if waiting:
            h[:, :, waiting[0]] += waiting[1]
        waiting = planes, change
    if waiting:
        h[:, :, waiting[0]] += waiting[1]


def coarser(h: Tensor, convolution: nn.Conv3d) -> Tensor:
    """The values relu(convolution(h)) of a 2 × 2 × 2 convolution of stride 2; all three sides are even."""
    shape = (len(h), convolution.out_channels, *(n // 2 for n in h.shape[2:]))
    out = torch.empty(shape, dtype=h.dtype, device=h.device, memory_format=torch.channels_last_3d)
    for planes in _slabs(shape[2], max(1, _planes(h) // 2)):
        part = h[:, :, 2 * planes.start : 2 * planes.stop]
        out[:, :, planes] = F.relu_(convolution(part))
    return out


def add_finer_(h: Tensor, coarse: Tensor) -> None:
    """Turn h into relu(h + coarse), with `coarse` interpolated linearly to twice its planes, rows and columns."""
    nz = coarse.shape[2]
    for planes in _slabs(nz, max(1, _planes(h) // 2)):
        first, last = max(planes.start - 1, 0), min(planes.stop + 1, nz)
        fine = F.interpolate(coarse[:, :, first:last], scale_factor=2.0, mode="trilinear", align_corners=False)
        own = slice(2 * (planes.start - first), 2 * (planes.stop - first))
        part = h[:, :, 2 * planes.start : 2 * planes.stop]
        F.relu_(part.add_(fine[:, :, own]))


def pointwise(h: Tensor, convolution: nn.Conv3d) -> Tensor:
    """A 1 × 1 × 1 convolution of h."""
    return torch.cat([convolution(h[:, :, planes]) for planes in _slabs(h.shape[2], _planes(h))], dim=2)


def scratch_bytes(width: int, shape_zyx: Shape3, dtype: torch.dtype, device: torch.device) -> int:
    """Upper bound of what a step over `width` channels of a shape takes besides h and what it returns.

    That is two changes, and what is convolved where h is a part of a larger array.
    """
    nz, ny, nx = shape_zyx
    plane = width * ny * nx * dtype.itemsize
    count = max(1, nz // _convolved_at_once(_budget(device) // plane, width, ny))
    return (3 * -(-nz // count) + 2) * plane


def _with_neighbours(h: Tensor, planes: slice) -> Tensor:
    """The planes and one more on either side, zeros beyond h."""
    first, last = planes.start - 1, planes.stop + 1
    known = h[:, :, max(first, 0) : last]
    missing = (max(-first, 0), max(last - h.shape[2], 0))
    return F.pad(known, (0, 0, 0, 0, *missing)) if any(missing) else known


def _convolved_at_once(planes: int, width: int, rows: int) -> int:
    return max(1, planes, _ONEDNN_ROWS // (width * rows))


def _planes(h: Tensor) -> int:
    """Planes of h that one step takes."""
    return max(1, _budget(h.device) // (h[:, :, 0].numel() * h.element_size()))


def _budget(device: torch.device) -> int:
    return _CPU_BYTES if device.type == "cpu" else _GPU_BYTES


def _slabs(n: int, least: int) -> Iterator[slice]:
    """Parts of n planes, of `least` planes or a little more, and of nearly equal size."""
    count = max(1, n // least)
    return (slice(n * i // count, n * (i + 1) // count) for i in range(count))
