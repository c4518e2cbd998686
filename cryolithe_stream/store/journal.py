"""An append-only journal of marks: one checksummed line each, torn lines are ignored."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryolithe_stream.store.faults import output_faults


def read_marks(path: Path) -> dict[str, dict[str, Any]]:
    """Payload of every key that the journal marks; the last mark of a key counts. A missing journal has none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    lines = content.split(b"\n")[:-1]
    return {key: payload for line in lines if (mark := _parse(line)) for key, payload in [mark]}


@dataclass(frozen=True, slots=True, eq=False)
class Journal:
    """A journal that is open for appending; one writer at a time (the ledger's lock)."""

    path: Path
    descriptor: int

    @classmethod
    def open(cls, path: Path) -> Journal:
        """The journal at `path`, made when missing; a torn last line is cut off. Raises OutputError."""
        with output_faults(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(descriptor, path.read_bytes().rfind(b"\n") + 1)
        return cls(path, descriptor)

    def append(self, key: str, payload: dict[str, Any]) -> None:
        """Add a mark; it is on the disk when this returns. Raises OutputError, and then nothing was added."""
        body = json.dumps([key, payload], separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        size = os.fstat(self.descriptor).st_size
        with output_faults(self.path):
            try:
                rest = memoryview(line)
                while rest:
                    rest = rest[os.write(self.descriptor, rest) :]
                os.fsync(self.descriptor)
            except OSError:
                os.ftruncate(self.descriptor, size)
                raise

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def _parse(line: bytes) -> tuple[str, dict[str, Any]] | None:
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    key, payload = json.loads(body)
    return key, payload
