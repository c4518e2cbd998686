"""A batch run in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryolithe_stream.batch import BatchRecord, BatchResult, Job, run_batch


def run_jobs(jobs: Sequence[Job], folder: Path, *, cluster: str) -> BatchResult:
    """Run jobs on workers of a kind, with their record in a folder."""
    told = [Job(job.name, job.options.model_copy(update={"cluster": cluster})) for job in jobs]
    with BatchRecord.open(folder) as record:
        return run_batch(told, record)
