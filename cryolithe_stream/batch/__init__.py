"""Batches: many tilt series through the same workers, one tomogram after another."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryolithe_stream.batch.discover import Discovery, discover_series
    from cryolithe_stream.batch.manifest import Manifest, read_manifest
    from cryolithe_stream.batch.orders import Orders
    from cryolithe_stream.batch.recipes import Recipe, find_recipe
    from cryolithe_stream.batch.record import BatchRecord, Outcome, read_outcomes
    from cryolithe_stream.batch.runner import BatchResult, Job, run_batch
    from cryolithe_stream.batch.series import Series
    from cryolithe_stream.batch.streaming import Streaming, run_streamed

__all__ = [
    "BatchRecord",
    "BatchResult",
    "Discovery",
    "Job",
    "Manifest",
    "Orders",
    "Outcome",
    "Recipe",
    "Series",
    "Streaming",
    "discover_series",
    "find_recipe",
    "read_manifest",
    "read_outcomes",
    "run_batch",
    "run_streamed",
]

# Resolved on first use: a wrong option is told before torch and Dask are loaded.
_HOMES = {
    "BatchRecord": "record",
    "BatchResult": "runner",
    "Discovery": "discover",
    "Job": "runner",
    "Manifest": "manifest",
    "Orders": "orders",
    "Outcome": "record",
    "Recipe": "recipes",
    "Series": "series",
    "Streaming": "streaming",
    "discover_series": "discover",
    "find_recipe": "recipes",
    "read_manifest": "manifest",
    "read_outcomes": "record",
    "run_batch": "runner",
    "run_streamed": "streaming",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cryolithe_stream.batch' has no attribute {name!r}")
    return getattr(import_module(f"cryolithe_stream.batch.{_HOMES[name]}"), name)
