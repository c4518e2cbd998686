"""The endless row of examples: number i is a pure function of the seed and i, whoever makes it and when."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch

from cryolithe_stream.train.example import Example, Sampler
from cryolithe_stream.train.pairs import Pair
from cryolithe_stream.train.phantoms import Recording
from cryolithe_stream.train.scene import FewerTilts, Mirrored, Scene, random_mirrors, random_tilt_subset

T = TypeVar("T")


class Source(Protocol):
    """One kind of data."""

    @property
    def weight(self) -> float:
        """Its share of the examples, relative to the others'."""

    def scene(self, number: int, rng: np.random.Generator) -> Scene:
        """The scene that example `number` is cut from."""


@dataclass(frozen=True, slots=True, eq=False)
class PhantomSource:
    """Recordings from a window that slides along their numbers: example i uses one of i // uses … + pool − 1.

    So a run that is continued finds the recordings that it had, and none is used much more often than another.
    """

    record: Callable[[int], Recording]
    weight: float
    pool: int
    uses: int
    _memo: Memo[Recording] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_memo", Memo(self.record, self.pool + 4))

    def scene(self, number: int, rng: np.random.Generator) -> Scene:
        """A recording of the window, mirrored at random."""
        recording = self._memo(number // self.uses + int(rng.integers(self.pool)))
        return Mirrored(recording, random_mirrors(rng))


@dataclass(frozen=True, slots=True, eq=False)
class PairSource:
    """One of a pair's stacks, mirrored at random, with all of its tilts or fewer."""

    pair: Pair

    @property
    def weight(self) -> float:
        """The pair's weight."""
        return self.pair.weight

    def scene(self, number: int, rng: np.random.Generator) -> Scene:
        """A random stack of the pair."""
        scene = self.pair.scenes[int(rng.integers(len(self.pair.scenes)))]
        kept = random_tilt_subset(rng, scene.tilts_deg)
        return Mirrored(FewerTilts(scene, kept), random_mirrors(rng))


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples by number, mixed from sources by their weights."""

    sources: Sequence[Source]
    sampler: Sampler
    seed: int

    def __call__(self, number: int, *, tag: int = 1) -> Example:
        """Example `number`; another `tag` gives another row of examples."""
        rng = np.random.default_rng([self.seed, tag, number])
        weights = np.array([source.weight for source in self.sources])
        source = self.sources[int(rng.choice(len(weights), p=weights / weights.sum()))]
        return self.sampler.draw(source.scene(number, rng), rng)


class Memo(Generic[T]):
    """The latest values of a pure function of a number; each is made once, by the thread that asks first."""

    def __init__(self, make: Callable[[int], T], size: int) -> None:
        self._make, self._size = make, size
        self._known: OrderedDict[int, Future[T]] = OrderedDict()
        self._guard = threading.Lock()

    def __call__(self, number: int) -> T:
        """The value of a number."""
        with self._guard:
            known = self._known.get(number)
            if known is None:
                mine: Future[T] = Future()
                self._known[number] = mine
                while len(self._known) > self._size:
                    self._known.popitem(last=False)
            else:
                self._known.move_to_end(number)
        if known is not None:
            return known.result()
        try:
            mine.set_result(self._make(number))
        except BaseException as error:
            mine.set_exception(error)
            raise
        return mine.result()


def made_ahead(
    make: Callable[[int], T], numbers: Iterator[int], ahead: int, threads: int, threads_each: int
) -> Generator[T]:
    """`make` of each number in order, up to `ahead` of them under way in background threads.

    Each of these may use `threads_each` threads of torch's: Fourier transforms differ in their last bits with it.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads, "examples", torch.set_num_threads, (threads_each,)) as workers:
        try:
            while True:
                while len(waiting) <= ahead and (number := next(numbers, None)) is not None:
                    waiting.append(workers.submit(make, number))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
