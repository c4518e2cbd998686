"""What preparation holds in memory at most."""

from __future__ import annotations

import math

from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.prepare.finishing import finishing_bytes
from cryolithe_stream.prepare.layout import frame_resampling, layout
from cryolithe_stream.prepare.resample import resampling_bytes
from cryolithe_stream.read import TiltSeries

_RESERVE = 28 << 20  # measured 1 to 24 MiB: threads, libraries' buffers, freed blocks (≤ 32 MiB) that malloc keeps
_ALLOCATOR = 1.04  # measured 1.01 to 1.03: what large blocks are rounded up by


def prepare_bytes(
    series: TiltSeries, bin: int = 1, *, filter: ProjectionFilter | None = None, pad_to_square: bool = False
) -> int:
    """Upper bound of the bytes that `prepare_projections` holds beyond what the process held before.

    Independent of the number of frames. Reads no frame; raises as `layout` does.
    """
    shape = layout(series, bin, pad_to_square)
    pixels = math.prod(series.stack.shape[1:])
    raw = 4 * pixels
    reading = raw + pixels * max(series.stack.dtype.itemsize, 1)
    aligning = raw + max(resampling_bytes(frame_resampling(series, i, bin)) for i in range(series.n_tilts))
    finishing = finishing_bytes(shape.shape_tyx[1:], filter)
    return int(_ALLOCATOR * max(reading, aligning, finishing)) + _RESERVE
