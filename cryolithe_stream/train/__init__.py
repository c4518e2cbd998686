"""Training: examples from simulated specimens and from pairs of tilt series and tomograms, and the loop.

    cryolithe-stream train pair.yaml -o trained
    cryolithe-stream run TS_01.mrc --angles TS_01.tlt --model trained/trained.safetensors -o TS_01.ome.zarr

with `pair.yaml`:

    pairs:
      - {stack: TS_01.mrc, angles: TS_01.tlt, bin: 4, reference: TS_01_denoised.mrc}

The weights start from the shipped model; everything else has a default (`TrainOptions`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryolithe_stream.train.faults import TrainingError
    from cryolithe_stream.train.options import TrainOptions, read_options
    from cryolithe_stream.train.training import Trained, train_model

__all__ = ["TrainOptions", "Trained", "TrainingError", "read_options", "train_model"]

# Resolved on first use: a wrong key is told before torch is loaded.
_HOMES = {
    "Trained": "training",
    "TrainOptions": "options",
    "TrainingError": "faults",
    "read_options": "options",
    "train_model": "training",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cryolithe_stream.train' has no attribute {name!r}")
    return getattr(import_module(f"cryolithe_stream.train.{_HOMES[name]}"), name)
