"""What became of the series of a batch: a journal in the output folder that outlives every interruption."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

from cryolithe_stream.errors import DamagedStoreError, MissingFileError
from cryolithe_stream.store import output_faults
from cryolithe_stream.store.atomic import write_atomically
from cryolithe_stream.store.journal import Journal, read_marks
from cryolithe_stream.store.lock import WriterLock

FOLDER = ".cryolithe-batch"
REPORT = "batch-report.json"
Status = Literal["done", "already complete", "failed"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one series: its tomograms, or the `reason` why there are none; `seconds` of wall time.

    `figures` are those of the run (`RunResult.figures`); `source` tells where fetched files came from, and the options.
    """

    name: str
    status: Status
    seconds: float = 0.0
    outputs: tuple[str, ...] = ()
    reason: str = ""
    warnings: tuple[str, ...] = ()
    figures: Mapping[str, Any] | None = None
    source: Mapping[str, Any] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the tomogram is there."""
        return self.status in ("done", "already complete")

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Outcome:
        """What `to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        if data["status"] not in get_args(Status):
            raise ValueError(f"the status {data['status']!r}")
        return cls(**{**data, "outputs": tuple(data["outputs"]), "warnings": tuple(data["warnings"])})


@dataclass(frozen=True, slots=True, eq=False)
class BatchRecord:
    """The record of a batch, held by one process, any thread of it, until it is closed or dies."""

    folder: Path
    _journal: Journal
    _lock: WriterLock
    _outcomes: dict[str, Outcome]
    _guard: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, folder: Path) -> BatchRecord:
        """The record in an output folder, which is made when missing.

        Raises OutputError when another batch writes there or it cannot be written, DamagedStoreError.
        """
        place = folder / FOLDER
        with output_faults(place):
            place.mkdir(parents=True, exist_ok=True)
        lock = WriterLock.acquire(place / "lock")
        try:
            journal = Journal.open(place / "journal.txt")
            return cls(folder, journal, lock, read_outcomes(folder))
        except BaseException:
            lock.release()
            raise

    def add(self, outcome: Outcome) -> None:
        """Record an outcome; it is on the disk when this returns. A later one of the same series replaces it.

        That a series is complete already adds nothing to how it was completed, unless it tells where it came from.
        """
        with self._guard:
            known = self._outcomes.get(outcome.name)
            completed = known is not None and known.is_complete and (known.source is not None or outcome.source is None)
            if outcome.status == "already complete" and completed:
                return
            self._journal.append(outcome.name, outcome.to_json())
            self._outcomes[outcome.name] = outcome

    def report(self) -> Path:
        """Write all outcomes as JSON, `batch-report.json` in the output folder; returns its path."""
        path = self.folder / REPORT
        found = [outcome.to_json() for outcome in sorted(self._outcomes.values(), key=lambda o: o.name)]
        write_atomically(path, json.dumps({"cryolithe_stream": "batch report", "series": found}, indent=1).encode())
        return path

    def close(self) -> None:
        """Let the next writer in."""
        self._journal.close()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_outcomes(folder: Path) -> dict[str, Outcome]:
    """The last outcome of every series, as it stands; another process may be writing.

    Raises MissingFileError when no batch was run into the folder, DamagedStoreError.
    """
    place = folder / FOLDER
    if not place.is_dir():
        raise MissingFileError(f"{folder} holds no batch", fix="Name the output folder of batch run")
    try:
        return {name: Outcome.from_json(data) for name, data in read_marks(place / "journal.txt").items()}
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedStoreError(
            f"the record in {place} cannot be read ({error})", fix="Delete that folder; tomograms stay"
        ) from error
