"""The soft window in which volumes are compared: a cosine at the edges of a box, and a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.evaluate.volumes import PIECE_VOXELS, Volume, pieces, read_finite
from cryolithe_stream.geometry import Box, Float32s, Floats, Shape3

DEFAULT_TAPER = 0.125
_HIGHEST = 1e25  # so that the transform stays within float32


def cosine_edge(n: int, taper: float) -> Floats:
    """Weights `(n,)`: one inside, falling to zero as a cosine over the share `taper` of the side at each end.

    The falling part of one window and the rising part of the next, laid over it, add up to one.
    """
    if not 0 <= taper <= 0.5:
        raise InputError(f"a taper of {taper} of each side is asked for", fix="Give a share from 0 to 0.5")
    weights = np.ones(n)
    width = round(taper * n)
    if width:
        ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(width) + 0.5) / width)
        weights[:width] *= ramp
        weights[n - width :] *= ramp[::-1]
    return weights


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The share `taper` of each side over which a box's edges fall to zero, and a mask of the whole volume or None."""

    taper: float = DEFAULT_TAPER
    mask: Volume | None = None

    def weights(self, box: Box, part: Box) -> Float32s:
        """Weights of a part of a box, float32 `(z, y, x)`; both boxes in voxels of the volume."""
        inside = part.shifted((-box.start[0], -box.start[1], -box.start[2])).slices
        z, y, x = (cosine_edge(n, self.taper)[s].astype(np.float32) for n, s in zip(box.shape, inside, strict=True))
        weights: Float32s = z[:, None, None] * y[:, None] * x
        if self.mask is not None:
            weights *= mask_values(self.mask, part)
        return weights


def mask_values(mask: Volume, box: Box) -> Float32s:
    """A mask's values in a box; InputError when they are negative, NaN or infinite."""
    values = read_finite(mask, box)
    if values.size and values.min() < 0:
        raise InputError(f"mask {mask.name} has values below 0", fix="Give weights from 0 (left out) to 1 (counted)")
    return values


def windowed(volume: Volume, box: Box, window: Window) -> Float32s | None:
    """The box of a volume, float32 `(z, y, x)`, less its weighted mean, times the window.

    None where there is nothing to compare: the window is empty there, or the volume constant. Reads piece by piece.
    Raises InputError for NaN and infinite voxels, and for values whose transform overflows.
    """
    out = np.empty(box.shape, np.float32)
    total, sum_of_weights = 0.0, 0.0
    for part, place in _parts(volume, box):
        out[place] = read_finite(volume, part)
        weights = window.weights(box, part)
        for plane, w in zip(out[place], weights, strict=True):
            total += float(np.einsum("ij,ij->", plane, w, dtype=np.float64))
            sum_of_weights += float(w.sum(dtype=np.float64))
    if sum_of_weights <= 0:
        return None
    mean = total / sum_of_weights
    largest = 0.0
    for part, place in _parts(volume, box):
        values = out[place]
        with np.errstate(over="ignore", invalid="ignore"):
            values -= np.float32(mean)
            values *= window.weights(box, part)
        here = float(np.abs(values).max())
        if not here <= _HIGHEST:
            inside = "times the mask " if window.mask is not None else ""
            raise InputError(
                f"{volume.name} {inside}has values of {here:.3g} around its mean, the limit is {_HIGHEST:g}",
                fix="Give volumes in smaller units" + (", and a mask from 0 to 1" if inside else ""),
            )
        largest = max(largest, here)
    return out if largest > 4 * np.finfo(np.float32).eps * abs(mean) else None


def piece_voxels(box_zyx: Shape3) -> int:
    """About how many voxels of a box are read at once: an eighth of it, two million at most."""
    return max(1, min(PIECE_VOXELS, math.prod(box_zyx) // 8))


def _parts(volume: Volume, box: Box) -> list[tuple[Box, tuple[slice, slice, slice]]]:
    """The pieces that are read one after another, and their places in the box."""
    z, y, x = box.start
    cut = pieces(box, volume.chunk_zyx, most_voxels=piece_voxels(box.shape))
    return [(part, part.shifted((-z, -y, -x)).slices) for part in cut]
