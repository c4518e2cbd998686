"""Workers for work that is not a reconstruction: there while it lasts."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cryolithe_stream.run.cluster import cluster_size, open_cluster
from cryolithe_stream.run.cluster_words import Scale, read_word
from cryolithe_stream.run.memory import available_bytes, usable_bytes

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers of a cluster, which is opened when there is work and closed when it is done.

    `cluster` is a word as `--cluster` takes it; of `scale` and `dashboard` see `RunOptions`. `tell` hears of the
    dashboard and of workers that do not come. For `cryolithe_stream.simulate.simulate` and
    `cryolithe_stream.train.train_model`; workers elsewhere must see the same folders under the same names.
    """

    cluster: str = "local"
    scale: Scale = field(default_factory=Scale)
    dashboard: str | None = None
    tell: Callable[[str], None] = lambda text: None

    def room_bytes(self) -> int:
        """Memory that each task may take: its part of what its worker was given, or else of what is free here.

        Raises InputError when a scheduler elsewhere, which is asked, does not answer.
        """
        size = cluster_size(self.cluster, scale=self.scale)
        if size.memory_bytes is not None:
            return usable_bytes(size.memory_bytes) // size.slots
        elsewhere = read_word(self.cluster).kind in ("address", "file")
        return available_bytes() // (1 if elsewhere else size.workers)

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], *, what: str
    ) -> Generator[Result, None, None]:
        """Results of `function(item)` as they finish, raising as `open_cluster` and `Workers.map` do.

        The cluster is closed after the last one, and when the generator is; it is not opened for no items.
        """
        if not items:
            return
        with open_cluster(self.cluster, scale=self.scale, dashboard=self.dashboard) as workers:
            if workers.dashboard:
                self.tell(f"dashboard: {workers.dashboard}")
            workers.await_first(self.tell)
            yield from workers.map(function, items, what=what)
