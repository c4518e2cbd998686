"""What a batch will take, before it starts: one survey for all series of one kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from cryolithe_stream.batch.runner import Job
from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.run.estimate import Pace
from cryolithe_stream.run.pipeline import plan_run
from cryolithe_stream.store import Place, RemotePath, stands_at

_OWN = {"stack", "output", "angles", "alignment", "mdoc", "odd", "even"}


@dataclass(frozen=True, slots=True)
class BatchEstimate:
    """Seconds and bytes of output for `n_series`; `n_unknown` could not be surveyed.

    `seconds` are of this machine's processors, None where only the workers have the GPU that computes.
    """

    n_series: int
    seconds: float | None
    output_bytes: int
    n_unknown: int = 0


def estimate_batch(jobs: Sequence[Job]) -> BatchEstimate:
    """What the jobs that have no output yet will take.

    Stacks of the same size under the same options count as one kind, of which the first is surveyed from its header;
    this machine is timed once for all kinds of the same recipe.
    """
    waiting = [job for job in jobs if not stands_at(job.options.output)]
    seconds: float | None = 0.0
    output_bytes, unknown, pace = 0, 0, Pace()
    for members in kinds_of(waiting):
        try:
            summary = plan_run(members[0].options).summary(pace)
        except CryolitheError:
            unknown += len(members)
            continue
        each = summary["estimated_seconds"]
        seconds = None if seconds is None or each is None else seconds + each * len(members)
        output_bytes += summary["output_bytes_with_pyramid"] * summary["volumes"] * len(members)
    return BatchEstimate(len(waiting), seconds, output_bytes, unknown)


def kinds_of(jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs by the size of their stacks and their options: one survey tells for all of a kind."""
    kinds: dict[tuple[int, str], list[Job]] = defaultdict(list)
    for job in jobs:
        kinds[_size(job.options.stack), job.options.model_dump_json(exclude=_OWN)].append(job)
    return list(kinds.values())


def _size(stack: Place) -> int:
    try:
        if isinstance(stack, RemotePath):
            return 0
        return stack.stat().st_size
    except OSError:
        return 0
