"""Runs a batch: several series share the workers, the first one's blocks first, so that no worker waits between two.

A series is prepared while the one before it is reconstructed. Its blocks have lower priority: workers take them when
nothing of the earlier series is left to take, and tomograms are finished one after another.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryolithe_stream.batch.record import BatchRecord, Outcome, Status
from cryolithe_stream.errors import ClusterLostError, CryolitheError, CryolitheWarning
from cryolithe_stream.run import Progress, RunOptions, reconstruct_series
from cryolithe_stream.run.cluster import Workers, open_cluster
from cryolithe_stream.run.progress import Silent
from cryolithe_stream.run.survey import size_for
from cryolithe_stream.run.workspace import workspace_folder
from cryolithe_stream.store import output_faults

AT_LEAST, AT_MOST, WORKERS_PER_SERIES = 3, 64, 2
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Job:
    """One series of a batch, by name."""

    name: str
    options: RunOptions


@dataclass(frozen=True, slots=True)
class Ready:
    """A job whose files are here: its options, and what the record tells of where they came from."""

    options: RunOptions
    source: Mapping[str, Any] | None = None


class Files(Protocol):
    """Whatever brings the files of jobs when they are started, each in a thread of its own."""

    @property
    def fault(self) -> BaseException | None:
        """What stands in the way of all further jobs; it ends the batch when those that have their files are over."""

    def brought(self, job: Job, progress: Progress) -> AbstractContextManager[Ready]:
        """A context in which the job's files are here. Raises what is wrong with this job, or the fault."""

    def halt(self) -> None:
        """Wake the threads that wait for files: the batch is given up."""


class FilesHere:
    """Files that are here already."""

    fault = None

    @contextmanager
    def brought(self, job: Job, progress: Progress) -> Iterator[Ready]:
        """The job as it is."""
        yield Ready(job.options)

    def halt(self) -> None:
        """Nobody waits."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of every series, and where the report stands."""

    outcomes: tuple[Outcome, ...]
    report: Path

    def counts(self) -> dict[str, int]:
        """How many series are done, failed and skipped because they were complete."""
        found = Counter(outcome.status for outcome in self.outcomes)
        return {"done": found["done"], "failed": found["failed"], "skipped": found["already complete"]}


def run_batch(
    jobs: Sequence[Job],
    record: BatchRecord,
    *,
    at_once: int | None = None,
    progress: Progress | None = None,
    files: Files | None = None,
) -> BatchResult:
    """Reconstruct every series that is not complete; the same call again does what is missing and what failed.

    The first job's options say which workers all share. A series that fails is put on record with its reason and
    stops no other. `at_once` series are under way at a time, `series_at_once` unless it is given. `files` brings files
    that are not here yet.
    Raises OutputError when the record cannot be written, ClusterLostError when the scheduler goes away, and the fault
    of `files`.
    """
    told, first = _Told(progress or Silent()), jobs[0].options
    with (
        told.catching_warnings(),
        open_cluster(first.cluster, size=size_for(first), scale=first.scale, dashboard=first.dashboard) as workers,
    ):
        if workers.dashboard:
            told.message(f"dashboard: {workers.dashboard}")
        told.progress.phase("batch", len(jobs), "series")
        at_once = at_once or series_at_once(workers.size.workers)
        outcomes = _run_all(jobs, workers, at_once, record, told, files or FilesHere())
        return BatchResult(tuple(outcomes[job.name] for job in jobs), record.report())


