"""Aligned tilt series in, denoised and missing-wedge-corrected OME-Zarr tomograms out.

from cryolithe_stream import reconstruct
reconstruct("ts.mrc", "ts.tlt", out="ts.ome.zarr")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryolithe_stream.network import Model, load_model
    from cryolithe_stream.read import TiltSeries, read_tilt_series
    from cryolithe_stream.run import reconstruct
    from cryolithe_stream.run.points import reconstruct_points

__all__ = ["Model", "TiltSeries", "load_model", "read_tilt_series", "reconstruct", "reconstruct_points"]

# Resolved on first use: the command line imports this package to print its help, and must not wait for torch.
_HOMES = {
    "Model": "network",
    "load_model": "network",
    "TiltSeries": "read",
    "read_tilt_series": "read",
    "reconstruct": "run",
    "reconstruct_points": "run.points",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cryolithe_stream' has no attribute {name!r}")
    return getattr(import_module(f"cryolithe_stream.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
