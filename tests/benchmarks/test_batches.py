"""Benchmarks of batches run, on a small scale."""

import numpy as np
import pytest
import yaml

from benchmarks.costs import fitted, measured, rounded
from benchmarks.played_batch import play
from benchmarks.scheduler import measured as measured_scheduler
from benchmarks.workers import main as compare_workers
from cryolithe_stream.batch.costs import read_costs
from cryolithe_stream.batch.simulation import SeriesWork, Stage, Task


def test_costs_are_fitted_without_going_below_zero():
    points = [([1.0, n], 0.5 + 2.0 * n) for n in (1.0, 10.0, 100.0)]
    assert fitted("line", points) == pytest.approx((0.5, 2.0))
    assert fitted("through zero", [([1.0, n], 2.0 * n - 0.1) for n in (1.0, 10.0)])[0] == 0
    assert rounded(0.00123456) == 0.00123


@pytest.mark.slow
def test_costs_of_this_machine_can_be_read_back(tmp_path):
    (tmp_path / "work").mkdir()
    content = measured(tmp_path / "work", 96, [])
    (tmp_path / "costs.yaml").write_text(yaml.safe_dump(content))
    costs = read_costs(tmp_path / "costs.yaml")
    assert set(costs.blocks) == {"fbp float32 cpu"}
    assert costs.client.per_task > 0 and costs.prepare.per_pixel + costs.prepare.per_raw_pixel > 0


def test_the_scheduler_is_measured():
    found = measured_scheduler("threads:2", 60)
    assert (found["slots"], found["blocks"]) == (2, 60)
    assert found["blocks_per_second"] > 0 and len(found["memory_mib"]) == 20


def test_a_batch_of_sleeping_tasks_takes_no_less_than_its_work_and_its_longest_series():
    rng = np.random.default_rng(1)
    series = [
        SeriesWork((Stage([Task(0.5)], urgent=True), Stage([Task(float(s)) for s in rng.uniform(0.2, 0.6, 12)])))
        for _ in range(3)
    ]
    work = sum(task.seconds for one in series for stage in one.stages for task in stage.tasks)
    longest = max(sum(max(task.seconds for task in stage.tasks) for stage in one.stages) for one in series)
    assert play(series, 4) >= max(work / 4, longest)
    assert play(series, 64) >= longest


@pytest.mark.slow
def test_workers_are_compared(tmp_path, capsys):
    compare_workers([str(tmp_path), "--model", "fbp", "--size", "64", "64", "128", "--repeat", "1", "--series", "2"])
    blocks, _, gain, batch = capsys.readouterr().out.splitlines()
    assert int(blocks.split()[0]) > 1
    assert float(gain.split(":")[1].split(";")[0]) > 0
    assert 0 <= float(batch.split("idle ")[1].split(" %")[0]) < 100
