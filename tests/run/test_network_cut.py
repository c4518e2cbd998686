"""The network is cut between client, scheduler and workers: nothing hangs, no voxel is wrong, nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cluster_support import scheduler, scheduler_process, wait_for_workers, worker_process
from fault_support import MANY, MEMORY, N_MANY, blocks_done, hashes, many, started, wait_until
from relay_support import Relay, relay
from run_support import options, write_series

from cryolithe_stream.errors import ClusterLostError
from cryolithe_stream.run import reconstruct_series, watch
from cryolithe_stream.run.progress import Silent
from cryolithe_stream_cli.main import main


class CutsAfter(Silent):
    """Cuts a network when so many blocks are done."""

    def __init__(self, network: Relay, n_blocks: int) -> None:
        self.network, self.left, self.cut_at = network, n_blocks, 0.0

    def advance(self, n: int, voxels: int = 0) -> None:
        if voxels:
            self.left -= 1
            if not self.left:
                self.network.cut()
                self.cut_at = time.monotonic()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_scheduler_that_falls_silent_ends_the_run_which_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine takes what is sent and never answers: no connection breaks, and TCP notices nothing."""
    monkeypatch.setattr(watch, "LOST_S", 20.0)
    out, clean = tmp_path / "out.ome.zarr", tmp_path / "clean.ome.zarr"
    given: dict[str, Any] = write_series(tmp_path / "in", n_tilts=7, shape_yx=(200, 200))
    given |= {"method": "fbp", "thickness": 70}
    reconstruct_series(options(clean, **given, cluster="threads:1"))
    with scheduler(tmp_path, "--nthreads 1") as file:
        address = json.loads(file.read_text())["address"]
        with relay(int(address.rpartition(":")[2])) as network:
            through = options(out, **given, cluster=f"tcp://127.0.0.1:{network.port}")
            progress = CutsAfter(network, 2)
            with pytest.raises(ClusterLostError, match=r"has not answered for 20 s\. Run the same command to continue"):
                reconstruct_series(through, progress)
            assert progress.cut_at
            took = time.monotonic() - progress.cut_at
        assert took < watch.LOOK_EVERY_S + watch.LOST_S + 15
        assert len(blocks_done(out)) >= 2
        assert not out.exists()
        assert reconstruct_series(options(out, **given, cluster=address)).status == "done"
    assert hashes(out) == hashes(clean) != {}


NAMESPACE, HERE, THERE = "cryolithe-cut", "10.213.77.1", "10.213.77.2"


@pytest.fixture
def namespace() -> Iterator[list[str]]:
    """A network namespace behind a virtual cable; gives the words that start a process in it."""
    made = [
        f"ip netns add {NAMESPACE}",
        f"ip link add cryolithe0 type veth peer name cryolithe1 netns {NAMESPACE}",
        f"ip addr add {HERE}/30 dev cryolithe0",
        "ip link set cryolithe0 up",
        f"ip -n {NAMESPACE} addr add {THERE}/30 dev cryolithe1",
        f"ip -n {NAMESPACE} link set cryolithe1 up",
        f"ip -n {NAMESPACE} link set lo up",
    ]
    try:
        for command in made:
            if os.getuid() != 0 or not shutil.which("ip") or subprocess.run(command.split()).returncode:
                pytest.skip("network namespaces need more rights")
        yield ["ip", "netns", "exec", NAMESPACE]
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "del", NAMESPACE], stderr=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_worker_whose_cable_is_pulled_costs_no_voxel(tmp_path: Path, namespace: list[str]) -> None:
    words, out, clean = [*many(tmp_path / "in"), *MANY], tmp_path / "out.ome.zarr", tmp_path / "clean.ome.zarr"
    assert main(["run", *words, "--cluster", "threads:2", "--memory", MEMORY["threads:2"], "-o", str(clean)]) == 0
    with ExitStack() as stack:
        stack.enter_context(scheduler_process(tmp_path, "--host", HERE))
        file = tmp_path / "scheduler.json"
        address = json.loads(file.read_text())["address"]
        stack.enter_context(worker_process(tmp_path, address, "--host", HERE, "--nthreads", "1"))
        far = ["--host", THERE, "--nthreads", "1", "--name", "far"]
        stack.enter_context(worker_process(tmp_path, address, *far, before=namespace))
        wait_for_workers(file, 2)
        run = started("run", *words, "--cluster", f"file:{file}", "--memory", MEMORY["local:2"], "-o", out)
        process = stack.enter_context(run)
        wait_until(lambda: len(blocks_done(out)) >= 60, process)
        subprocess.run(["ip", "link", "set", "cryolithe0", "down"], check=True)
        subprocess.run(["ip", "addr", "add", f"{HERE}/32", "dev", "lo"], check=True)  # what is here stays reachable
        _, told = process.communicate(timeout=400)
    assert process.returncode == 0, told
    assert hashes(out) == hashes(clean) != {}
    assert len(hashes(out)) >= N_MANY
