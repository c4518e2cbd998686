"""Workers of a long run are killed again and again, or sleep past their timeout: no voxel is wrong, none is lost."""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from cluster_support import scheduler_process, wait_for_workers, worker_process
from fault_support import MANY, MEMORY, N_MANY, blocks_done, hashes, many, started, wait_until, workers_of

from cryolithe_stream_cli.main import main


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, str]]:
    """The words of a long run, and the hashes of what it gives undisturbed."""
    folder = tmp_path_factory.mktemp("clean")
    words, out = [*many(folder / "in"), *MANY], folder / "clean.ome.zarr"
    assert main(["run", *words, "--cluster", "threads:2", "--memory", MEMORY["threads:2"], "-o", str(out)]) == 0
    return words, hashes(out)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_workers_that_are_killed_ten_times(tmp_path: Path, clean: tuple[list[str], dict[str, str]]) -> None:
    words, wanted = clean
    out, chance, n_kills = tmp_path / "out.ome.zarr", random.Random(10), 0
    with started("run", *words, "--cluster", "local:2", "--memory", MEMORY["local:2"], "-o", out) as process:
        for n_blocks in range(15, 206, 21):
            wait_until(
                lambda n=n_blocks: len(blocks_done(out)) >= n and workers_of(psutil.Process(process.pid)),
                process,
                seconds=400,
            )
            chance.choice(workers_of(psutil.Process(process.pid))).send_signal(signal.SIGKILL)
            n_kills += 1
        _, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    assert n_kills == 10
    assert hashes(out) == wanted
    assert len(wanted) >= N_MANY


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_that_sleeps_past_its_timeout(tmp_path: Path, clean: tuple[list[str], dict[str, str]]) -> None:
    words, wanted = clean
    out = tmp_path / "out.ome.zarr"
    with ExitStack() as stack:
        stack.enter_context(scheduler_process(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="15s"))
        one, _ = (stack.enter_context(worker_process(tmp_path, "--nthreads", "1")) for _ in range(2))
        file = tmp_path / "scheduler.json"
        wait_for_workers(file, 2)
        run = started("run", *words, "--cluster", f"file:{file}", "--memory", MEMORY["local:2"], "-o", out)
        process = stack.enter_context(run)
        wait_until(lambda: len(blocks_done(out)) >= 40, process)
        one.send_signal(signal.SIGSTOP)
        time.sleep(40)
        one.send_signal(signal.SIGCONT)
        _, told = process.communicate(timeout=400)
        assert process.returncode == 0, told
    assert hashes(out) == wanted
