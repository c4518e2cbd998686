"""A file that is not whole yet: its bytes, and beside them which version of the file they are of."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

from cryolithe_stream.empiar.names import PARTIAL, STATE
from cryolithe_stream.errors import OutputError
from cryolithe_stream.store.atomic import sync, write_atomically

_MOST_STATE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Version:
    """What a server said of the file that it began to send: enough to know it again."""

    url: str
    size: int | None
    etag: str
    modified: str

    @property
    def condition(self) -> str:
        """The value of `If-Range`: a strong entity tag, else the date, else empty (RFC 9110, 13.1.5)."""
        return self.etag if self.etag.startswith('"') else self.modified

    def is_twin(self, other: Version) -> bool:
        """Whether only the tags differ: one file on two machines that tag it each in its own way."""
        known = self.etag and self.modified and self.size is not None
        return bool(known) and replace(self, etag=other.etag) == other != self

    def differs(self, other: Version) -> bool:
        """Whether another answer is of another version, as far as both tell."""
        pairs = ((self.size, other.size), (self.etag, other.etag), (self.modified, other.modified))
        return any(a and b and a != b for a, b in pairs)


NOTHING = Version("", None, "", "")


class Partial:
    """`NAME.partial` beside the file that it becomes, open for writing; a file is under its name only when whole."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + PARTIAL)
        self._state = target.with_name(target.name + STATE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(self.path, flags, 0o644), "wb", buffering=0)
        self.length = self._file.seek(0, os.SEEK_END)
        found = self._read_state() if self.length else None
        self.version = found or NOTHING
        if found is None:
            self._file.truncate(0)
            self.length = self._file.seek(0)

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if full or (error is not None and not self.length):
            self.path.unlink(missing_ok=True)
            self._state.unlink(missing_ok=True)

    def begin(self, version: Version) -> None:
        """Forget what is there: from here on the bytes are of this version."""
        self._file.truncate(0)
        self.length = self._file.seek(0)
        self.relabel(version)

    def relabel(self, version: Version) -> None:
        """Note of which version the bytes are."""
        self.version = version
        write_atomically(self._state, json.dumps(asdict(version)).encode())

    def append(self, data: bytes) -> None:
        """Write bytes at the end."""
        view = memoryview(data)
        while view:
            written = self._file.write(view) or 0
            self.length += written
            view = view[written:]

    def finish(self) -> None:
        """Flush to the disk and give the file its name."""
        os.fsync(self._file.fileno())
        if self.target.is_dir():
            raise OutputError(f"{self.target} is a folder, and the server has a file of that name")
        self.path.replace(self.target)
        self._state.unlink(missing_ok=True)
        sync(self.target.parent)

    def _read_state(self) -> Version | None:
        try:
            with self._state.open("rb") as stream:
                found = json.loads(stream.read(_MOST_STATE_BYTES))
            version = Version(**found)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts = isinstance(version.url, str) and isinstance(version.etag, str) and isinstance(version.modified, str)
        return version if texts and isinstance(version.size, int | None) else None
