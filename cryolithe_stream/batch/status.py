"""How far a batch is, from what stands in its output folder; another process may be running it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from cryolithe_stream.batch.orders import Orders
from cryolithe_stream.batch.record import read_outcomes
from cryolithe_stream.batch.runner import Job
from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.plan import BlockPlan
from cryolithe_stream.run.workspace import workspace_folder
from cryolithe_stream.store import read_ledger, stands_at

State = Literal["done", "failed", "begun", "waiting"]


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """How far one series is: `share` of its blocks is done; `reason` says why it failed."""

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
    jobs, outcomes = Orders.kept(folder).jobs(folder), read_outcomes(folder)
    found = []
    for job in jobs:
        outcome = outcomes.get(job.name)
        begun = workspace_folder(job.options.output, job.options.workspace)
        if begun.exists():
            found.append(SeriesStatus(job.name, "begun", _share(job, begun)))
        elif outcome is not None and outcome.status == "failed":
            found.append(SeriesStatus(job.name, "failed", 0.0, outcome.seconds, outcome.reason))
        elif stands_at(job.options.output):
            found.append(SeriesStatus(job.name, "done", 1.0, outcome.seconds if outcome else 0.0))
        else:
            found.append(SeriesStatus(job.name, "waiting", 0.0))
    return found


def count_states(found: list[SeriesStatus]) -> dict[State, int]:
    """How many series are in each state."""
    counts = Counter(status.state for status in found)
    return {"done": counts["done"], "failed": counts["failed"], "begun": counts["begun"], "waiting": counts["waiting"]}


def _share(job: Job, workspace: Path) -> float:
    """The share of a series' blocks that its ledger marks."""
    try:
        record = read_ledger(workspace)
    except CryolitheError:
        return 0.0
    stacks = 1 if job.options.odd is None else 3
    done = sum(key.startswith("block/") for key in record.done)
    return done / (stacks * len(BlockPlan.from_json(record.plan["plan"])))
