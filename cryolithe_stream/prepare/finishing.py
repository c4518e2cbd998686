"""From an aligned frame to a projection: normalised, turned, padded, filtered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cryolithe_stream.geometry import Float32s, Shape2
from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.prepare.scratch import FrameScratch

ROWS_AT_ONCE = 128


@dataclass(frozen=True, slots=True, eq=False)
class Finishing:
    """What is done to every aligned frame: (x − mean)·gain, zeros around it, then the filter.

    `gain` is 1/std of the stack, negative where density is turned; `padding_yx` zeros stand on both sides of each axis
    and are there before the filter, as in the public program.
    """

    mean: float
    gain: float
    padding_yx: Shape2
    filter: ProjectionFilter

    def projection(self, aligned: FrameScratch, index: int) -> Float32s:
        """Projection `(y, x)` of aligned frame `index`, by bands of rows unless the filter needs whole frames."""
        (height, width), (pad_y, pad_x) = aligned.shape_yx, self.padding_yx
        done = np.zeros((height + 2 * pad_y, width + 2 * pad_x), dtype=np.float32)
        banded = self.filter.frame is None
        for first in range(0, height, ROWS_AT_ONCE):
            band = aligned.rows(index, first, min(first + ROWS_AT_ONCE, height))
            normal = done[pad_y + first : pad_y + first + len(band)]
            normal[:, pad_x : pad_x + width] = (band.astype(np.float64) - self.mean) * self.gain
            if banded:
                normal[:] = self._filtered(normal)
        return done if banded else self._filtered(done)

    def _filtered(self, rows: Float32s) -> Float32s:
        """The filter's outcome; a band may be filtered alone, since the ramp knows nothing of other rows."""
        with torch.no_grad():
            filtered: Float32s = self.filter.apply(torch.from_numpy(rows)).numpy()
        return filtered


def finishing_bytes(padded_yx: Shape2, filter: ProjectionFilter | None) -> int:
    """Upper bound of what `Finishing.projection` and the store's `write_frame` hold for frames of this shape.

    Measured: the store takes 2.1 frames and gives them back at its next write only; a ramp takes 12 times what it
    filters, a row being doubled and complex, and a convolution of frames 16 frames and 3 for each of its channels.
    """
    rows, width = padded_yx
    frame = 4 * rows * width
    kept = int(3.1 * frame)
    if filter is None or (filter.ramp is None and filter.frame is None):
        return kept + 5 * frame * min(rows, ROWS_AT_ONCE) // rows
    if filter.frame is None:
        return kept + 12 * frame * min(rows, ROWS_AT_ONCE) // rows
    channels = max(tensor.shape[0] for tensor in filter.frame.tensors().values())
    return kept + frame * (16 + 3 * channels)
