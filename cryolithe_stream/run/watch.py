"""Waiting for a cluster without hanging: a scheduler that does not answer is given up, missing workers are told of."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from distributed import Client, Future

from cryolithe_stream.errors import ClusterLostError

LOST_S = 120.0
"""How long a scheduler may take to answer."""
LOOK_EVERY_S = 5.0
TELL_AFTER_S, TELL_EVERY_S = 10.0, 300.0
CONTINUE = "Run the same command to continue"


def threads_of_workers(client: Client) -> dict[str, int]:
    """Threads of every worker that the scheduler has now, by address.

    Raises ClusterLostError when the scheduler has gone, or does not answer within `LOST_S`.
    """
    scheduler: Any = client.scheduler  # None once it is closed
    try:
        return {str(k): int(n) for k, n in client.sync(scheduler.ncores, callback_timeout=LOST_S).items()}
    except TimeoutError as error:
        text = f"the Dask scheduler has not answered for {LOST_S:.0f} s"
        raise ClusterLostError(text, fix=CONTINUE) from error
    except (OSError, RuntimeError, AttributeError, CancelledError, asyncio.CancelledError) as error:
        raise ClusterLostError("the Dask scheduler is gone", fix=CONTINUE) from error


class Absence:
    """Tells that no worker is there: after ten seconds, then every five minutes; several threads may look."""

    def __init__(self, start_again: Callable[[], None] | None = None) -> None:
        """`start_again` is called once each time when workers were there and are gone."""
        self._start_again, self._guard = start_again, threading.Lock()
        self._since, self._told, self._seen = 0.0, 0.0, False

    def over(self) -> None:
        """A worker is there."""
        with self._guard:
            self._since, self._told, self._seen = 0.0, 0.0, True

    def goes_on(self, tell: Callable[[str], None]) -> None:
        """No worker is there, which `tell` is told when it is time."""
        with self._guard:
            now = time.monotonic()
            self._since = self._since or now
            waited = now - self._since
            if waited < (self._told + TELL_EVERY_S if self._told else TELL_AFTER_S):
                return
            what = "no worker is left" if self._seen else "no worker has started yet"
            again = self._start_again if self._seen and not self._told else None
            self._told = waited
        does = "new jobs are submitted" if again else "see whether the jobs wait or ended with an error"
        tell(f"{what}, after {waited:.0f} s: {does}")
        if again:
            again()


class Finished:
    """Futures in the order in which they finish."""

    def __init__(self, client: Client, absence: Absence, tell: Callable[[str], None]) -> None:
        """Futures of a client; `tell` is told of the absence of workers."""
        self._client, self._absence, self._tell = client, absence, tell
        self._queue = SimpleQueue[Future[Any]]()

    def add(self, futures: Iterable[Future[Any]]) -> None:
        """Futures that `batch` will return once they are finished, lost or cancelled."""
        for future in futures:
            future.add_done_callback(self._queue.put)

    def batch(self) -> list[Future[Any]]:
        """All that have ended, at least one. Raises ClusterLostError as `threads_of_workers` does."""
        found: list[Future[Any]] = []
        while not found:
            try:
                found.append(self._queue.get(timeout=LOOK_EVERY_S))
            except Empty:
                if threads_of_workers(self._client):
                    self._absence.over()
                else:
                    self._absence.goes_on(self._tell)
        self._absence.over()
        with suppress(Empty):
            while True:
                found.append(self._queue.get_nowait())
        return found
