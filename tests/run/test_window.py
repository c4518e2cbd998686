"""Tasks go to workers through a bounded window, whatever becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_support import scheduler_process, wait_for_workers, who, worker_process
from distributed import Future

from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.run import watch, window
from cryolithe_stream.run.cluster import open_cluster
from cryolithe_stream.run.window import ATTEMPTS, WINDOW_PER_SLOT

SLOTS = 16
TRIED: Counter[str] = Counter()


@dataclass(frozen=True)
class Trial:
    """A task of this process' threads that fails so many times with an OSError."""

    name: str
    failures: int = 0


def tried(trial: Trial) -> str:
    TRIED[trial.name] += 1
    if TRIED[trial.name] <= trial.failures:
        raise OSError("the disk of this worker is gone")
    if trial.name == "wrong":
        raise ValueError("wrong for good")
    return trial.name


def test_futures_and_tasks_stay_few_over_thousands_of_blocks():
    n, window = 5000, WINDOW_PER_SLOT * SLOTS
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(n):
            taken += 1
            yield number

    futures, tasks, ahead, found = 0, 0, 0, []
    with open_cluster(f"threads:{SLOTS}") as workers:
        for result in workers.map(abs, items(), what="a block"):
            found.append(result)
            futures = max(futures, len(workers.client.futures))
            tasks = max(tasks, len(workers.client.cluster.scheduler.tasks))
            ahead = max(ahead, taken - len(found))
        assert not workers.client.futures
    assert sorted(found) == list(range(n))
    assert 0 < futures <= 4 * window, "what was done is forgotten a moment later"
    assert 0 < tasks <= 4 * window, "by the scheduler too"
    assert ahead <= 2 * window, "results that wait to be taken, and tasks under way"


def test_a_task_that_its_worker_failed_is_tried_again_and_not_for_ever():
    TRIED.clear()
    with open_cluster("threads:2") as workers:
        trials = [Trial("a", 1), Trial("b"), Trial("c", ATTEMPTS - 1)]
        assert sorted(workers.map(tried, trials, what="a block")) == ["a", "b", "c"]
        assert TRIED == {"a": 2, "b": 1, "c": ATTEMPTS}
        with pytest.raises(CryolitheError, match=f"a block failed {ATTEMPTS} times, the last time with OSError"):
            list(workers.map(tried, [Trial("d", ATTEMPTS)], what="a block"))
    assert TRIED["d"] == ATTEMPTS


def test_what_ended_beside_a_failure_is_delivered_before_it():
    TRIED.clear()
    found: list[str] = []
    with open_cluster("threads:1") as workers, pytest.raises(ValueError, match="wrong for good"):
        for name in workers.map(tried, [Trial("first"), Trial("wrong"), *map(Trial, "xyz")], what="a block"):
            found.append(name)
    assert TRIED["first"] == 1 and "first" in found


def test_results_that_went_with_the_last_worker_are_made_again_by_the_next_one(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(window, "_FETCH_S", 3.0)
    monkeypatch.setattr(watch, "LOOK_EVERY_S", 0.5)
    monkeypatch.setattr(watch, "TELL_AFTER_S", 1.0)
    finished, told = watch.Finished.batch, []
    with ExitStack() as processes:
        processes.enter_context(scheduler_process(tmp_path))
        first = processes.enter_context(worker_process(tmp_path, "--name", "first"))
        wait_for_workers(tmp_path / "scheduler.json", 1)

        def batch(self: watch.Finished) -> list[Future]:
            found = finished(self)
            if first.poll() is None:
                first.kill()
                first.wait(timeout=20)
            return found

        def tell(text: str) -> None:
            if not told:
                processes.enter_context(worker_process(tmp_path, "--name", "second"))
            told.append(text)

        monkeypatch.setattr(watch.Finished, "batch", batch)
        with open_cluster(f"file:{tmp_path / 'scheduler.json'}") as workers:
            workers.await_first(tell)
            found = list(workers.map(who, range(5), what="a block"))
    assert [name for name, _ in found] == ["second"] * 5 and len({key for _, key in found}) == 5
    assert "no worker is left" in told[0]
