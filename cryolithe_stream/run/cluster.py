"""Dask's only door: opens a cluster by its word, and maps a function over items."""

from __future__ import annotations

import asyncio
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any, TypeVar

import dask
from distributed import Client, Future

from cryolithe_stream.errors import InputError
from cryolithe_stream.run.cluster_words import ClusterWord, Scale, read_word
from cryolithe_stream.run.clusters import LOOPBACK, close_cluster, environment_kept, start_again, start_cluster
from cryolithe_stream.run.gpus import GPU, KeepOneGpu
from cryolithe_stream.run.scheduler import ask, connect, quiet, scheduler_address
from cryolithe_stream.run.sizes import UNKNOWN, ClusterSize, size_of_word
from cryolithe_stream.run.watch import Absence, Finished, threads_of_workers
from cryolithe_stream.run.window import Window

Item = TypeVar("Item")
Result = TypeVar("Result")

_URGENT = 1_000_000
ASK_S = 5.0
_AS_WRITTEN = Scale()
_LOGGING = dict.fromkeys(("distributed", "bokeh", "tornado", "tornado.application"), "critical")
_SETTINGS = {
    "distributed.logging": _LOGGING,
    "distributed.nanny.pre-spawn-environ.DASK_DISTRIBUTED__LOGGING": repr(_LOGGING),  # workers read it as they start
    "distributed.worker.profile.interval": "100ms",  # each 10 ms it took 2 % of a worker's processor time
    "distributed.worker.daemon": True,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
    "distributed.comm.retry.count": 3,
    "distributed.admin.low-level-log-length": 100,  # of messages, tasks and all: 1,000 keep tens of megabytes
}
# A nanny restarts its process; one that was absent when Dask looked, after 15 s, was given up, and the run waited on.
_RESTARTED = {"distributed.deploy.lost-worker-timeout": "20 days"}


def cluster_size(spec: str, *, gpus: int = 0, scale: Scale = _AS_WRITTEN) -> ClusterSize:
    """What a cluster word will start (`size_of_word`); a scheduler elsewhere is asked what its workers are.

    One that has no worker yet counts as one worker. Raises InputError when it does not answer.
    """
    word = read_word(spec)
    if word.kind in ("address", "file"):
        quiet()
        with dask.config.set(_SETTINGS):
            return ask(word, timeout_s=ASK_S) or UNKNOWN
    return size_of_word(word, scale=scale, gpus=gpus)


@contextmanager
def open_cluster(
    spec: str, *, size: ClusterSize | None = None, scale: Scale = _AS_WRITTEN, dashboard: str | None = None
) -> Iterator[Workers]:
    """Workers for the length of a `with` block; closed within seconds however it ends.

    `size` is what `cluster_size` found. Of `dashboard` see `RunOptions`. Raises InputError when the cluster cannot be
    started or reached.
    """
    quiet()
    word = read_word(spec)
    size = size or cluster_size(spec, scale=scale)
    with (
        environment_kept(),
        dask.config.set(_SETTINGS | (_RESTARTED if word.kind == "local" else {})),
        tempfile.TemporaryDirectory(prefix="cryolithe-") as scratch,
    ):
        cluster = start_cluster(word, size, scratch, scale=scale, dashboard=dashboard)
        try:
            client = connect(scheduler_address(word) if cluster is None else cluster)
        except BaseException:
            if cluster is not None:
                close_cluster(cluster)
            raise
        n_again = 0 if scale.adapt else scale.workers or size.processes
        absence = Absence(partial(start_again, cluster, n_again) if word.kind == "queue" else None)
        workers = Workers(client, size, absence=absence, dashboard_host=_dashboard_host(word, dashboard))
        try:
            workers.share_gpus()
            yield workers
        except ModuleNotFoundError as error:
            if word.kind in ("local", "threads"):
                raise
            fix = "`cryolithe-stream doctor --cluster …` tells what each worker lacks"
            raise InputError(f"a worker lacks a package ({error})", fix=fix) from error
        finally:
            with _undisturbed():
                workers.cancel()
                with suppress(TimeoutError, OSError, RuntimeError):
                    client.close(timeout=3)
                if cluster is not None:
                    close_cluster(cluster)


def _dashboard_host(word: ClusterWord, asked: str | None) -> str:
    """Where a dashboard of ours is looked at; empty where it is the scheduler's host or another's business."""
    if word.kind not in ("local", "threads", "queue", "cuda"):
        return ""
    host = (asked or LOOPBACK).rpartition(":")[0]
    return "" if not host or _is_every_address(host.strip("[]")) else host


