"""How far a run is: a bar on a terminal, plain lines elsewhere, both on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from cryolithe_stream_cli.show import duration

if TYPE_CHECKING:
    from cryolithe_stream.run.progress import Progress

_LINE_EVERY_S = 10.0


class PlainProgress:
    """Lines such as `name: 12/64 blocks, 900 voxels/s, 42 s left`: at the start, every 10 seconds and at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name, self._unit, self._total, self._done, self._before, self._voxels = "", "", 0, 0, 0, 0
        self._began = self._told = time.monotonic()

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase of `total` units begins; tells so."""
        self._name, self._unit, self._total, self._done, self._before, self._voxels = name, unit, total, 0, 0, 0
        self._began = self._told = time.monotonic()
        self.message(f"{name}: {total} {unit}")

    def advance(self, n: int, voxels: int = 0) -> None:
        """`n` more units are done; tells so when the last line is old or the phase is over."""
        if not self._done and n > 1 and not voxels:
            self._before = n  # done by an earlier run: it tells nothing of this run's speed
        self._done, self._voxels = self._done + n, self._voxels + voxels
        now = time.monotonic()
        if self._done >= self._total or now - self._told >= _LINE_EVERY_S:
            self._told = now
            self.message(f"{self._name}: {self._done}/{self._total} {self._unit}{self._rates(now - self._began)}")

    def message(self, text: str) -> None:
        """Write `text` as one line; a reader that has gone does not stop the work."""
        with suppress(OSError):
            self._stream.write(text + "\n")
            self._stream.flush()

    def _rates(self, elapsed: float) -> str:
        speed = f", {self._voxels / elapsed:,.0f} voxels/s" if self._voxels and elapsed > 0 else ""
        if self._done >= self._total:
            return f"{speed}, done in {duration(elapsed)}"
        fresh = self._done - self._before
        return f"{speed}, {duration(elapsed / fresh * (self._total - self._done))} left" if fresh else speed


@contextmanager
def progress_on(stream: TextIO) -> Iterator[Progress]:
    """A bar while the stream is a terminal, else plain lines; the bar is taken down however the block ends."""
    if not stream.isatty():
        yield PlainProgress(stream)
        return
    from cryolithe_stream_cli.bar import BarProgress

    with BarProgress(stream) as bar:
        yield bar


def standard_error() -> TextIO:
    """Where progress, warnings and errors go, looked up when needed."""
    return sys.stderr
