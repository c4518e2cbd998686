"""The zero-padded wavelet transform of volumes, and its inverse block by block.

One level splits each axis in two (PyWavelets, mode "zero"). With analysis filters h and synthesis filters g of even
length L, coefficient k of an axis of n voxels, 0 ≤ k < ⌊(n + L − 1)/2⌋, and voxel i are

    c[k] = Σ_j h[j]·x[2k + 1 − j],        x[i] = Σ_bands Σ_k g[i − 2k + L − 2]·c[k]

The order of bands is that of the public checkpoints, whose arrays are ordered (y, x, z): a band's number has bit 4 set
where the filter along y is high-pass, bit 2 along x, bit 1 along z. A second level splits every band again: channel
8·b₂ + b₁ is band b₂ of the second level of band b₁.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import numpy as np
import pywt
import torch
from torch import Tensor
from torch.nn import functional

from cryolithe_stream.errors import ModelError
from cryolithe_stream.geometry import Box, Float32s, Shape3

Array = TypeVar("Array", Tensor, Float32s)

_Y_X_Z = (-2, -1, -3)


@dataclass(frozen=True, slots=True)
class Wavelet:
    """A discrete wavelet of PyWavelets, applied `levels` times to every band.

    Raises ModelError when PyWavelets has no such discrete wavelet or `levels` is not 1 or 2.
    """

    name: str
    levels: int = 1

    def __post_init__(self) -> None:
        known = pywt.wavelist(kind="discrete")
        if self.name not in known:
            near = difflib.get_close_matches(str(self.name), known, n=1)
            raise ModelError(
                f"{self.name!r} is not a discrete wavelet of PyWavelets", fix=f"Did you mean {near[0]}?" if near else ""
            )
        if self.levels not in (1, 2):
            raise ModelError(f"{self.levels!r} wavelet levels are asked for, 1 and 2 are supported")

    @property
    def n_channels(self) -> int:
        """Coefficients at each place: 8, or 64 for two levels."""
        return int(8**self.levels)

    @property
    def length(self) -> int:
        """Taps of each filter, L (even)."""
        return int(pywt.Wavelet(self.name).dec_len)

    @property
    def place(self) -> tuple[float, float]:
        """Where coefficients lie: number k of an axis at `place[0]·k + place[1]` voxels.

        One level puts coefficient k at 2k + 1 − Σ j·h_j/Σ h_j, h the low-pass analysis filter.
        """
        low = np.asarray(pywt.Wavelet(self.name).dec_lo)
        start = 1 - float(np.arange(len(low)) @ low / low.sum())
        step = 2.0**self.levels
        return step, (step - 1) * start

    def coefficient_shape(self, shape_zyx: Shape3) -> Shape3:
        """Coefficients along (z, y, x) of a volume of `shape_zyx` voxels."""
        for _ in range(self.levels):
            shape_zyx = _shape3((n + self.length - 1) // 2 for n in shape_zyx)
        return shape_zyx

    def coefficients_for_box(self, box: Box) -> Box:
        """The coefficients that a box of voxels depends on."""
        return self._boxes(box)[-1]

    def inverse(self, coefs: Array, coefficient_box: Box, voxel_box: Box) -> Array:
        """The voxels `(z, y, x)` of `voxel_box`, equal to that part of the whole volume's inverse.

        `coefs` `(channel, z, y, x)` are the coefficients of `coefficient_box`, which contains
        `coefficients_for_box(voxel_box)`. An array gives an array, a tensor a tensor on its device.
        """
        boxes = self._boxes(voxel_box)
        assert coefs.shape == (self.n_channels, *coefficient_box.shape), "coefs are those of coefficient_box"
        assert _contains(coefficient_box, boxes[-1]), "coefficient_box holds all that voxel_box needs"
        window = boxes[-1].shifted(_shape3(-i for i in coefficient_box.start))
        z, y, x = window.slices
        data = torch.as_tensor(coefs)[:, z, y, x]
        filters = pywt.Wavelet(self.name)
        for out in reversed(boxes[:-1]):
            bands = data.reshape(8, -1, *data.shape[1:])
            for axis in _Y_X_Z:
                low, high = bands.chunk(2)
                bands = _synthesise(low, high, filters, axis, (out.start[axis], out.stop[axis]))
            data = bands[0]
        return data[0] if isinstance(coefs, Tensor) else cast("Array", data[0].numpy())

    def forward(self, volume: Array) -> Array:
        """The coefficients `(channel, z, y, x)` of a whole volume `(z, y, x)`; differentiable for tensors."""
        data = torch.as_tensor(volume)[None]
        filters = pywt.Wavelet(self.name)
        for _ in range(self.levels):
            bands = data[None]
            for axis in reversed(_Y_X_Z):
                bands = torch.cat([_analyse(bands, taps, axis) for taps in (filters.dec_lo, filters.dec_hi)])
            data = bands.flatten(0, 1)
        return data if isinstance(volume, Tensor) else cast("Array", data.numpy())

    def _boxes(self, voxels: Box) -> list[Box]:
        """A box of voxels and what it needs of each level's coefficients, first level to last."""
        boxes = [voxels]
        for _ in range(self.levels):
            start = _shape3(i // 2 for i in boxes[-1].start)
            stop = _shape3((i - 1) // 2 + self.length // 2 for i in boxes[-1].stop)
            boxes.append(Box(start, stop))
        return boxes


def _synthesise(low: Tensor, high: Tensor, filters: pywt.Wavelet, axis: int, span: tuple[int, int]) -> Tensor:
    """Voxels `span` of one axis from the coefficients that they need, of both bands.

    Voxel 2q + p is Σ_t g[L − 2 + p − 2t]·c[q + t], 0 ≤ t < L/2; coefficients start at q = span[0]//2. The order of
    summation is the same for every voxel, wherever a block begins.
    """
    start, stop = span
    first, n_pairs = start // 2, (stop - 1) // 2 + 1 - start // 2
    phases = []
    for phase in (0, 1):
        total: Tensor | None = None
        for band, taps in ((low, filters.rec_lo), (high, filters.rec_hi)):
            for t, tap in enumerate(taps[phase - 2 :: -2]):
                if tap != 0.0:
                    part = band.narrow(axis, t, n_pairs)
                    total = part * tap if total is None else total.add_(part, alpha=tap)
        phases.append(torch.zeros_like(low.narrow(axis, 0, n_pairs)) if total is None else total)
    where = low.ndim + axis
    merged = torch.stack(phases, dim=where + 1).flatten(where, where + 1)
    return merged.narrow(axis, start - 2 * first, stop - start)


def _analyse(data: Tensor, taps: Sequence[float], axis: int) -> Tensor:
    """One band of one axis: c[k] = Σ_j h[j]·x[2k + 1 − j], x zero outside."""
    length, n = len(taps), data.shape[axis]
    count = (n + length - 1) // 2
    padded = functional.pad(data, [0, 0] * (-axis - 1) + [length - 2, 2 * count - n])
    total = torch.zeros_like(padded.narrow(axis, 0, count))
    index: list[slice] = [slice(None)] * data.ndim
    for j, tap in enumerate(taps):
        if tap != 0.0:
            index[axis] = slice(length - 1 - j, length - 1 - j + 2 * count - 1, 2)
            total = total.add_(padded[tuple(index)], alpha=tap)
    return total


def _contains(outer: Box, inner: Box) -> bool:
    return all(a <= b for a, b in zip(outer.start, inner.start, strict=True)) and all(
        a >= b for a, b in zip(outer.stop, inner.stop, strict=True)
    )


def _shape3(values: Iterable[int]) -> Shape3:
    z, y, x = values
    return (z, y, x)
