"""One GPU for each worker process: which of those that it sees a worker keeps."""

from __future__ import annotations

import os
import re
from typing import Any

import torch
from distributed import WorkerPlugin

GPU = {"GPU": 1}
"""The Dask resource that a worker with a GPU declares, and that a block needs of it."""
_PLACE = re.compile(r"(\d+)$")


def kept_device(name: str, visible: list[str]) -> str:
    """The one of the `visible` devices for the worker of this name: by the number at its end, counted round.

    Workers of one machine are numbered from 0 (`0`, `1`; `job-3-0`, `job-3-1`); without a number it is the first.
    """
    place = _PLACE.search(name)
    return visible[int(place[1]) % len(visible) if place else 0]


class KeepOneGpu(WorkerPlugin):
    """Leaves each worker one GPU of those it sees, unless it computes already; restarted workers do the same."""

    name = "cryolithe-one-gpu"

    def setup(self, worker: Any) -> None:
        """Narrow what CUDA shows to this process, before anything has used it."""
        if torch.cuda.is_initialized() or worker.state.total_resources.get("GPU", 0) != 1:
            return
        listed = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = listed.split(",") if listed else [str(i) for i in range(torch.cuda.device_count())]
        if len(visible) > 1:
            os.environ["CUDA_VISIBLE_DEVICES"] = kept_device(str(worker.name), visible)
