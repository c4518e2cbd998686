"""What a training leaves for people while it runs: a CSV file, TensorBoard events, a curve."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cryolithe_stream.store import output_faults
from cryolithe_stream.train.checkpoint import Progress
from cryolithe_stream.train.validation import Score


class Teller(Protocol):
    """Whom a training tells how far it is."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase of `total` units begins, the one before it is over."""

    def advance(self, n: int, voxels: int = 0) -> None:
        """`n` more units are done."""

    def message(self, text: str) -> None:
        """A line that the user should read."""


class Logbook:
    """The log of a training: `log.csv`, and event files in `tensorboard/` where TensorBoard is installed.

    What was written after the checkpoint that a run continues from is cut off, so that no line stands there twice.
    """

    def __init__(self, folder: Path, checks: list[str], progress: Progress, teller: Teller) -> None:
        """The log that goes on behind `progress`. Raises OutputError."""
        self._path, self._checks, self._progress = folder / "log.csv", checks, progress
        with output_faults(self._path):
            self._path.touch()
            os.truncate(self._path, progress.log_bytes)
        self._events = _events(folder / "tensorboard", progress.step, teller)
        if progress.log_bytes == 0:
            columns = [f"{name} {unit}" for name in checks for unit in ("snr_db", "wedge_fsc")]
            self._append(["step", "minutes", "learning_rate", "loss", "snr_db", "wedge_fsc", *columns])

    def line(self, rate: float, loss: float, scores: dict[str, Score]) -> None:
        """One line: the step, its learning rate, the mean loss since the last line, and scores where there are any."""
        p = self._progress
        values: dict[str, float] = {"learning_rate": rate, "loss": loss}
        if scores:
            values |= mean_scores(scores)
            for name, found in scores.items():
                values |= {f"{name} snr_db": found.snr_db, f"{name} wedge_fsc": found.wedge_fsc}
        columns = [f"{name} {unit}" for name in self._checks for unit in ("snr_db", "wedge_fsc")]
        named = ["learning_rate", "loss", "snr_db", "wedge_fsc", *columns]
        cells = [f"{values[name]:.6g}" if math.isfinite(values.get(name, math.nan)) else "" for name in named]
        self._append([str(p.step), f"{p.minutes:.3f}", *cells])
        if self._events is not None:
            with output_faults(self._path):
                for name in (name for name in values if math.isfinite(values[name])):
                    self._events.add_scalar(name.replace(" ", "/"), values[name], p.step)

    def keep(self) -> None:
        """Bring what was written to the disk, before a checkpoint counts on it."""
        with output_faults(self._path), self._path.open("rb") as file:
            os.fsync(file.fileno())
        if self._events is not None:
            with output_faults(self._path):
                self._events.flush()

    def close(self) -> None:
        """End the event files."""
        if self._events is not None:
            with output_faults(self._path):
                self._events.close()

    def _append(self, cells: list[str]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        with output_faults(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(text.getvalue())
        self._progress.log_bytes += len(text.getvalue().encode())


def mean_scores(scores: dict[str, Score]) -> dict[str, float]:
    """Means over all checks that could be measured; NaN where none could."""
    known = {
        "snr_db": [s.snr_db for s in scores.values()],
        "wedge_fsc": [s.wedge_fsc for s in scores.values() if math.isfinite(s.wedge_fsc)],
    }
    return {name: float(np.mean(values)) if values else math.nan for name, values in known.items()}


def _events(folder: Path, step: int, teller: Teller) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        teller.message(
            "TensorBoard is not installed: no event files are written (pip install 'cryolithe-stream[train]')"
        )
        return None
    with output_faults(folder):
        return SummaryWriter(str(folder), purge_step=step + 1)


def read_log(path: Path) -> list[dict[str, float]]:
    """The lines of a log, each with the numbers that it holds."""
    with path.open(encoding="utf-8", newline="") as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def draw_curve(log: Path, picture: Path) -> None:
    """Draws the learning curve of a log; the picture appears whole."""
    from matplotlib.figure import Figure

    rows = read_log(log)
    figure = Figure(figsize=(10, 4), layout="tight")
    losses, scores = figure.subplots(1, 2)
    trained = [row for row in rows if "loss" in row]
    losses.plot([row["step"] for row in trained], [row["loss"] for row in trained])
    losses.set(xlabel="step", ylabel="training loss")
    checked = [row for row in rows if "snr_db" in row]
    names = sorted({key for row in checked for key in row if key.endswith("snr_db")}, key=len)
    for name in names[1:] if len(names) == 2 else names:  # one check is its own mean
        label, width = (name.removesuffix(" snr_db"), 1) if " " in name else ("mean", 3)
        scores.plot([row["step"] for row in checked], [row[name] for row in checked], ".-", label=label, lw=width)
    scores.set(xlabel="step", ylabel="validation SNR, dB")
    if checked:
        scores.legend(fontsize=7)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=100, format="png")
    partial = picture.with_name(f".{picture.name}.partial")
    with output_faults(picture):
        partial.write_bytes(drawn.getvalue())
        partial.replace(picture)
