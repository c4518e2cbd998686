"""A lock that one writer holds as long as it lives."""

from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from cryolithe_stream.errors import OutputError
from cryolithe_stream.store.faults import output_faults

_held: set[Path] = set()
_guard = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class WriterLock:
    """A held lock. A POSIX record lock: it ends with its process (SIGKILL too) and forked children do not share it."""

    path: Path
    descriptor: int

    @classmethod
    def acquire(cls, path: Path) -> WriterLock:
        """The lock at `path`, which is made when missing. Raises OutputError when another writer lives."""
        path = path.resolve()
        with _guard, output_faults(path):
            # A record lock does not exclude its own process, and closing a second descriptor would drop it.
            if path in _held:
                raise _refusal(path, str(os.getpid()))
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            except OSError as error:
                holder = os.pread(descriptor, 20, 0).decode(errors="replace")
                os.close(descriptor)
                if isinstance(error, BlockingIOError | PermissionError):
                    raise _refusal(path, holder) from None
                raise
            _held.add(path)
        return cls(path, descriptor)

    def release(self) -> None:
        """Give the lock up; a second call does nothing."""
        with _guard:
            if self.path in _held:
                _held.remove(self.path)
                os.close(self.descriptor)


def _refusal(path: Path, holder: str) -> OutputError:
    return OutputError(
        f"another run (process {holder or 'unknown'}) is writing to {path.parent}",
        fix="Wait until it ends, or stop it",
    )
