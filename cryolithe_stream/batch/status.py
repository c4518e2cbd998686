"""How far a batch is, from what stands in its output folder; another process may be running it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from cryolithe_stream.batch.archive import to_fetch
from cryolithe_stream.batch.orders import Orders
from cryolithe_stream.batch.record import read_outcomes
from cryolithe_stream.batch.runner import Job
from cryolithe_stream.batch.series import Series
from cryolithe_stream.empiar.names import PARTIAL
from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.plan import BlockPlan
from cryolithe_stream.run.workspace import workspace_folder
from cryolithe_stream.store import read_ledger, stands_at

State = Literal["done", "failed", "begun", "fetched", "fetching", "waiting"]


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """How far one series is: `share` of its blocks is done; `reason` says why it failed.

    A series of an entry of EMPIAR is `fetching` while some of its files are there, and `fetched` when all are.
    """

    name: str
    state: State
    share: float
    seconds: float = 0.0
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """The status as JSON."""
        return asdict(self)


def batch_status(folder: Path) -> list[SeriesStatus]:
    """The status of every series of the batch in an output folder, in the manifest's order.

    Raises MissingFileError when no batch was run there, DamagedStoreError.
    """
    orders, outcomes = Orders.kept(folder), read_outcomes(folder)
    found = []
    for job, series in zip(orders.jobs(folder), orders.manifest.series, strict=True):
        outcome = outcomes.get(job.name)
        begun = workspace_folder(job.options.output, job.options.workspace)
        if begun.exists():
            found.append(SeriesStatus(job.name, "begun", _share(job, begun)))
        elif outcome is not None and outcome.status == "failed":
            found.append(SeriesStatus(job.name, "failed", 0.0, outcome.seconds, outcome.reason))
        elif stands_at(job.options.output):
            found.append(SeriesStatus(job.name, "done", 1.0, outcome.seconds if outcome else 0.0))
        else:
            found.append(SeriesStatus(job.name, _fetched(orders, series), 0.0))
    return found


def count_states(found: list[SeriesStatus]) -> dict[State, int]:
    """How many series are in each state; those of fetching only where there are any."""
    counts = Counter(status.state for status in found)
    always = ("done", "failed", "begun", "waiting")
    return {state: counts[state] for state in get_args(State) if counts[state] or state in always}


def _fetched(orders: Orders, series: Series) -> State:
    """How far the files are of a series that nothing was done with yet."""
    if orders.streaming is None:
        return "waiting"
    places = [orders.streaming.scratch / path for path in to_fetch(series, orders.manifest.source)]
    if all(place.exists() for place in places):
        return "fetched"
    begun = any(place.exists() or place.with_name(place.name + PARTIAL).exists() for place in places)
    return "fetching" if begun else "waiting"


def _share(job: Job, workspace: Path) -> float:
    """The share of a series' blocks that its ledger marks."""
    try:
        record = read_ledger(workspace)
    except CryolitheError:
        return 0.0
    stacks = 1 if job.options.odd is None else 3
    done = sum(key.startswith("block/") for key in record.done)
    return done / (stacks * len(BlockPlan.from_json(record.plan["plan"])))
