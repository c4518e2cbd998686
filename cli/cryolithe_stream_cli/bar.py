"""The progress bar of a terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class BarProgress:
    """One bar a phase: done of total, voxels a second and the time left."""

    def __init__(self, stream: TextIO) -> None:
        self._bar = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}{task.fields[rate]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=Console(file=stream, highlight=False),
        )
        self._task: TaskID | None = None
        self._voxels, self._began = 0, time.monotonic()

    def __enter__(self) -> BarProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase of `total` units begins, on a bar of its own."""
        self._voxels, self._began = 0, time.monotonic()
        self._task = self._bar.add_task(escape(name), total=total, unit=unit, rate="")

    def advance(self, n: int, voxels: int = 0) -> None:
        """`n` more units are done, and with them `voxels` voxels."""
        if self._task is None:
            return
        self._voxels += voxels
        elapsed = time.monotonic() - self._began
        rate = f" {self._voxels / elapsed:,.0f} voxels/s" if self._voxels and elapsed > 0 else ""
        self._bar.update(self._task, advance=n, rate=rate)

    def message(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, markup=False)
