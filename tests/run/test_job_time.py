"""The wall time of a batch system's jobs ends in the middle of a run: new ones are submitted and it goes on."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from fault_support import FEW, blocks_done, few, hashes, started, wait_until

from cryolithe_stream_cli.main import main

SPEC = "slurm:cores=1,memory=1GB,interface=lo"


def end(jobs: list[str]) -> None:
    """What a batch system does to jobs whose time is over: SIGTERM, and SIGKILL after some seconds."""
    for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 0.0)):
        for job in jobs:
            with suppress(ProcessLookupError):
                os.killpg(int(job), number)
        time.sleep(seconds)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("scale", [("--workers", "2"), ("--adapt", "2:2")])
def test_jobs_that_end_are_submitted_again(slurm: Path, tmp_path: Path, scale: tuple[str, str]) -> None:
    words, out, clean = [*few(tmp_path / "in"), *FEW], tmp_path / "out.ome.zarr", tmp_path / "clean.ome.zarr"
    assert main(["run", *words, "--cluster", "threads:2", "-o", str(clean)]) == 0
    path = os.environ["PATH"]
    with started("run", *words, "--cluster", SPEC, *scale, "-o", out, PATH=path) as process:
        wait_until(lambda: len(blocks_done(out)) >= 2, process)
        first = (tmp_path / "jobs").read_text().split()
        end(first)
        _, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    assert len((tmp_path / "jobs").read_text().split()) == 4, told
    assert hashes(out) == hashes(clean) != {}
    if scale[0] == "--workers":
        assert "no worker is left" in told and "new jobs are submitted" in told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_batch_system_that_takes_no_new_jobs_ends_the_run_with_its_own_words(slurm: Path, tmp_path: Path) -> None:
    words, out = [*few(tmp_path / "in"), *FEW], tmp_path / "out.ome.zarr"
    command = ["run", *words, "--cluster", SPEC, "--workers", "1", "-o", str(out)]
    with started(*command, PATH=os.environ["PATH"]) as process:
        wait_until(lambda: blocks_done(out), process)
        (slurm / "sbatch").write_text("#!/bin/sh\necho 'allocation used up' >&2\nexit 1\n")
        end((tmp_path / "jobs").read_text().split())
        _, told = process.communicate(timeout=200)
    assert process.returncode == 1, told
    (error,) = [line for line in told.splitlines() if line.startswith("error:")]
    assert "allocation used up" in error and error.endswith("Run the same command to continue.")
    assert blocks_done(out)
