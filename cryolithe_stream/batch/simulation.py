"""A batch played through event by event, as `batch.runner` and `run.window` do it: who works when, and who waits.

Series are taken up in order, so many at once. Each is surveyed by the client, prepared by one urgent task, and
reconstructed by tasks that are submitted through a bounded window, with the priority of the series' place. The levels
of the pyramid follow one after another, and the client hands the tomogram over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import NamedTuple

from cryolithe_stream.run.window import WINDOW_PER_SLOT


class Task(NamedTuple):
    """What a task takes: bytes that it reads first, seconds of one worker, bytes that it writes last."""

    seconds: float
    bytes_read: int = 0
    bytes_written: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """Tasks that may run at the same time; the next stage starts when all are done.

    The client takes `client_seconds_per_task` to submit a task and fetch its result. The series' own thread takes
    `record_seconds_per_task` more to put it on record, meanwhile other series go on.
    """

    tasks: Sequence[Task]
    urgent: bool = False
    client_seconds_per_task: float = 0.0
    record_seconds_per_task: float = 0.0


@dataclass(frozen=True, slots=True)
class SeriesWork:
    """One series: its stages, and what the client takes to hand the result over."""

    stages: tuple[Stage, ...]
    client_seconds_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of a simulated batch, in seconds and bytes; a worker is busy while it holds a task."""

    workers: int
    makespan_s: float
    busy_s: float
    disk_wait_s: float
    client_s: float
    bytes_read: int
    bytes_written: int
    tasks: int

    @property
    def idle_share(self) -> float:
        """Share of the workers' time in which they had no task."""
        return max(0.0, 1 - self.busy_s / (self.workers * self.makespan_s)) if self.makespan_s else 0.0

    @property
    def disk_share(self) -> float:
        """Share of the workers' time that they waited for the disk that all share."""
        return self.disk_wait_s / (self.workers * self.makespan_s) if self.makespan_s else 0.0

    @property
    def client_share(self) -> float:
        """Share of the time in which the client was at work; near 1 it is the limit."""
        return self.client_s / self.makespan_s if self.makespan_s else 0.0

    @property
    def bytes_per_second(self) -> float:
        """What the file system must bring and take on average."""
        return (self.bytes_read + self.bytes_written) / self.makespan_s if self.makespan_s else 0.0


_AVAILABLE, _COMPUTED, _DONE, _RECORDED, _STAGE, _END = range(6)


def simulate_batch(
    series: Sequence[SeriesWork], *, workers: int, at_once: int, bytes_per_second: float | None = None
) -> Simulated:
    """Play a batch through on so many workers of one slot each.

    All share a disk of `bytes_per_second`, which serves one request after another; without it the disk is no limit.
    The client does one thing after another too: its threads share one interpreter.
    """
    play = _Play(series, workers, bytes_per_second)
    for number in range(min(at_once, len(series))):
        play.begin(number)
    play.run()
    return Simulated(
        workers,
        play.now,
        play.busy_s,
        play.disk_wait_s,
        play.client_s,
        play.bytes_read,
        play.bytes_written,
        play.tasks,
    )


