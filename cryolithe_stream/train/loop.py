"""The training loop: examples in, weights moved; the same steps however often it was interrupted."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor

from cryolithe_stream.train.checkpoint import State
from cryolithe_stream.train.example import Example
from cryolithe_stream.train.faults import TrainingError
from cryolithe_stream.train.logbook import Logbook, Teller, mean_scores
from cryolithe_stream.train.options import TrainOptions
from cryolithe_stream.train.ranks import Ranks
from cryolithe_stream.train.schedule import learning_rate, move_average
from cryolithe_stream.train.stream import made_ahead
from cryolithe_stream.train.validation import Score

Ending = Literal["done", "out of time", "interrupted"]


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """All that the steps need. `log` is None where this process does not write; `deadline` is of `time.monotonic`."""

    options: TrainOptions
    state: State
    ranks: Ranks
    examples: Callable[[int], Example]
    validate: Callable[[], dict[str, Score]]
    log: Logbook | None
    checkpoint: Path
    identity: dict[str, Any]
    teller: Teller
    threads: int
    deadline: float | None

    def run(self) -> Ending:
        """Take the steps that are left. Raises TrainingError when numbers are no longer finite, OutputError."""
        o, progress = self.options, self.state.progress
        self.teller.phase("training", o.steps, "steps")
        if progress.step:
            self.teller.advance(progress.step)
        if progress.step == o.steps:
            return "done"
        members, each = shares(o.batch, self.threads, self.device)
        torch.set_num_threads(each)
        supply = made_ahead(self.examples, self._numbers(), 2 * o.batch, max(1, min(self.threads, 8)), each)
        ending: Ending = "done"
        with _signals() as caught, _workers(members, each) as workers:
            began, before = time.monotonic(), progress.minutes
            try:
                while progress.step < o.steps and ending == "done":
                    ending = self._step([next(supply) for _ in range(o.batch)], workers, caught)
                    progress.minutes = before + (time.monotonic() - began) / 60
                    self._record(last=progress.step == o.steps or ending != "done")
                    self.teller.advance(1)
            finally:
                supply.close()
        return "done" if progress.step == o.steps else ending

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.state.trainee.plan.device

    def _numbers(self) -> Iterator[int]:
        """The examples of this process, in order."""
        o, r = self.options, self.ranks
        return (i * r.world + r.rank for i in range(self.state.progress.step * o.batch, o.steps * o.batch))

    def _step(self, examples: list[Example], workers: Executor | None, caught: list[int]) -> Ending:
        """One step; tells whether to go on."""
        o, state, progress = self.options, self.state, self.state.progress
        rate = learning_rate(progress.step, o.steps, o.learning_rate, o.optimiser.warm_up)
        weights = list(state.trainee.parameters())
        found = list((map if workers is None else workers.map)(lambda e: self._gradient(e, weights), examples))
        totals = [torch.stack(parts).sum(dim=0) for parts in zip(*(grads for _, grads in found), strict=True)]
        late = self.deadline is not None and time.monotonic() >= self.deadline
        news = torch.tensor([sum(loss for loss, _ in found), float(bool(caught)), float(late)], device=self.device)
        self.ranks.sum([*totals, news])
        loss, stop, late_somewhere = (float(v) for v in news)
        count = o.batch * self.ranks.world
        for weight, total in zip(weights, totals, strict=True):
            weight.grad = total / count
        norm = float(torch.nn.utils.clip_grad_norm_(weights, o.optimiser.clip))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {progress.step + 1} at learning rate {rate:.3g} gives a loss of {loss / count:.3g} and a "
                f"gradient of norm {norm:.3g}; the last checkpoint is kept",
                fix="Lower optimiser.learning_rate, or look at the data",
            )
        for group in state.optimiser.param_groups:
            group["lr"] = rate
        state.optimiser.step()
        progress.step += 1
        progress.losses, progress.loss_sum = progress.losses + 1, progress.loss_sum + loss / count
        move_average(state.average, state.trainee, progress.step, o.optimiser.ema)
        return "interrupted" if stop else "out of time" if late_somewhere else "done"

    def _gradient(self, example: Example, weights: Sequence[Tensor]) -> tuple[float, tuple[Tensor, ...]]:
        loss = self.state.trainee.loss(example, self.options.loss)
        return float(loss.detach()), torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)

    def _record(self, *, last: bool) -> None:
        """Log, validation and checkpoint, where they are due."""
        o, p = self.options, self.state.progress
        keep = last or p.step % o.checkpoint_every == 0
        if keep and not self.ranks.agree(list(self.state.trainee.parameters())):
            raise TrainingError(f"after step {p.step} the processes hold different weights", fix="Please report it")
        if self.log is None:
            return
        checked = p.step % o.validate_every == 0 or p.step == o.steps
        if checked or p.step % o.log_every == 0:
            rate = learning_rate(p.step - 1, o.steps, o.learning_rate, o.optimiser.warm_up)
            scores = self.validate() if checked else {}
            loss = p.loss_sum / p.losses
            self.log.line(rate, loss, scores)
            p.losses, p.loss_sum = 0, 0.0
            if scores:
                mean = mean_scores(scores)
                wedge = f", wedge FSC {mean['wedge_fsc']:.3f}" if math.isfinite(mean["wedge_fsc"]) else ""
                self.teller.message(f"step {p.step}: loss {loss:.4g}, validation {mean['snr_db']:.2f} dB{wedge}")
        if keep:
            self.log.keep()
            self.state.save(self.checkpoint, self.identity)


def shares(batch: int, threads: int, device: torch.device) -> tuple[int, int]:
    """Members of a batch that are worked out side by side, and the threads of each."""
    members = max(1, min(batch, threads)) if device.type == "cpu" else 1
    return members, max(1, threads // members)


@contextmanager
def _workers(members: int, threads: int) -> Iterator[Executor | None]:
    """Threads that work out the members of a batch side by side."""
    if members == 1:
        yield None
        return
    with ThreadPoolExecutor(members, initializer=torch.set_num_threads, initargs=(threads,)) as workers:
        yield workers


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The interruptions that came: the first lets a step end and be kept, the second stops at once."""
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
