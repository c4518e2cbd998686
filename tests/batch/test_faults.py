"""What clusters do to a batch, really done: no voxel is wrong, nothing finished is lost, nothing hangs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from batch_support import run_jobs
from run_support import fingerprint_of_files, options, write_series

from cryolithe_stream.batch import BatchResult, Job
from cryolithe_stream.errors import ClusterLostError

LIMIT_S = 280


def jobs_of(folder: Path, out: Path, n: int) -> list[Job]:
    """Series whose filtered back-projection has eight blocks each."""
    jobs = []
    for number in range(n):
        given: dict[str, Any] = write_series(folder / f"TS_{number:02d}", n_tilts=7, shape_yx=(200, 200), seed=number)
        output = out / f"TS_{number:02d}.ome.zarr"
        jobs.append(Job(f"TS_{number:02d}", options(output, **given, method="fbp", thickness=70)))
    return jobs


def worker_processes() -> list[psutil.Process]:
    """The worker processes that this one's nannies started."""
    found = psutil.Process().children(recursive=True)
    return [p for p in found if "spawn_main" in " ".join(_command(p)) and p.status() != psutil.STATUS_ZOMBIE]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


class Running:
    """A batch in a thread; `result` waits for it, and fails when it hangs."""

    def __init__(self, jobs: list[Job], out: Path, cluster: str) -> None:
        self.found: list[BatchResult | BaseException] = []
        self.thread = threading.Thread(target=self._run, args=(jobs, out, cluster), daemon=True)
        self.thread.start()

    def _run(self, jobs: list[Job], out: Path, cluster: str) -> None:
        try:
            self.found.append(run_jobs(jobs, out, cluster=cluster))
        except BaseException as error:
            self.found.append(error)

    def wait_for(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.thread.is_alive(), self.found
            assert time.monotonic() < deadline, "what was waited for did not come"
            time.sleep(0.02)

    def result(self, seconds: float = LIMIT_S) -> BatchResult | BaseException:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), "the batch hangs"
        return self.found[0]


def complete(out: Path) -> list[Path]:
    return sorted(out.glob("*.ome.zarr"))


def assert_as_clean(jobs: list[Job], clean: Path) -> None:
    for job in jobs:
        assert fingerprint_of_files(job.options.output) == fingerprint_of_files(clean / job.options.output.name)


def undisturbed(folder: Path, cluster: str) -> Path:
    """What a batch makes of six series on as many workers: blocks, and so last bits, depend on their number."""
    result = run_jobs(jobs_of(folder / "in", folder / "out", 6), folder / "out", cluster=cluster)
    assert result.counts()["done"] == 6
    return folder / "out"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return undisturbed(tmp_path_factory.mktemp("clean"), "threads:2")


@pytest.mark.timeout(LIMIT_S + 20)
def test_workers_that_are_killed_cost_no_voxel(tmp_path: Path, clean: Path) -> None:
    jobs = jobs_of(tmp_path / "in", tmp_path / "out", 6)
    running = Running(jobs, tmp_path / "out", "local:2")
    for n_complete in (0, 2, 4):
        running.wait_for(lambda: any((tmp_path / "out").glob("*.partial")))  # all workers have started
        running.wait_for(lambda n=n_complete: len(complete(tmp_path / "out")) >= n and worker_processes())
        victim = random.Random(n_complete).choice(worker_processes())
        victim.send_signal(signal.SIGKILL)
    result = running.result()
    assert isinstance(result, BatchResult) and result.counts() == {"done": 6, "failed": 0, "skipped": 0}
    assert_as_clean(jobs, clean)


@pytest.mark.timeout(LIMIT_S + 20)
def test_a_worker_that_is_paused_delays_and_spoils_nothing(tmp_path: Path, clean: Path) -> None:
    jobs = jobs_of(tmp_path / "in", tmp_path / "out", 6)
    running = Running(jobs, tmp_path / "out", "local:2")
    running.wait_for(lambda: complete(tmp_path / "out"))
    (victim, *_) = worker_processes()
    victim.send_signal(signal.SIGSTOP)
    try:
        time.sleep(5)
    finally:
        victim.send_signal(signal.SIGCONT)
    result = running.result()
    assert isinstance(result, BatchResult) and result.counts()["done"] == 6
    assert_as_clean(jobs, clean)


@pytest.fixture
def scheduler(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str], subprocess.Popen[str]]]:
    """A scheduler of its own and a worker process with two threads."""
    repository = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "cli")])}
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment, "text": True}
    one = subprocess.Popen([*start, "--no-dashboard", "--scheduler-file", str(file)], **quiet)
    try:
        deadline = time.monotonic() + 60
        while not file.exists() or not file.read_text():
            assert time.monotonic() < deadline and one.poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard", "--nthreads", "1"]
        more = ["--no-nanny", "--local-directory", str(tmp_path / "scratch"), "--death-timeout", "20"]
        two = subprocess.Popen([*worker, *more], **quiet)
        try:
            yield address, one, two
        finally:
            two.kill()
            two.wait(timeout=20)
    finally:
        one.kill()
        one.wait(timeout=20)


@pytest.mark.timeout(LIMIT_S + 20)
def test_a_scheduler_that_dies_ends_the_batch_and_the_next_one_goes_on(tmp_path, scheduler) -> None:
    address, process, _ = scheduler
    jobs = jobs_of(tmp_path / "in", tmp_path / "out", 6)
    running = Running(jobs, tmp_path / "out", address)
    running.wait_for(lambda: len(complete(tmp_path / "out")) >= 2, seconds=120)
    process.kill()
    result = running.result(60)
    assert isinstance(result, ClusterLostError), result
    assert "same command" in str(result)
    there = complete(tmp_path / "out")
    assert 2 <= len(there) < 6
    again = run_jobs(jobs, tmp_path / "out", cluster="threads:1")
    assert again.counts() == {"done": 6 - len(there), "failed": 0, "skipped": len(there)}
    assert_as_clean(jobs, undisturbed(tmp_path / "clean", "threads:1"))
