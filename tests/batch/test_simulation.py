"""Laws of the simulated batch, and cases counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.batch.costs import SHIPPED, read_costs
from cryolithe_stream.batch.imagined import described_kind, simulated_batches
from cryolithe_stream.batch.simulation import SeriesWork, Simulated, Stage, Task, simulate_batch

SECONDS = st.floats(0.01, 10)
TASKS = st.lists(st.builds(Task, SECONDS, st.integers(0, 1000), st.integers(0, 1000)), max_size=12)
STAGES = st.builds(Stage, TASKS, st.booleans())
SERIES = st.lists(st.builds(SeriesWork, st.lists(STAGES, max_size=4).map(tuple)), min_size=1, max_size=6)
WORKERS = st.integers(1, 9)


def tasks_of(series: list[SeriesWork]) -> list[Task]:
    return [task for one in series for stage in one.stages for task in stage.tasks]


def critical_s(one: SeriesWork) -> float:
    """What a series takes with any number of workers."""
    return sum(max((task.seconds for task in stage.tasks), default=0.0) for stage in one.stages)


@given(SERIES, WORKERS, st.integers(1, 6))
def test_work_is_conserved_and_no_batch_beats_its_bounds(series, workers, at_once):
    found = simulate_batch(series, workers=workers, at_once=at_once)
    tasks = tasks_of(series)
    work = sum(task.seconds for task in tasks)
    assert found.tasks == len(tasks)
    assert found.busy_s == pytest.approx(work)
    assert found.bytes_read == sum(task.bytes_read for task in tasks)
    assert found.bytes_written == sum(task.bytes_written for task in tasks)
    assert 0 <= found.idle_share <= 1
    assert found.makespan_s >= work / workers * (1 - 1e-9)
    assert found.makespan_s >= max(map(critical_s, series)) * (1 - 1e-9)


@given(SERIES, WORKERS)
def test_workers_that_always_take_what_is_there_wait_no_longer_than_one_series(series, workers):
    """R. L. Graham's bound (1969) for workers that never leave a task that could run: all series under way here."""
    found = simulate_batch(series, workers=workers, at_once=len(series))
    work = sum(task.seconds for task in tasks_of(series))
    assert found.makespan_s <= (work / workers + max(map(critical_s, series))) * (1 + 1e-9)
    more = simulate_batch(series, workers=2 * workers, at_once=len(series))
    assert more.makespan_s <= found.makespan_s + max(map(critical_s, series)) + 1e-9


@given(SERIES, st.integers(1, 6))
def test_one_worker_takes_the_sum(series, at_once):
    found = simulate_batch(series, workers=1, at_once=at_once)
    assert found.makespan_s == pytest.approx(sum(task.seconds for task in tasks_of(series)))
    assert found.idle_share == pytest.approx(0, abs=1e-9)


@given(SERIES, WORKERS, st.integers(1, 6), st.floats(10, 1e5))
def test_a_disk_serves_no_more_than_it_can(series, workers, at_once, rate):
    found = simulate_batch(series, workers=workers, at_once=at_once, bytes_per_second=rate)
    assert found.bytes_per_second <= rate * (1 + 1e-9)
    assert found.tasks == len(tasks_of(series))
    assert 0 <= found.disk_share <= 1
    unlimited = simulate_batch(series, workers=1, at_once=at_once)
    if workers == 1:
        moved = (found.bytes_read + found.bytes_written) / rate
        assert found.makespan_s == pytest.approx(unlimited.makespan_s + moved)


@given(SERIES, WORKERS, st.floats(0.001, 0.1))
def test_the_client_does_one_thing_after_another(series, workers, client_s):
    told = [
        SeriesWork(tuple(Stage(stage.tasks, stage.urgent, client_s) for stage in one.stages), client_s)
        for one in series
    ]
    found = simulate_batch(told, workers=workers, at_once=3)
    times = len(told) + len(tasks_of(told))
    assert found.client_s == pytest.approx(times * client_s)
    assert found.makespan_s >= found.client_s * (1 - 1e-9)


def series_of(n: int, prepare_s: float, blocks: int, block_s: float) -> list[SeriesWork]:
    return [SeriesWork((Stage([Task(prepare_s)], urgent=True), Stage([Task(block_s)] * blocks)))] * n


def test_counted_by_hand():
    """Two workers, one series at a time: 3 s of preparation on one, then four blocks of 2 s on both; twice."""
    found = simulate_batch(series_of(2, 3.0, 4, 2.0), workers=2, at_once=1)
    assert found == Simulated(2, 14.0, 22.0, 0.0, 0.0, 0, 0, 10)
    assert found.idle_share == pytest.approx(6 / 28)
    # Both at once: both prepare, and then the first one's blocks are taken first.
    assert simulate_batch(series_of(2, 3.0, 4, 2.0), workers=2, at_once=2).makespan_s == 11.0


@pytest.mark.parametrize(("urgent", "makespan_s"), [(True, 8.0), (False, 9.0)])
def test_preparation_goes_before_the_blocks_that_wait(urgent, makespan_s):
    """Two workers hold a block of the first series; urgent, the second's preparation comes next, else after all six."""
    first = SeriesWork((Stage([Task(1.0)] * 6),))
    second = SeriesWork((Stage([Task(1.0)], urgent=urgent), Stage([Task(5.0)])))
    assert simulate_batch([first, second], workers=2, at_once=2).makespan_s == makespan_s


@pytest.mark.parametrize("workers", [64, 512])
def test_a_long_queue_keeps_many_workers_busy(workers):
    series = series_of(40, 1.0, 20 * workers, 0.5)
    work = 40 * (1.0 + 10 * workers)
    found = simulate_batch(series, workers=workers, at_once=3)
    assert work / workers <= found.makespan_s <= 1.02 * work / workers


def test_a_slow_client_is_the_limit_however_many_workers_there_are():
    series = [SeriesWork((Stage([Task(1.0)] * 1000, client_seconds_per_task=0.01),))] * 4
    found = simulate_batch(series, workers=512, at_once=3)
    assert 40 <= found.makespan_s <= 42
    assert found.client_share > 0.95


def test_records_hold_up_their_own_series_alone():
    """A record takes 1 s, a task 0.5 s: alone a series takes as long as its records, two at once no longer."""
    recorded = SeriesWork((Stage([Task(0.5)] * 50, record_seconds_per_task=1.0),))
    alone = simulate_batch([recorded], workers=4, at_once=2)
    both = simulate_batch([recorded] * 2, workers=4, at_once=2)
    assert alone.makespan_s == 50.5
    assert alone.makespan_s <= both.makespan_s <= alone.makespan_s + 1
    assert simulate_batch([recorded] * 2, workers=4, at_once=1).makespan_s == 2 * alone.makespan_s


def test_thousands_of_tasks_that_end_while_the_client_is_at_work_are_heard_of():
    stage = Stage([Task(0.0)] * 3000, client_seconds_per_task=1e-3)
    found = simulate_batch([SeriesWork((stage,))], workers=1000, at_once=1)
    assert (found.tasks, round(found.makespan_s, 6)) == (3000, 3.0)


@pytest.mark.parametrize("model", ["default", "default-wavelet"])
def test_preparations_of_raw_stacks_keep_up_with_any_number_of_workers(model):
    raw = {"pixel_size": 1.96, "bin": 4, "model": model, "precision": "bfloat16"}
    kind = described_kind(400, (41, 4096, 4096), raw)
    for batch, _ in simulated_batches([kind], read_costs(SHIPPED), workers=[2, 4, 8, 16, 32, 64, 128]):
        assert batch.idle_share < 0.05, batch.workers
