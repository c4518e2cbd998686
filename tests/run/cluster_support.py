"""Real schedulers and workers for tests of clusters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from distributed import Client, get_worker

ROOT = Path(__file__).parents[2]
START_S = 200


def environment(**more: str) -> dict[str, str]:
    """What processes of these tests are started with: this checkout, and no word of the network."""
    path = f"{ROOT}{os.pathsep}{ROOT / 'cli'}"
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **more}


def program(*words: str, timeout: float = 240, **more: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "cryolithe_stream_cli", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment(**more), timeout=timeout, check=False
    )


@contextmanager
def scheduler(
    folder: Path, *workers: str, protocol: str = "tcp", tls: tuple[str, ...] = (), **more: str
) -> Iterator[Path]:
    """A scheduler on loopback and a worker for each string of options; gives the scheduler file."""
    with ExitStack() as stack:
        stack.enter_context(scheduler_process(folder, "--protocol", protocol, *tls, **more))
        for given in workers:
            stack.enter_context(worker_process(folder, *given.split(), *tls))
        yield folder / "scheduler.json"


@contextmanager
def scheduler_process(folder: Path, *options: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A scheduler on loopback that has written `folder/scheduler.json`; killed when the block ends."""
    file = folder / "scheduler.json"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--scheduler-file", str(file)]
    command += ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", *options]
    with _until_killed(command, more) as process:
        wait_for(file)
        yield process


@contextmanager
def worker_process(
    folder: Path, *options: str, before: Sequence[str] = (), **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of the scheduler that `scheduler_process` started, on loopback unless an address is among `options`.

    Killed when the block ends. `before` are words that start it elsewhere.
    """
    command = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-dashboard", "--no-nanny"]
    if not any(word.startswith("tcp://") for word in options):
        command += ["--scheduler-file", str(folder / "scheduler.json"), "--host", "127.0.0.1"]
    with _until_killed([*before, *command, "--local-directory", str(folder), *options], more) as process:
        yield process


@contextmanager
def _until_killed(command: list[str], more: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment(**more), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=20)


def wait_for_workers(file: Path, n: int) -> None:
    """Until a scheduler has so many workers."""
    with Client(json.loads(file.read_text())["address"], set_as_default=False) as client:
        client.wait_for_workers(n, timeout=START_S)


def wait_for(file: Path) -> None:
    """Until a file has something in it."""
    until = time.monotonic() + START_S
    while not (file.exists() and file.stat().st_size):
        assert time.monotonic() < until, f"{file} did not come"
        time.sleep(0.05)


def _sent_whole() -> Callable[[object], tuple[str, str]]:
    def who(item: object) -> tuple[str, str]:
        worker = get_worker()
        return str(worker.name), str(worker.get_current_task())

    return who


who = _sent_whole()
"""The worker and the key of the task that calls it; an inner function, which workers need not import."""
