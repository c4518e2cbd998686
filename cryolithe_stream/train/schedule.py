"""How far a step goes: the learning rate, and the average of the weights."""

from __future__ import annotations

import copy
import math

import torch

from cryolithe_stream.train.trainee import Trainee


def learning_rate(step: int, steps: int, peak: float, warm_up: float) -> float:
    """The rate of a step, counted from 0: linear warm-up over a share of them, then half a cosine to 1 % of `peak`."""
    rising = round(warm_up * steps)
    if step < rising:
        return peak * (step + 1) / (rising + 1)
    fall = (step - rising) / max(1, steps - rising)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


def averaged(trainee: Trainee) -> Trainee:
    """A copy whose weights `move_average` moves after those of the original."""
    return copy.deepcopy(trainee).requires_grad_(False)


def move_average(average: Trainee, trainee: Trainee, steps: int, decay: float) -> None:
    """Move the average towards the weights after `steps` steps; the first steps move it more."""
    rate = 1 - min(decay, (1 + steps) / (10 + steps))
    with torch.no_grad():
        for mean, value in zip(average.parameters(), trainee.parameters(), strict=True):
            mean.lerp_(value, rate)
