"""Where independent pieces of work are done: one after another in this process, or on workers that a caller has."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from cryolithe_stream.simulate.memory import free_bytes

Item = TypeVar("Item")
Result = TypeVar("Result")


class Mapper(Protocol):
    """Does independent pieces of work; `IN_TURN` does it here, `cryolithe_stream.run.Crew` on a cluster's workers."""

    def room_bytes(self) -> int:
        """Memory that each piece of work may take."""

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, what: str
    ) -> Generator[Result, None, None]:
        """Results of `function(item)` as they finish, in any order; closed, it gives up what is left.

        Function, items and results may be pickled. Nothing is started for no items. Errors of the function are raised
        as they are, and say `what` failed where that was the worker.
        """


class InTurn:
    """One piece of work after another, in this process."""

    def room_bytes(self) -> int:
        """The memory that this machine can give now."""
        return free_bytes()

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, what: str
    ) -> Generator[Result, None, None]:
        """Results of `function(item)` in the order of the items."""
        for item in items:
            yield function(item)


IN_TURN = InTurn()