def series_at_once(workers: int) -> int:
    """Series under way at a time: one for each two workers, so that preparations keep up and blocks stay large.

    Three at least, which fill the seams between them; 64 at most, each with a thread and open files in the client.
    Source: docs/scaling.md, What limits.
    """
    return min(AT_MOST, max(AT_LEAST, -(-workers // WORKERS_PER_SERIES)))


def _run_all(
    jobs: Sequence[Job], workers: Workers, at_once: int, record: BatchRecord, told: _Told, files: Files
) -> dict[str, Outcome]:
    """The outcome of every job by its name, each recorded as it ends: completed ones before their files may go."""
    outcomes: dict[str, Outcome] = {}
    with ThreadPoolExecutor(at_once, thread_name_prefix="series") as pool:
        among = min(at_once, len(jobs))
        views = [workers.shared_at(-number, among=among) for number in range(len(jobs))]
        running: set[Future[Outcome]] = {
            pool.submit(_run_one, job, files, view, record, told) for job, view in zip(jobs, views, strict=True)
        }
        try:
            while running:
                ended, running = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    if files.fault is not None and future.exception() is files.fault:
                        continue
                    outcome = future.result()
                    if not outcome.is_complete:
                        record.add(outcome)
                    outcomes[outcome.name] = outcome
                    told.ended(outcome)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            files.halt()
            for view in views:
                view.cancel()
            raise
    if files.fault is not None and len(outcomes) < len(jobs):
        record.report()
        raise files.fault
    return outcomes


def _run_one(job: Job, files: Files, workers: Workers, record: BatchRecord, told: _Told) -> Outcome:
    """One series from start to end. Raises what no other series can go on after: ClusterLostError, the files' fault."""
    began = time.monotonic()
    with told.about(job.name) as heard:
        try:
            with files.brought(job, heard) as ready:
                began = time.monotonic()
                parent = workspace_folder(job.options.output, job.options.workspace).parent
                with output_faults(parent):
                    parent.mkdir(parents=True, exist_ok=True)
                result = reconstruct_series(ready.options, heard, workers=workers)
                outputs = tuple(str(path) for path in result.outputs)
                status: Status = "already complete" if result.status == "already complete" else "done"
                outcome = Outcome(
                    job.name, status, _since(began), outputs, "", tuple(heard.warnings), result.figures, ready.source
                )
                record.add(outcome)
        except ClusterLostError:
            raise
        except Exception as error:  # whatever is wrong with one series, the others go on
            if error is files.fault:
                raise
            reason = str(error) if isinstance(error, CryolitheError) else f"{type(error).__name__}: {error}"
            return Outcome(job.name, "failed", _since(began), reason=reason, warnings=tuple(heard.warnings))
        return outcome


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)


@dataclass(slots=True, eq=False)
class _Heard:
    """What one series tells: its voxels count for the batch, its lines bear its name."""

    name: str
    told: _Told
    warnings: list[str] = field(default_factory=list)

    def phase(self, name: str, total: int, unit: str) -> None:
        """Nothing: many series have many phases."""

    def advance(self, n: int, voxels: int = 0) -> None:
        """Voxels of a block."""
        if voxels:
            self.told.advance(0, voxels)

    def message(self, text: str) -> None:
        """A line that bears the series' name."""
        self.told.message(f"{self.name}: {text}")


@dataclass(slots=True, eq=False)
class _Told:
    """The batch's progress, told by several threads one at a time."""

    progress: Progress
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _here: threading.local = field(default_factory=threading.local)

    def advance(self, n: int, voxels: int = 0) -> None:
        """Series and voxels that are done."""
        with self._guard:
            self.progress.advance(n, voxels)

    def message(self, text: str) -> None:
        """A line."""
        with self._guard:
            self.progress.message(text)

    def ended(self, outcome: Outcome) -> None:
        """A series ended."""
        reason = f": {outcome.reason}" if outcome.reason else ""
        self.message(f"{outcome.name}: {outcome.status}{reason}")
        self.advance(1)

    @contextmanager
    def about(self, name: str) -> Iterator[_Heard]:
        """What this thread tells within the block is of one series."""
        heard = self._here.heard = _Heard(name, self)
        try:
            yield heard
        finally:
            self._here.heard = None

    @contextmanager
    def catching_warnings(self) -> Iterator[None]:
        """A block in which our warnings are told, and kept, with the series that they are of."""
        before = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *args: Any, **more: Any) -> None:
            heard: _Heard | None = getattr(self._here, "heard", None)
            if heard is None or not issubclass(category, CryolitheWarning):
                before(message, category, *args, **more)
                return
            if str(message) not in heard.warnings:
                heard.warnings.append(str(message))
                heard.message(f"warning: {message}")

        warnings.showwarning = show
        try:
            yield
        finally:
            warnings.showwarning = before
