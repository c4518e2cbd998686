"""A block whose memory is not to be had is computed in parts.

Plans leave room, but a GPU may be shared with other programs, and a process may have a limit of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.geometry import Box, Float32s

SHORTEST = 16
_SAID_BY_TORCH = "can't allocate memory"  # its allocator of the CPU raises a RuntimeError


@dataclass(slots=True, eq=False)
class Halving:
    """Voxels of boxes, in as few parts as fit; `most_voxels` of a part are remembered from box to box."""

    most_voxels: int = 0

    def voxels(self, box: Box, compute: Callable[[Box], Float32s]) -> tuple[Float32s, int]:
        """`compute(box)`, `(set, z, y, x)`, and in how many parts it was computed.

        A box is halved along its longest side when memory runs out, at most to a side of SHORTEST.
        Raises CryolitheError when not even that fits.
        """
        if not self.most_voxels or box.n_voxels <= self.most_voxels:
            try:
                return compute(box), 1
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                if max(box.shape) <= SHORTEST:
                    raise CryolitheError(
                        f"there is not even memory for {box.shape} voxels: {_first_line(error)}",
                        fix="End other programs on that device, or give --device cpu",
                    ) from error
            # The error is gone here, and with it the arrays that its frames held.
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.most_voxels = box.n_voxels // 2 + 1
        axis = box.shape.index(max(box.shape))
        first, second = _halves(box, axis)
        a, parts_a = self.voxels(first, compute)
        b, parts_b = self.voxels(second, compute)
        return np.concatenate([a, b], axis=1 + axis), parts_a + parts_b


def _halves(box: Box, axis: int) -> tuple[Box, Box]:
    cut = box.start[axis] + (box.shape[axis] + 1) // 2
    first, second = list(box.stop), list(box.start)
    first[axis] = second[axis] = cut
    return Box(box.start, (first[0], first[1], first[2])), Box((second[0], second[1], second[2]), box.stop)


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _SAID_BY_TORCH in str(error)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
