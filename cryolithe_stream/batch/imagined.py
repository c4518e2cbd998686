"""A batch on workers that nobody has yet: surveyed and simulated, from a manifest or for series that are elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryolithe_stream.batch.costs import Costs
from cryolithe_stream.batch.estimate import kinds_of
from cryolithe_stream.batch.runner import Job, series_at_once
from cryolithe_stream.batch.simulation import Simulated, simulate_batch
from cryolithe_stream.batch.workload import series_work
from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Shape3
from cryolithe_stream.read import Stack, TiltSeries
from cryolithe_stream.run.inputs import require_here
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.sizes import ClusterSize
from cryolithe_stream.run.survey import Survey, survey_run, survey_series

WORKER_BYTES = 4 << 30
LAST_TILT_DEG = 60.0
_FRAMES = re.compile(r"(\d{1,4})\s*[x×]\s*(\d{1,6})\s*[x×]\s*(\d{1,6})", re.IGNORECASE)
_COUNT = re.compile(r"[1-9]\d{0,5}")


@dataclass(frozen=True, slots=True)
class Kind:
    """Series of one kind: how many, and what is known of the first."""

    count: int
    options: RunOptions
    series: TiltSeries | None = None

    def survey(self, workers: int, among: int = 1) -> Survey:
        """The survey for so many workers of one thread, each with the memory of the options or 4 GiB.

        A series is one `among` so many that share them.
        """
        size = ClusterSize(workers, 1, 1)
        options = self.options
        if options.memory is None:
            options = options.model_copy(update={"memory": WORKER_BYTES})
        if self.series is None:
            return survey_run(options, size=size, among=among)
        return survey_series(options, (self.series,), size=size, among=among)


def kinds_of_jobs(jobs: Sequence[Job]) -> list[Kind]:
    """What the series of a manifest are, complete or not."""
    return [Kind(len(members), members[0].options) for members in kinds_of(jobs)]


def described_kind(count: int, frames_tyx: Shape3, options: Mapping[str, Any]) -> Kind:
    """Series that are not on the disk: stacks `(tilt, y, x)` of float32, tilted evenly over ±60°, without an alignment.

    Raises InputError for options that are wrong, and without a pixel size.
    """
    told = RunOptions(**options, stack="stack.mrc", output="output.ome.zarr")
    if told.pixel_size is None:
        raise InputError("the pixel size of the stacks is not known", fix="Give it with --pixel-size")
    stack = Stack(require_here(told.stack), frames_tyx, np.dtype("<f4"), frames_tyx, (0, 1, 2), 1024)
    tilts = np.linspace(-LAST_TILT_DEG, LAST_TILT_DEG, frames_tyx[0])
    return Kind(count, told, TiltSeries(stack, np.arange(frames_tyx[0]), tilts, told.pixel_size))


def simulated_batches(
    kinds: Sequence[Kind],
    costs: Costs,
    *,
    workers: Sequence[int],
    at_once: int | None = None,
    bytes_per_second: float | None = None,
) -> Iterator[tuple[Simulated, list[Survey]]]:
    """The batch on each number of workers, for which it is planned anew, with the surveys of its kinds.

    `at_once` series are under way, else as many as `run_batch` takes.
    """
    n_series = sum(kind.count for kind in kinds)
    for n in workers:
        under_way = at_once or series_at_once(n)
        among = min(under_way, n_series)
        surveys = [kind.survey(n, among) for kind in kinds]
        works = [series_work(survey, costs) for survey in surveys]
        series = [work for kind, work in zip(kinds, works, strict=True) for _ in range(kind.count)]
        yield simulate_batch(series, workers=n, at_once=under_way, bytes_per_second=bytes_per_second), surveys


def parse_frames(text: str) -> Shape3:
    """The views, rows and columns that `41x1024x1024` names. Raises InputError for anything else."""
    match = _FRAMES.fullmatch(text.strip())
    shape = (0, 0, 0) if match is None else (int(match[1]), int(match[2]), int(match[3]))
    if shape[0] < 2 or min(shape) < 1:
        raise InputError(f"{text!r} names no stack", fix="Write views, rows and columns as 41x1024x1024")
    return shape


def parse_counts(text: str) -> tuple[int, ...]:
    """The numbers of workers that `1,2,4` names. Raises InputError for anything else."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_COUNT.fullmatch(part) for part in parts):
        raise InputError(f"{text!r} names no numbers of workers", fix="Write them as 1,2,4,8")
    return tuple(int(part) for part in parts)
