"""Runs: options, the pipeline, and the cluster that does the work."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryolithe_stream.run.api import reconstruct
    from cryolithe_stream.run.crew import Crew
    from cryolithe_stream.run.options import RunOptions
    from cryolithe_stream.run.pipeline import RunPlan, RunResult, plan_run, reconstruct_series
    from cryolithe_stream.run.progress import Progress
    from cryolithe_stream.run.repair import repair_tomogram
    from cryolithe_stream.run.verify import Verification, verify_tomogram

__all__ = [
    "Crew",
    "Progress",
    "RunOptions",
    "RunPlan",
    "RunResult",
    "Verification",
    "plan_run",
    "reconstruct",
    "reconstruct_series",
    "repair_tomogram",
    "verify_tomogram",
]

# Resolved on first use: a wrong option is told before torch and Dask are loaded.
_HOMES = {
    "Crew": "crew",
    "reconstruct": "api",
    "RunOptions": "options",
    "RunPlan": "pipeline",
    "RunResult": "pipeline",
    "plan_run": "pipeline",
    "reconstruct_series": "pipeline",
    "Progress": "progress",
    "repair_tomogram": "repair",
    "Verification": "verify",
    "verify_tomogram": "verify",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'cryolithe_stream.run' has no attribute {name!r}")
    return getattr(import_module(f"cryolithe_stream.run.{_HOMES[name]}"), name)
