"""The client is killed while scheduler and workers live on, and comes back: no voxel is wrong, no block is lost."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from cluster_support import program, scheduler, scheduler_process, wait_for_workers, worker_process
from fault_support import FEW, MANY, MEMORY, N_MANY, blocks_done, few, hashes, many, started, wait_until

from cryolithe_stream.geometry import Box
from cryolithe_stream.plan import BlockPlan
from cryolithe_stream.run.workspace import Workspace
from cryolithe_stream.store import open_tomogram, read_ledger
from cryolithe_stream_cli.main import main

WORKERS = ("--nthreads 1 --name one", "--nthreads 1 --name two")


def shards_of_finished_blocks(out: Path) -> dict[str, int]:
    """The inodes of the files that hold the blocks which are marked; blocks are single shards here."""
    folder = Workspace.of(out, halves=False).folder
    plan = BlockPlan.from_json(read_ledger(folder).plan["plan"])
    (level,) = folder.glob("*/all.ome.zarr/0")
    found = {}
    for key in blocks_done(out):
        start = plan.block(int(key.split("/")[-1])).box.start
        name = "/".join(str(a // s) for a, s in zip(start, plan.shard_zyx, strict=True))
        found[name] = (level / "c" / name).stat().st_ino
    return found


def killed_and_back(tmp_path: Path, words: list[str], file: Path, kills: tuple[int, ...]) -> int:
    """Kill a client at so many finished blocks, start it again; how many blocks the last one found finished."""
    clean, out = tmp_path / "clean.ome.zarr", tmp_path / "out.ome.zarr"
    wait_for_workers(file, len(WORKERS))
    words = ["run", *words, "--cluster", f"file:{file}"]
    assert main([*words, "-o", str(clean)]) == 0
    kept: dict[str, int] = {}
    for n in kills:
        with started(*words, "-o", out) as client:
            wait_until(lambda n=n: len(blocks_done(out)) >= n, client)
            client.send_signal(signal.SIGKILL)
            client.wait(timeout=20)
        kept = kept or shards_of_finished_blocks(out)
    n_found = len(blocks_done(out))
    assert main([*words, "-o", str(out)]) == 0
    assert hashes(out) == hashes(clean) != {}
    now = {name: (out / "0" / "c" / name).stat().st_ino for name in kept}
    assert now == kept, "what was finished was not written again"
    return n_found


@pytest.mark.timeout(280)
def test_it_goes_on_with_the_same_workers(tmp_path: Path) -> None:
    with scheduler(tmp_path, *WORKERS) as file:
        assert 3 <= killed_and_back(tmp_path, [*few(tmp_path / "in"), *FEW], file, (3,)) < 8


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_goes_on_ten_times_over_hundreds_of_blocks(tmp_path: Path) -> None:
    words = [*many(tmp_path / "in"), *MANY, "--memory", MEMORY["local:2"]]
    with scheduler(tmp_path, *WORKERS) as file:
        assert 200 <= killed_and_back(tmp_path, words, file, tuple(range(20, 201, 20))) < N_MANY


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_task_of_the_dead_does_not_write_into_another_reconstruction(tmp_path: Path) -> None:
    """A worker sleeps over its client's death, over --overwrite, and wakes up when its block has been made anew."""
    words, out, clean = [*few(tmp_path / "in"), *FEW], tmp_path / "out.ome.zarr", tmp_path / "clean.ome.zarr"
    assert main(["run", *words, "--invert", "--cluster", "threads:2", "-o", str(clean)]) == 0
    with ExitStack() as stack:
        stack.enter_context(scheduler_process(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="20s"))
        file = tmp_path / "scheduler.json"
        sleeper = stack.enter_context(worker_process(tmp_path, "--nthreads", "2"))
        wait_for_workers(file, 1)
        with started("run", *words, "--cluster", f"file:{file}", "-o", out) as client:
            wait_until(lambda: blocks_done(out), client)
            sleeper.send_signal(signal.SIGSTOP)
        others = set(range(8)) - {int(key.split("/")[-1]) for key in blocks_done(out)}
        stack.enter_context(worker_process(tmp_path, "--nthreads", "1"))
        last = stack.enter_context(
            started("run", *words, "--invert", "--overwrite", "--cluster", f"file:{file}", "-o", out)
        )
        n_first = min(others)
        wait_until(lambda: f"block/all/{n_first}" in blocks_done(out), last)
        os.kill(last.pid, signal.SIGSTOP)  # until the sleeper has written
        sleeper.send_signal(signal.SIGCONT)
        time.sleep(20)
        os.kill(last.pid, signal.SIGCONT)
        _, told = last.communicate(timeout=200)
        assert last.returncode == 0, told
    made, wanted = open_tomogram(out), open_tomogram(clean)
    found, right = (tomogram.read_box(Box.whole(tomogram.shape_zyx)) for tomogram in (made, wanted))
    assert np.abs(found - right).max() < 1e-4 * right.std(), "the last bits depend on the number of threads, no more"
    assert program("verify", str(out)).returncode == 0
