"""What is done: a plan, and a mark for every finished block, that survive being killed at any moment."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryolithe_stream.errors import DamagedStoreError, MissingFileError, OutputError
from cryolithe_stream.store.atomic import sync, write_atomically
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.journal import Journal, read_marks
from cryolithe_stream.store.lock import WriterLock
from cryolithe_stream.store.tomogram import PathLike

_PLAN, _JOURNAL, _LOCK = "plan.json", "journal.txt", "lock"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class LedgerRecord:
    """A ledger as it stands on the disk: its plan, the fingerprint that guards it, and the marks."""

    plan: dict[str, Any]
    fingerprint: str
    done: dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """A folder with a plan (JSON) and a journal of marks, held by one writer until `close` or its death.

    A key is marked after its data are on the disk, so what is marked is done, and nothing else counts.
    """

    path: Path
    plan: dict[str, Any]
    fingerprint: str
    _journal: Journal
    _lock: WriterLock
    _done: dict[str, dict[str, Any]] = field(repr=False)

    @classmethod
    def create(cls, path: PathLike, plan: dict[str, Any], fingerprint: str) -> Ledger:
        """A new ledger in the folder `path`, without marks.

        Raises OutputError when one is there already, another writer holds it, or it cannot be written.
        """
        path = Path(path)
        with output_faults(path):
            path.mkdir(parents=True, exist_ok=True)
        lock = WriterLock.acquire(path / _LOCK)
        try:
            if (path / _PLAN).exists():
                raise OutputError(f"{path} holds a ledger already", fix="Open it, or name another output")
            with output_faults(path):
                (path / _JOURNAL).unlink(missing_ok=True)
            journal = Journal.open(path / _JOURNAL)
            content = {"cryolithe_stream": _VERSION, "fingerprint": fingerprint, "plan": plan}
            write_atomically(path / _PLAN, json.dumps(content, allow_nan=False).encode())
            sync(path.parent)
        except BaseException:
            lock.release()
            raise
        return cls(path, plan, fingerprint, journal, lock, {})

    @classmethod
    def open(cls, path: PathLike) -> Ledger:
        """The ledger in the folder `path`, for writing.

        Raises MissingFileError when there is none, OutputError when another writer holds it, DamagedStoreError.
        """
        path = Path(path)
        if not Ledger.exists(path):
            raise MissingFileError(f"{path} holds no ledger", fix="Start a new run")
        lock = WriterLock.acquire(path / _LOCK)
        try:
            journal = Journal.open(path / _JOURNAL)
            record = read_ledger(path)
        except BaseException:
            lock.release()
            raise
        return cls(path, record.plan, record.fingerprint, journal, lock, record.done)

    @staticmethod
    def exists(path: PathLike) -> bool:
        """Whether the folder holds a ledger: one whose creation was interrupted does not count."""
        return (Path(path) / _PLAN).exists()

    def done(self) -> dict[str, dict[str, Any]]:
        """Payload of every marked key."""
        return dict(self._done)

    def mark(self, key: str, payload: dict[str, Any]) -> None:
        """Record that `key` is done; the mark is on the disk when this returns. Raises OutputError."""
        self._journal.append(key, payload)
        self._done[key] = payload

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


def read_ledger(path: PathLike) -> LedgerRecord:
    """The ledger in a folder as it stands, without holding it: another process may be writing.

    Raises MissingFileError when there is none, DamagedStoreError when its plan cannot be read.
    """
    path = Path(path)
    try:
        content = json.loads((path / _PLAN).read_bytes())
        plan, fingerprint = content["plan"], content["fingerprint"]
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} holds no ledger", fix="Start a new run") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedStoreError(f"the plan in {path} cannot be read", fix="Start again with --overwrite") from error
    return LedgerRecord(plan, fingerprint, read_marks(path / _JOURNAL))
