"""Preparation of a run's stacks: in this process with a line for each frame, or as tasks of shared workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryolithe_stream.network import CosineRamp, ProjectionFilter
from cryolithe_stream.prepare import Contrast, prepare_projections, warn_if_inverted
from cryolithe_stream.read import TiltSeries
from cryolithe_stream.run.cluster import Workers
from cryolithe_stream.run.inputs import fetched
from cryolithe_stream.run.progress import Progress
from cryolithe_stream.run.survey import Survey, read_series
from cryolithe_stream.store import Ledger


@dataclass(frozen=True, slots=True, eq=False)
class PrepareTask:
    """One stack, how it is prepared, and where its projections go; `threads` None takes all processors."""

    series: TiltSeries
    path: Path
    bin: int
    invert: bool
    filter: ProjectionFilter
    pad_to_square: bool
    threads: int | None


@dataclass(frozen=True, slots=True)
class PreparedReport:
    """What is told of a prepared stack: the hash of its raw frames, and its contrast."""

    content_hash: str
    contrast: Contrast


def prepare_stacks(
    survey: Survey, paths: Sequence[Path], workers: Workers, progress: Progress
) -> Iterator[PreparedReport]:
    """A report for every stack of a survey, in their order; each is prepared into its path."""
    threads = survey.cluster.threads if workers.shared else None
    tasks = [
        PrepareTask(
            series,
            path.absolute(),
            survey.bin,
            survey.options.invert,
            survey.model.filter if survey.model else ProjectionFilter(CosineRamp()),
            survey.options.grid == "public",
            threads,
        )
        for series, path in zip(survey.series, paths, strict=True)
    ]
    for task in tasks:
        name = f"preparing {task.series.stack.path.name}"
        if workers.shared:
            progress.phase(name, 1, "stacks")
            (report,) = workers.map(prepare_stack, [task], what="the preparation of a stack", urgent=True)
            progress.advance(1)
        else:
            progress.phase(name, 2 * task.series.n_tilts, "frames")
            report = prepare_stack(task, lambda done, total: progress.advance(1))
        if survey.model and survey.model.contrast:
            warn_if_inverted(report.contrast, invert=survey.options.invert, expected=survey.model.contrast)
        yield report


def with_stacks_here(survey: Survey, folder: Path, ledger: Ledger, progress: Progress) -> Survey:
    """The same survey, of which stacks at addresses were fetched into `folder`. Raises as `inputs.fetched` does."""
    if not survey.inputs.are_remote:
        return survey
    inputs = fetched(survey.inputs, survey.options, folder, ledger, progress)
    return replace(survey, inputs=inputs, series=read_series(inputs.options))


def prepare_stack(task: PrepareTask, progress: Callable[[int, int], None] | None = None) -> PreparedReport:
    """Prepare one stack; raises as `prepare_projections` does."""
    prepared = prepare_projections(
        task.series,
        task.path,
        bin=task.bin,
        invert=task.invert,
        filter=task.filter,
        pad_to_square=task.pad_to_square,
        progress=progress,
        threads=task.threads,
    )
    return PreparedReport(prepared.content_hash, prepared.contrast)
