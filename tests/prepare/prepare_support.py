"""Small tilt series on disk."""

from __future__ import annotations

import warnings
from dataclasses import replace

import mrcfile
import numpy as np

from cryolithe_stream.geometry import StripLayout
from cryolithe_stream.read import Alignment, read_tilt_series


def noise_stack(shape=(5, 40, 52), seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(300, 20, shape).astype(dtype)


def write_series(folder, stack, *, name="stack", exclude=(), tilts=None):
    """A series read back from an MRC file of `stack` with its `.tlt`."""
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), mrcfile.new(folder / f"{name}.mrc", overwrite=True) as file:
        warnings.simplefilter("ignore", RuntimeWarning)  # mrcfile takes statistics of NaN and infinity
        file.set_data(stack)
        file.voxel_size = 4.0
    tilts = np.linspace(-40, 40, len(stack)) if tilts is None else tilts
    (folder / f"{name}.tlt").write_text("\n".join(f"{t:.2f}" for t in tilts))
    return read_tilt_series(folder / f"{name}.mrc", angles=folder / f"{name}.tlt", exclude=exclude)


def aligned(series, matrix, shift, output_yx=None):
    """The series with the same alignment for all of its views."""
    n = series.n_tilts
    output = output_yx or series.stack.shape[1:]
    return replace(series, alignment=Alignment(np.stack([matrix] * n), np.stack([np.array(shift)] * n), output))


def stored(prepared):
    """Everything in a store, `(tilt, y, x)`."""
    tilts, rows, width = prepared.store.shape_tyx
    return prepared.store.read_strips(StripLayout(0, rows, np.zeros(tilts, np.int64), width))
