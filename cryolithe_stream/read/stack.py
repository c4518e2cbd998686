"""A stack on disk whose frames are read one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cryolithe_stream.errors import MissingFileError
from cryolithe_stream.geometry import Float32s, Shape3
from cryolithe_stream.read.header import MrcHeader


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack `(view, y, x)` in an MRC file, memory-mapped frame by frame; small, and picklable as it holds no file.

    `stored` and `axes` tell how the file orders the axes (see `MrcHeader`), `dtype` its numbers with byte order.
    """

    path: Path
    shape: Shape3
    dtype: np.dtype[np.generic]
    stored: Shape3
    axes: Shape3
    data_offset: int

    @classmethod
    def of(cls, header: MrcHeader) -> Stack:
        """The stack that a header describes."""
        return cls(header.path, header.shape, header.dtype, header.stored, header.axes, header.data_offset)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that frames are read from."""
        return (self.path,)

    def frame(self, view: int) -> Float32s:
        """View `view` (0-based) as float32 `(y, x)`; only its pages are read."""
        if not 0 <= view < self.shape[0]:
            raise IndexError(f"view {view} of a stack of {self.shape[0]}")
        try:
            return np.array(self._stored_frame(view), dtype=np.float32, order="C")
        except (OSError, ValueError) as error:
            raise MissingFileError(
                f"view {view + 1} of stack {self.path} can no longer be read: {error}",
                fix="Check the file and its disk",
            ) from error

    def _stored_frame(self, view: int) -> NDArray[np.generic]:
        """A view of the memory-mapped file, `(y, x)`, as its numbers are stored."""
        if self.axes[0] == 0:  # views follow one another in the file
            start = self.data_offset + view * self.stored[1] * self.stored[2] * self.dtype.itemsize
            stored = np.memmap(self.path, self.dtype, "r", start, self.stored[1:])
            return stored if self.axes == (0, 1, 2) else stored.T
        whole = np.memmap(self.path, self.dtype, "r", self.data_offset, self.stored)
        return whole.transpose(self.axes)[view]  # type: ignore[no-any-return]
