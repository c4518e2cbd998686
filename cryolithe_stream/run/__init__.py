"""Runs: options, the pipeline, and the cluster that does the work."""

from cryolithe_stream.run.api import reconstruct
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.pipeline import RunPlan, RunResult, plan_run, reconstruct_series
from cryolithe_stream.run.progress import Progress

__all__ = ["Progress", "RunOptions", "RunPlan", "RunResult", "plan_run", "reconstruct", "reconstruct_series"]
