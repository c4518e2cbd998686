"""How gradients become steps: AdamW for every weight, or orthogonal steps for the kernels of a context network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from cryolithe_stream.train.sections import OptimiserOptions
from cryolithe_stream.train.trainee import Trainee

BETAS = (0.9, 0.99)
MOMENTUM = 0.95
_RMS = 0.2
"""Root mean square of an orthogonal step over the learning rate: about Adam's, so that both share one rate."""
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.AdamW):
    """AdamW, but `kernels` take the nearest orthogonal matrix to their momentum as their step.

    A kernel counts as the matrix of its outputs against all that they see. Every direction of it then moves equally
    far, also those whose gradients are small (Jordan et al. 2024, *Muon*; scale of the step: Liu et al. 2025, 0.2 times
    the root of the larger side).
    """

    def __init__(self, parameters: Iterable[Tensor], kernels: Iterable[Tensor], *, weight_decay: float) -> None:
        """Over `parameters`, of which `kernels` are some; the learning rate is set before each step."""
        super().__init__(parameters, lr=0.0, weight_decay=weight_decay, betas=BETAS, foreach=False)
        self._kernels = {id(kernel) for kernel in kernels}

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Moves every weight that has a gradient; `closure` is for other optimisers."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if id(weight) in self._kernels and weight.grad is not None:
                    self._turn(weight, group["lr"], group["weight_decay"])
                    weight.grad = None  # AdamW leaves weights without one alone
        return super().step()

    def _turn(self, weight: Tensor, rate: float, decay: float) -> None:
        state = self.state[weight]
        if not state:
            state["step"], state["momentum"] = torch.zeros(()), torch.zeros_like(weight)
        state["step"] += 1
        assert weight.grad is not None
        momentum = state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
        matrix = weight.grad.lerp(momentum, MOMENTUM).flatten(1)
        weight.mul_(1 - rate * decay)
        weight.add_(orthogonal(matrix).view_as(weight), alpha=-rate * _RMS * max(matrix.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """About the nearest (semi-)orthogonal matrix: five Newton–Schulz iterations, singular values of 0.7 to 1.2."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = (matrix.T if tall else matrix) / (matrix.norm() + 1e-12)
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


def make_optimiser(options: OptimiserOptions, trainee: Trainee) -> torch.optim.Optimizer:
    """The optimiser of a configuration over all weights; the loop sets its learning rate."""
    decay = options.weight_decay
    if options.kind == "muon":
        context = trainee.predictor.context
        named = [] if context is None else context.named_parameters()
        kernels = [weight for name, weight in named if not name.startswith("last.")]
        return Muon(trainee.parameters(), kernels, weight_decay=decay)
    kind = torch.optim.AdamW if options.kind == "adamw" else torch.optim.Adam
    return kind(trainee.parameters(), lr=0.0, weight_decay=decay, betas=BETAS, foreach=False)