def _is_every_address(host: str) -> bool:
    """Whether a host stands for all addresses of its machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:  # a name
        return False


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


class Workers:
    """Workers of a cluster, and the one way in which work is given to them; several threads may give it."""

    def __init__(
        self,
        client: Client,
        size: ClusterSize = UNKNOWN,
        *,
        absence: Absence | None = None,
        dashboard_host: str = "",
        priority: int = 0,
        among: int = 0,
    ) -> None:
        """Workers behind a connected client, as many as `size` tells; `dashboard_host` if not the scheduler's.

        Shared ones serve one series `among` so many at a time; `absence` is what all of them know of workers that are
        gone.
        """
        self._client, self._size, self._dashboard_host, self._priority = client, size, dashboard_host, priority
        self._pending: set[Future[Any]] = set()
        self._absence = absence or Absence()
        self._tell: Callable[[str], None] = lambda text: None
        self.shared, self.among = among > 0, max(1, among)

    def shared_at(self, priority: int, *, among: int) -> Workers:
        """The same workers for one series among so many at a time: work of higher priority goes first."""
        host, absence = self._dashboard_host, self._absence
        return Workers(self._client, self._size, absence=absence, dashboard_host=host, priority=priority, among=among)

    @property
    def size(self) -> ClusterSize:
        """How many workers there are, and what each may use, as far as it was known when they were opened."""
        return self._size

    @property
    def slots(self) -> int:
        """Tasks that run at the same time, or will when the workers that are awaited have come.

        Raises ClusterLostError.
        """
        threads = threads_of_workers(self._client)
        return max(self._size.workers, len(threads) if self._size.gpus else sum(threads.values()))

    @property
    def client(self) -> Client:
        """The connection itself."""
        return self._client

    @property
    def dashboard(self) -> str:
        """The link to Dask's dashboard; empty where the scheduler here could not draw it."""
        if self._client.cluster is not None and find_spec("bokeh") is None:
            return ""
        link = ""
        with suppress(KeyError, ValueError, AttributeError):
            link = str(self._client.dashboard_link or "")
        return re.sub(r"(?<=://)[^:/]+", self._dashboard_host, link, count=1) if self._dashboard_host else link

    def share_gpus(self) -> None:
        """Leave each worker process one GPU, where workers declare them; those that come later do the same."""
        if self._size.gpus:
            self._client.register_plugin(KeepOneGpu())

    def await_first(self, tell: Callable[[str], None]) -> None:
        """Wait until a worker is there, however long a batch system takes; `tell` it after 10 s, then every 5 min.

        The same is told later, should all workers be gone. Raises ClusterLostError.
        """
        self._tell = tell
        while not threads_of_workers(self._client):
            self._absence.goes_on(tell)
            time.sleep(0.2)
        self._absence.over()

    def warm_up(self, function: Callable[[], None]) -> None:
        """Have every worker call `function` once, without waiting; what it raises is left to the work itself."""

        def ask() -> None:
            with suppress(Exception, asyncio.CancelledError):
                self._client.run(function, wait=False, on_error="ignore")

        threading.Thread(target=ask, daemon=True).start()  # it waits for the slowest worker, which may be dead

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], *, what: str, urgent: bool = False
    ) -> Iterator[Result]:
        """Results of `function(item)` as they finish, about two tasks a slot under way; the order is not kept.

        A worker that dies costs an attempt of the tasks it held; after three a CryolitheError tells which `what`.
        Errors of the function itself are raised as they are, and then tasks that are under way are given up.
        `urgent` work goes before all other series' work. Raises ClusterLostError when the scheduler has gone or is
        silent.
        """
        priority = self._priority + (_URGENT if urgent else 0)
        how = {"priority": priority, "resources": self._resources}
        running = Finished(self._client, self._absence, self._tell)
        window = Window(self._client, function, iter(items), what, lambda: self.slots, running, self._pending, how)
        try:
            yield from window.results()
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give up all tasks that are under way."""
        with suppress(Exception):
            self._client.cancel(list(self._pending), force=True)
        self._pending.clear()

    @property
    def _resources(self) -> dict[str, int] | None:
        """What a task needs of its worker: a GPU, where workers declare them."""
        return GPU if self._size.gpus else None
