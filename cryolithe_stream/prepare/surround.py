"""What lies around a raw frame: its mirror image, fading to the frame's mean."""

from __future__ import annotations

import numpy as np

from cryolithe_stream.geometry import Float32s, Ints, Shape2


def surrounded(frame: Float32s, mean: float, *, border_px: int, taper_px: int, shape_yx: Shape2) -> Float32s:
    """A frame inside a larger one: unchanged at (border, border), its mean elsewhere, without a step between.

    Over `taper_px` ≤ `border_px` pixels the frame goes on as its own mirror image, weighted by a cosine that falls
    from 1 to 0, so that neither a low-pass filter nor the ramp filter meets an edge. IMOD's `newstack` fills with the
    mean at once. `shape_yx` is the result's, at least the frame's plus two borders.
    """
    rows, columns = frame.shape
    around = np.full(shape_yx, mean, dtype=np.float32)
    around[border_px : border_px + rows, border_px : border_px + columns] = frame
    middle = slice(border_px, border_px + columns)
    _mirror(around[:, middle], rows, border_px, taper_px, mean)
    _mirror(around[border_px - taper_px : border_px + rows + taper_px].T, columns, border_px, taper_px, mean)
    return around


def _mirror(lines: Float32s, n: int, border_px: int, taper_px: int, mean: float) -> None:
    """Fill the lines before and after the `n` that start at `border_px` with their weighted mirror image."""
    distance = np.arange(taper_px, dtype=np.int64)
    weight = 0.5 + 0.5 * np.cos(np.pi * (distance + 1) / (taper_px + 1))
    source = border_px + _folded(distance, n)
    last = 2 * border_px + n - 1
    for target, of in ((border_px - 1 - distance, source), (border_px + n + distance, last - source)):
        lines[target] = (lines[of] - mean) * weight[:, None].astype(np.float32) + np.float32(mean)


def _folded(distance: Ints, n: int) -> Ints:
    """Line of a frame of `n` that stands `distance` behind its mirror, folded as often as needed."""
    turn = distance % (2 * n)
    return np.where(turn < n, turn, 2 * n - 1 - turn)
