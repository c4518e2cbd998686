"""A bounded window of futures: tasks are submitted and their results fetched many at a time, never all at once."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from distributed import Client, Future, KilledWorker

from cryolithe_stream.errors import ClusterLostError, CryolitheError
from cryolithe_stream.run.watch import CONTINUE, Finished, threads_of_workers

Item = TypeVar("Item")
Result = TypeVar("Result")

WINDOW_PER_SLOT = 2
ATTEMPTS = 3
_ASK_AGAIN_S = 1.0
_FETCH_S = 30.0
"""How long reports of a few hundred bytes may take to come."""


@dataclass(slots=True, eq=False)
class Window(Generic[Item, Result]):
    """Tasks `function(item)` of which about two for each of `slots()` are under way.

    `pending` holds the futures that are, for whoever cancels them; `how` are keywords of `Client.map`. What ends
    together is fetched in one round trip and replaced in another: one at a time, a task cost client and scheduler five
    times as much with 32 slots.
    """

    client: Client
    function: Callable[[Item], Result]
    items: Iterator[Item]
    what: str
    slots: Callable[[], int]
    running: Finished
    pending: set[Future[Any]]
    how: dict[str, Any]
    _again: deque[tuple[Item, int]] = field(default_factory=deque)
    _held: dict[Future[Any], tuple[Item, int]] = field(default_factory=dict)
    _size: tuple[int, float] = (0, -_ASK_AGAIN_S)

    def results(self) -> Iterator[Result]:
        """Results as they finish. Raises as `Workers.map` does."""
        self.running.add(self._fill())
        while self._held:
            ended = {future: self._held.pop(future) for future in self.running.batch()}
            self.pending.difference_update(ended)
            results, failed, lost = self._outcomes(list(ended))
            self._held.update((future, ended[future]) for future in lost)
            self.pending.update(lost)
            self.running.add(lost)
            try:
                self._again.extend(_another_try(*ended[future], error, self.what) for future, error in failed)
                ended, failed, lost = {}, [], []  # the scheduler forgets tasks whose futures are gone
                self.running.add(self._fill())
            finally:  # what was done counts, whatever became of the tasks beside it
                yield from results

    def _fill(self) -> list[Future[Any]]:
        """Submit as many tasks as there is room for; those that are tried again go first."""
        room = max(0, self._most() - len(self._held))
        tasks = [self._again.popleft() for _ in range(min(room, len(self._again)))]
        tasks += ((item, 1) for item in islice(self.items, room - len(tasks)))
        if not tasks:
            return []
        items = [item for item, _ in tasks]
        keys = [_key(self.function, item) for item in items]
        futures: list[Future[Any]] = self.client.map(self.function, items, key=keys, pure=False, retries=0, **self.how)
        self._held.update(zip(futures, tasks, strict=True))
        self.pending.update(futures)
        return futures

    def _most(self) -> int:
        """Futures that may be held; how many slots there are is asked of the scheduler once a second at most."""
        most, asked = self._size
        if time.monotonic() - asked >= _ASK_AGAIN_S:
            most = WINDOW_PER_SLOT * self.slots()
            self._size = most, time.monotonic()
        return most

    def _outcomes(
        self, ended: list[Future[Any]]
    ) -> tuple[list[Result], list[tuple[Future[Any], BaseException]], list[Future[Any]]]:
        """Results of futures that ended, those that failed with their errors, and those whose results are gone.

        What a worker takes with it when it dies is computed again, which may have to wait for another worker. That is
        not waited for here, where nobody looks whether there is one. Raises ClusterLostError.
        """
        if all(future.status == "finished" for future in ended):
            with suppress(Exception):  # each future tells for itself
                return self._fetched(ended), [], []
        results: list[Result] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        lost: list[Future[Any]] = []
        for future in ended:
            if future.status == "pending":
                lost.append(future)
                continue
            try:
                results += self._fetched([future])
            except (Exception, asyncio.CancelledError) as error:
                if isinstance(error, TimeoutError) and future.status in ("pending", "finished"):
                    threads_of_workers(self.client)  # the scheduler answers, or that ends it
                    lost.append(future)
                else:
                    failed.append((future, error))
        return results, failed, lost

    def _fetched(self, futures: list[Future[Any]]) -> list[Result]:
        """The results of futures; TimeoutError when they do not come, and the errors of those that failed."""

        async def gather() -> list[Result]:
            return list(await self.client.gather(futures, asynchronous=True))

        return list(self.client.sync(gather, callback_timeout=_FETCH_S))


def _another_try(item: Item, attempt: int, error: BaseException, what: str) -> tuple[Item, int]:
    """The item with its next attempt, when it was the worker that failed; raises what any other failure comes to."""
    if isinstance(error, CancelledError | asyncio.CancelledError):
        raise ClusterLostError(f"the Dask scheduler is gone, or gave up {what}", fix=CONTINUE) from error
    if isinstance(error, CryolitheError) or not isinstance(error, KilledWorker | OSError):
        raise error
    if attempt == ATTEMPTS:
        raise CryolitheError(
            f"{what} failed {ATTEMPTS} times, the last time with {type(error).__name__}: {error}",
            fix="Look for a full memory or disk, then run the same command to continue",
        ) from error
    return item, attempt + 1


def _key(function: Callable[[Item], object], item: Item) -> str:
    """A name of its own for a task; the dashboard groups tasks by what stands before the first number in it."""
    named = getattr(item, "task_name", None) or getattr(function, "__name__", "task")
    return f"{named}-{uuid.uuid4().hex}"
