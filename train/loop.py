"""The training loop: planes of random recordings, AdamW, warm-up and cosine decay, averaged weights, bounded time."""

from __future__ import annotations

import copy
import csv
import math
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dataset import Recording, Specimen, random_recording
from forward import Plane, evaluate_rows
from torch import Tensor
from torch.nn import functional

from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.simulate import Acquisition

LOSSES = {
    "l1": functional.l1_loss,
    "l2": functional.mse_loss,
    "smooth_l1": functional.smooth_l1_loss,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The `training` section of the configuration."""

    loss: str
    batch: int
    rows: int
    columns: int
    pool: int
    uses: int
    learning_rate: float
    weight_decay: float
    warm_up: float
    ema: float
    clip: float


def recordings(specimens: list[Specimen], seed: int, options: dict[str, Any]) -> Iterator[Recording]:
    """Random recordings of random specimens without end, made ahead by one thread."""
    rng = np.random.default_rng(seed)
    faults, snr_db = Acquisition(**options["faults"]), tuple(options["snr_db"])
    ready: queue.Queue[Recording] = queue.Queue(maxsize=3)

    def produce() -> None:
        while True:
            ready.put(random_recording(specimens[rng.integers(len(specimens))], rng, snr_db, faults))

    threading.Thread(target=produce, daemon=True).start()
    while True:
        yield ready.get()


def planes(source: Iterator[Recording], seed: int, s: Settings) -> Iterator[tuple[Recording, list[int], int]]:
    """Recordings from a pool, each with random rows and a random first column."""
    rng = np.random.default_rng([seed, 2])
    pool: list[list[Any]] = [[next(source), s.uses] for _ in range(s.pool)]
    while True:
        slot = pool[rng.integers(len(pool))]
        recording: Recording = slot[0]
        _, ny, nx = recording.shape_zyx
        yield recording, [int(y) for y in rng.integers(ny, size=s.rows)], int(rng.integers(nx - s.columns + 1))
        slot[1] -= 1
        if slot[1] == 0:
            slot[:] = [next(source), s.uses]


def plane_loss(network: SliceSet, recording: Recording, rows: list[int], first_x: int, s: Settings) -> Tensor:
    """The loss of the x–z planes through some rows, of all depths and `columns` columns."""
    grid = recording.grid(first_x, first_x + s.columns)
    plane = Plane.build(grid, recording.tilts_deg, torch.bfloat16)
    values = evaluate_rows(network, recording.filtered, rows, plane, torch.from_numpy(recording.tilts_deg))
    truth = recording.truth[:, rows, first_x : first_x + s.columns].transpose(1, 0, 2).reshape(len(rows), -1)
    return LOSSES[s.loss](values / recording.spread, torch.from_numpy(truth) / recording.spread)


def learning_rate(progress: float, s: Settings) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak; `progress` from 0 to 1."""
    if progress < s.warm_up:
        return s.learning_rate * (progress + 1e-3) / s.warm_up
    fall = (progress - s.warm_up) / (1 - s.warm_up)
    return s.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(fall, 1.0))))


@dataclass(slots=True)
class Averaged:
    """A network and the exponential moving average of its weights."""

    network: SliceSet
    average: SliceSet
    steps: int = 0

    @classmethod
    def of(cls, network: SliceSet) -> Averaged:
        """An average that starts at the network's weights."""
        return cls(network, copy.deepcopy(network).requires_grad_(False))

    def update(self, decay: float) -> None:
        """Moves the average towards the network."""
        self.steps += 1
        rate = 1 - min(decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, rate)


def _step(network: SliceSet, examples: list[tuple[Recording, list[int], int]], s: Settings, workers: Executor) -> float:
    """The mean loss of some examples, each worked out by a thread of its own; leaves its gradient in the network."""
    weights = list(network.parameters())

    def one(example: tuple[Recording, list[int], int]) -> tuple[float, tuple[Tensor, ...]]:
        loss = plane_loss(network, *example, s)
        return float(loss.detach()), torch.autograd.grad(loss, weights)

    found = list(workers.map(one, examples))
    for weight, parts in zip(weights, zip(*(grads for _, grads in found), strict=True), strict=True):
        weight.grad = torch.stack(parts).mean(dim=0)
    torch.nn.utils.clip_grad_norm_(weights, s.clip)
    return float(np.mean([loss for loss, _ in found]))


def train(
    network: SliceSet, source: Iterator[Recording], seed: int, s: Settings, minutes: float, log: Path, validate: Any
) -> SliceSet:
    """The averaged network after `minutes`; `validate(network)` gives named numbers that go to the log, a CSV file."""
    both = Averaged.of(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.0, weight_decay=s.weight_decay, betas=(0.9, 0.99))
    supply = planes(source, seed, s)
    limit, start, next_check, losses = minutes * 60, time.monotonic(), 0.05, [float("nan")]
    with log.open("w", newline="") as file, ThreadPoolExecutor(s.batch) as workers:
        writer = csv.writer(file)
        while (elapsed := time.monotonic() - start) < limit:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(elapsed / limit, s)
            examples = [next(supply) for _ in range(s.batch)]
            losses.append(_step(network, examples, s, workers))
            optimiser.step()
            both.update(s.ema)
            if elapsed / limit >= next_check:
                next_check += 0.1
                found = validate(both.average)
                if file.tell() == 0:
                    writer.writerow(["step", "minutes", "learning_rate", "loss", *found])
                mean = float(np.mean(losses[1:][-200:]))
                row = [both.steps, elapsed / 60, optimiser.param_groups[0]["lr"], mean, *found.values()]
                writer.writerow([f"{v:.5g}" for v in row])
                file.flush()
                print("  ".join(f"{v:.4g}" for v in row), flush=True)
    return both.average
