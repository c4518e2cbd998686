"""The hash that tells one stack from another, whatever its file is called."""

from __future__ import annotations

import hashlib
from typing import Protocol

import numpy as np

from cryolithe_stream.geometry import Float32s
from cryolithe_stream.read import TiltSeries


class Digest(Protocol):
    """A running hash of frames."""

    def update(self, data: memoryview, /) -> None:
        """Take in bytes."""

    def hexdigest(self) -> str:
        """The hash so far, in hexadecimal."""


def content_digest(series: TiltSeries) -> Digest:
    """A SHA-256 that has taken in how many frames follow, their shape and their type in the file."""
    rows, columns = series.stack.shape[1:]
    header = f"{series.n_tilts} x {rows} x {columns} {np.dtype(series.stack.dtype).name}\n"
    return hashlib.sha256(header.encode())


def add_frame(digest: Digest, frame: Float32s) -> None:
    """Take in the pixels of a raw frame `(y, x)`, as little-endian float32 (which every MRC mode fits in exactly)."""
    digest.update(np.ascontiguousarray(frame, dtype="<f4").data)


def content_hash(series: TiltSeries) -> str:
    """SHA-256 of a series' kept raw frames with their shape and type, as `prepare_projections` records it.

    Reads every frame. Angles, alignment and file names do not count. Raises InputError for frames that cannot be used.
    """
    digest = content_digest(series)
    for i in range(series.n_tilts):
        add_frame(digest, series.frame(i))
    return digest.hexdigest()
