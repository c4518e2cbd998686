"""A batch run in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryolithe_stream.batch import BatchRecord, BatchResult, Job, run_batch


def run_jobs(jobs: Sequence[Job], folder: Path, **more: Any) -> BatchResult:
    """Run jobs with their record in a folder."""
    with BatchRecord.open(folder) as record:
        return run_batch(jobs, record, **more)
