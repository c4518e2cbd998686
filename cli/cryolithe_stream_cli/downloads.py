"""How far downloads are: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from cryolithe_stream_cli.show import duration, size

if TYPE_CHECKING:
    from cryolithe_stream.empiar import Progress

_LINE_EVERY_S = 10.0
_FINE = ("fetched", "skipped")


class PlainDownloads:
    """A line for each file that ended, and every ten seconds one with bytes, rate and the time left."""

    def __init__(self, stream: TextIO, n_files: int, n_bytes: int) -> None:
        self._stream, self._n_files, self._n_bytes = stream, n_files, n_bytes
        self._guard = threading.Lock()
        self._ended = self._arrived = self._fresh = 0
        self._began = self._told = time.monotonic()

    def arrived(self, n_bytes: int) -> None:
        """Count bytes; tell how far it is when the last line is old."""
        with self._guard:
            self._arrived += n_bytes
            self._fresh += n_bytes
            now = time.monotonic()
            if now - self._told < _LINE_EVERY_S:
                return
            self._told = now
            rate = self._fresh / (now - self._began)
            left = f", {duration((self._n_bytes - self._arrived) / rate)} left" if self._n_bytes > self._arrived else ""
            self._line(f"{self._ended}/{self._n_files} files, {size(self._arrived)}, {size(rate)}/s{left}")

    def present(self, n_bytes: int) -> None:
        """Count bytes that tell nothing of the speed."""
        with self._guard:
            self._arrived += n_bytes

    def ended(self, path: str, how: str) -> None:
        """Tell of a file that ended."""
        with self._guard:
            self._ended += 1
            self._line(_file_line(path, how))

    def _line(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text + "\n")
            self._stream.flush()


class BarDownloads:
    """One bar for all bytes, with rate and time left; files that fail are told above it."""

    def __init__(self, stream: TextIO, n_files: int, n_bytes: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._bar = Progress(
            TextColumn("{task.fields[ended]}/{task.fields[n_files]} files"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=Console(file=stream, highlight=False),
        )
        self._task = self._bar.add_task("", total=max(n_bytes, 1), ended=0, n_files=n_files)
        self._ended = 0

    def __enter__(self) -> BarDownloads:
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def arrived(self, n_bytes: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, n_bytes)

    def present(self, n_bytes: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, n_bytes)

    def ended(self, path: str, how: str) -> None:
        """Count a file that ended; tell of one that failed."""
        self._ended += 1
        self._bar.update(self._task, ended=self._ended)
        if how not in _FINE:
            self._bar.console.print(_file_line(path, how), markup=False, soft_wrap=True)


@contextmanager
def downloads_on(stream: TextIO, n_files: int, n_bytes: int) -> Iterator[Progress]:
    """A bar while the stream is a terminal, else plain lines; the bar is taken down however the block ends."""
    if not stream.isatty():
        yield PlainDownloads(stream, n_files, n_bytes)
        return
    with BarDownloads(stream, n_files, n_bytes) as bar:
        yield bar


def _file_line(path: str, how: str) -> str:
    words = {"fetched": f"fetched: {path}", "skipped": f"there already: {path}"}
    return words.get(how, f"failed: {path}: {how}")
