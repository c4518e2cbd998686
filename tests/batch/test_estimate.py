"""What is said of a batch before it starts: room and time, where this machine can tell."""

from __future__ import annotations

import pytest
import torch
from run_support import options, write_series

from cryolithe_stream.batch import Job
from cryolithe_stream.batch.estimate import estimate_batch
from cryolithe_stream.run import plan_run
from cryolithe_stream.run.estimate import Pace
from cryolithe_stream_cli.main import main

ON_GPUS = "slurm:cores=8,memory=64GiB,gpus=2"


@pytest.fixture
def jobs(tmp_path):
    """Two series of different sizes."""
    found = []
    for name, n_tilts in (("a", 9), ("b", 13)):
        (tmp_path / "in" / name).mkdir(parents=True)
        series = write_series(tmp_path / "in" / name, n_tilts=n_tilts)
        found.append(Job(name, options(tmp_path / f"{name}.ome.zarr", **series, method="fbp")))
    return found


def test_a_machine_is_timed_once_for_series_of_any_sizes(jobs):
    pace, seconds_per_cost = Pace(), set()
    for job in jobs:
        plan = plan_run(job.options)
        speed = pace.voxels_per_second(plan.survey)
        seconds_per_cost.add(round(plan.survey.plan.window.n_voxels / (speed * plan.survey.plan.work) * 1e15))
    assert len(seconds_per_cost) == 1


def test_the_whole_is_the_sum_of_its_series(jobs):
    both, first = estimate_batch(jobs), estimate_batch(jobs[:1])
    assert (both.n_series, both.n_unknown, first.n_series) == (2, 0, 1)
    assert both.output_bytes == sum(estimate_batch([job]).output_bytes for job in jobs)
    assert both.seconds > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that it tells the time of")
def test_no_time_is_told_for_gpus_that_this_machine_has_not(jobs, tmp_path, capsys, monkeypatch):
    elsewhere = [Job(j.name, j.options.model_copy(update={"cluster": ON_GPUS, "device": "auto"})) for j in jobs]
    assert estimate_batch(elsewhere).seconds is None
    monkeypatch.setenv("PATH", str(tmp_path))
    words = ["--method", "fbp", "--device", "auto", "--cluster", ON_GPUS]
    assert main(["batch", "run", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *words]) == 2
    told = capsys.readouterr().err
    assert "2 of 2 series to do: about" in told
    assert "on this machine\n" not in told
    assert "sbatch is not on this machine's PATH" in told
