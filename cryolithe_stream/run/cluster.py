"""Dask's only door: opens a cluster by its word, and maps a function over items with a bounded window of futures."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TypeVar

import dask
from distributed import Client, KilledWorker, LocalCluster, as_completed
from distributed.deploy.cluster import Cluster
from distributed.utils import LoopRunner

from cryolithe_stream.errors import ClusterLostError, CryolitheError, InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW_PER_SLOT = 2
ATTEMPTS = 3
_URGENT = 1_000_000
_LOGGING = dict.fromkeys(("distributed", "bokeh", "tornado", "tornado.application"), "critical")
_SETTINGS = {
    "distributed.logging": _LOGGING,
    "distributed.nanny.pre-spawn-environ.DASK_DISTRIBUTED__LOGGING": repr(_LOGGING),  # workers read it as they start
    "distributed.worker.daemon": True,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
    "distributed.comm.retry.count": 3,
}
# Large arrays are mapped and given back: kept in glibc's heaps they split it, and a worker's peak grew by up to 70 %
# (measured), at no gain in speed.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20), "MALLOC_ARENA_MAX": "2"}
# Threads that wait for each other sleep: spinning, two of them took 2.5 times the processor time on a busy machine.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, slots=True)
class ClusterSize:
    """How many worker processes a cluster word gives, and what each may use."""

    workers: int
    threads: int
    processes: bool


def cluster_size(spec: str, *, gpus: int = 0) -> ClusterSize:
    """What `local[:N]` or `threads[:N]` will start; for an address, what is known before connecting: one worker.

    `local` is a process for each core up to 16, which share the cores' threads; one for each GPU that computes.
    `threads` computes in this process, N blocks at a time: without N, one for each core up to 8.
    """
    word, _, count = spec.partition(":")
    cores = len(os.sched_getaffinity(0))
    if word == "local":
        n = int(count) if count else (gpus or min(cores, 16))
        return ClusterSize(n, max(1, cores // n), processes=True)
    if word == "threads":
        n = int(count) if count else (gpus or min(cores, 8))
        return ClusterSize(n, max(1, cores // n), processes=False)
    return ClusterSize(1, 1, processes=True)


@contextmanager
def open_cluster(spec: str, *, gpus: int = 0) -> Iterator[Workers]:
    """Workers for the length of a `with` block; closed within seconds however it ends."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(_SETTINGS), tempfile.TemporaryDirectory(prefix="cryolithe-") as scratch:
        cluster = None if "://" in spec else _local(cluster_size(spec, gpus=gpus), scratch)
        try:
            client = _client(spec if cluster is None else cluster)
        except BaseException:
            if cluster is not None:
                cluster.close(timeout=5)
            raise
        workers = Workers(client)
        try:
            yield workers
        finally:
            with _undisturbed():
                workers.cancel()
                with suppress(TimeoutError, OSError, RuntimeError):
                    client.close(timeout=3)
                if cluster is not None:
                    with suppress(TimeoutError, OSError, RuntimeError):
                        cluster.close(timeout=5)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A block of seconds that a second Ctrl-C does not cut short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _loop_without_sigint() -> LoopRunner:
    """A running event loop in whose thread, and so in the worker processes that it starts, Ctrl-C is blocked.

    A terminal sends it to all processes; only this one should act on it, and workers have nothing to say about it.
    """
    _start_resource_tracker()  # when it starts later, it unblocks the signal in the thread that starts it
    runner = LoopRunner()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        runner.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return runner


def _start_resource_tracker() -> None:
    """Start the process that clears up after this one, and does not talk of it when this one leaves at once."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning"
    try:
        resource_tracker.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _local(size: ClusterSize, scratch: str) -> LocalCluster:
    threads = str(size.threads)
    environment = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    environment |= _MALLOC | _WAITING
    before_spawn = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in environment.items()}
    with dask.config.set(before_spawn):  # malloc and OpenMP read theirs as a process starts
        try:
            return LocalCluster(
                n_workers=size.workers if size.processes else 1,
                threads_per_worker=1 if size.processes else size.workers,
                processes=size.processes,
                dashboard_address="127.0.0.1:0",
                memory_limit=None,
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
                **({"host": "127.0.0.1", "loop": _loop_without_sigint().loop} if size.processes else {}),
            )
        except (OSError, RuntimeError, TimeoutError) as error:
            raise CryolitheError(
                f"the worker processes did not start ({error or type(error).__name__})",
                fix="Look for a full memory or disk, then run the same command again",
            ) from error


def _client(target: str | Cluster) -> Client:
    try:
        return Client(target, set_as_default=False, timeout=20)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {target} ({error or type(error).__name__})",
            fix="Start it, or use --cluster local",
        ) from error


class Workers:
    """Workers of a cluster, and the one way in which work is given to them; several threads may give it."""

    def __init__(self, client: Client, *, priority: int = 0, shared: bool = False) -> None:
        """Workers behind a connected client; `shared` ones serve several series at a time."""
        self._client = client
        self._priority = priority
        self._pending: set[object] = set()
        self.shared = shared

    def shared_at(self, priority: int) -> Workers:
        """The same workers for one series of many: work of higher priority goes first."""
        return Workers(self._client, priority=priority, shared=True)

    @property
    def slots(self) -> int:
        """Tasks that run at the same time."""
        return max(1, sum(int(n) for n in self._client.nthreads().values()))

    def warm_up(self, function: Callable[[], None]) -> None:
        """Have every worker call `function` once, without waiting; what it raises is left to the work itself."""
        with suppress(Exception):
            self._client.run(function, wait=False, on_error="ignore")

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, what: str, urgent: bool = False
    ) -> Iterator[Result]:
        """Results of `function(item)` as they finish, about two tasks a slot under way; the order is not kept.

        A worker that dies costs an attempt of the tasks it held; after three a CryolitheError tells which `what`.
        Errors of the function itself are raised as they are, and then tasks that are under way are given up.
        `urgent` work goes before all other series' work. Raises ClusterLostError when the scheduler has gone.
        """
        priority = self._priority + (_URGENT if urgent else 0)
        fresh, again = ((item, 1) for item in items), deque[tuple[Item, int]]()
        running = as_completed(loop=self._client.loop)
        held: dict[object, tuple[Item, int]] = {}

        def fill() -> None:
            most = WINDOW_PER_SLOT * self.slots
            while len(held) < most:
                task = again.popleft() if again else next(fresh, None)
                if task is None:
                    return
                item, attempt = task
                future = self._client.submit(function, item, pure=False, retries=0, priority=priority)
                held[future] = (item, attempt)
                self._pending.add(future)
                running.add(future)

        try:
            fill()
            while held:
                future = next(running)
                item, attempt = held.pop(future)
                self._pending.discard(future)
                try:
                    result: Result = future.result()
                except (CancelledError, asyncio.CancelledError) as error:
                    raise ClusterLostError(
                        f"the Dask scheduler is gone, or gave up {what}", fix="Run the same command to continue"
                    ) from error
                except (KilledWorker, OSError) as error:
                    if isinstance(error, CryolitheError):
                        raise
                    if attempt == ATTEMPTS:
                        raise CryolitheError(
                            f"{what} failed {ATTEMPTS} times, the last time with {type(error).__name__}: {error}",
                            fix="Look for a full memory or disk, then run the same command to continue",
                        ) from error
                    again.append((item, attempt + 1))
                else:
                    yield result
                fill()
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give up all tasks that are under way."""
        with suppress(Exception):
            self._client.cancel(list(self._pending), force=True)
        self._pending.clear()
