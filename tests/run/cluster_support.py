"""Real schedulers and workers for tests of clusters."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import get_worker

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
def scheduler(folder: Path, *workers: str, protocol: str = "tcp", tls: tuple[str, ...] = ()) -> Iterator[Path]:
    """A scheduler on loopback and a worker for each string of options; gives the scheduler file."""
    file, python = folder / "scheduler.json", [sys.executable, "-m"]
    command = [*python, "distributed.cli.dask_scheduler", "--scheduler-file", str(file), "--host", "127.0.0.1"]
    command += ["--port", "0", "--no-dashboard", "--protocol", protocol, *tls]
    started = [subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)]
    try:
        wait_for(file)
        for given in workers:
            command = [*python, "distributed.cli.dask_worker", "--scheduler-file", str(file), "--host"]
            command += ["127.0.0.1", "--no-dashboard", "--no-nanny", "--local-directory", str(folder), *tls]
            started.append(subprocess.Popen([*command, *given.split()], env=environment(), stderr=subprocess.DEVNULL))
        yield file
    finally:
        for process in reversed(started):
            process.kill()
        for process in started:
            process.wait(timeout=20)


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