class _Play:
    """The state of a batch that is played through."""

    def __init__(self, series: Sequence[SeriesWork], workers: int, bytes_per_second: float | None) -> None:
        self.series, self.rate = series, bytes_per_second
        self.window, self.free = WINDOW_PER_SLOT * workers, workers
        self.events: list[tuple[float, int, int, int, Task | None]] = []
        self.queue: list[tuple[bool, int, int, Task]] = []
        self.stage, self.given, self.left = [-1] * len(series), [0] * len(series), [0] * len(series)
        self.next_series, self.count = 0, 0
        self.heard, self.recording = [0] * len(series), [False] * len(series)
        self.now = self.client_free = self.disk_free = 0.0
        self.busy_s = self.disk_wait_s = self.client_s = 0.0
        self.bytes_read = self.bytes_written = self.tasks = 0

    def begin(self, number: int) -> None:
        """A thread of the client takes a series up."""
        self.next_series = number + 1
        self._later(self.now, _STAGE, number)

    def run(self) -> None:
        """Everything, until nothing is left to happen; `now` is the end then."""
        while self.events:
            self.now, _, what, number, task = heappop(self.events)
            if what == _DONE:
                self.free += 1
                self.heard[number] += 1
                if not self.recording[number]:
                    self._hear(number)
            elif what == _RECORDED:
                self._recorded(number)
            elif what == _AVAILABLE:
                assert task is not None
                urgent = self.series[number].stages[self.stage[number]].urgent
                self.count += 1
                heappush(self.queue, (not urgent, number, self.count, task))
            elif what == _COMPUTED:
                assert task is not None
                self._later(self._through_disk(task.bytes_written), _DONE, number)
            elif what == _STAGE:
                self._enter(number)
            elif self.next_series < len(self.series):
                self.begin(self.next_series)
            while self.free and self.queue:
                _, number, _, task = heappop(self.queue)
                self._start(number, task)

    def _later(self, time: float, what: int, number: int, task: Task | None = None) -> None:
        self.count += 1
        heappush(self.events, (time, self.count, what, number, task))

    def _client(self, seconds: float) -> float:
        """When the client has done something that it is asked for now."""
        self.client_s += seconds
        self.client_free = max(self.now, self.client_free) + seconds
        return self.client_free

    def _through_disk(self, n_bytes: int) -> float:
        """When the disk has served a request that is made now."""
        if self.rate is None or not n_bytes:
            return self.now
        self.disk_free = max(self.now, self.disk_free) + n_bytes / self.rate
        self.disk_wait_s += self.disk_free - self.now
        self.busy_s += self.disk_free - self.now
        return self.disk_free

    def _enter(self, number: int) -> None:
        """The next stage of a series, or its end."""
        self.stage[number] += 1
        stages = self.series[number].stages
        if self.stage[number] == len(stages):
            self._later(self._client(self.series[number].client_seconds_after), _END, number)
            return
        stage = stages[self.stage[number]]
        self.given[number], self.left[number] = 0, len(stage.tasks)
        if not stage.tasks:
            self._later(self.now, _STAGE, number)
        for _ in range(min(self.window, len(stage.tasks))):
            self._give(number, stage)

    def _give(self, number: int, stage: Stage) -> float:
        """The next task of a stage is submitted; when that is done."""
        task = stage.tasks[self.given[number]]
        self.given[number] += 1
        done = self._client(stage.client_seconds_per_task)
        self._later(done, _AVAILABLE, number, task)
        return done

    def _start(self, number: int, task: Task) -> None:
        """A free worker takes a task."""
        self.free -= 1
        self.tasks += 1
        self.bytes_read += task.bytes_read
        self.bytes_written += task.bytes_written
        self.busy_s += task.seconds
        computed = self._through_disk(task.bytes_read) + task.seconds
        if self.rate is None:
            self._later(computed, _DONE, number)
        else:
            self._later(computed, _COMPUTED, number, task)

    def _hear(self, number: int) -> None:
        """The series' thread hears of tasks that are done: for each it submits another and puts it on record."""
        while self.heard[number]:
            self.heard[number] -= 1
            stage = self.series[number].stages[self.stage[number]]
            time = self.now if self.given[number] == len(stage.tasks) else self._give(number, stage)
            time += stage.record_seconds_per_task
            if time > self.now:
                self.recording[number] = True
                self._later(time, _RECORDED, number)
                return
            self._count(number)

    def _recorded(self, number: int) -> None:
        """A task is on record: those that were done meanwhile are heard of."""
        self.recording[number] = False
        self._count(number)
        self._hear(number)

    def _count(self, number: int) -> None:
        """One task less is left; after the last one the next stage begins."""
        self.left[number] -= 1
        if not self.left[number]:
            self._later(self.now, _STAGE, number)
