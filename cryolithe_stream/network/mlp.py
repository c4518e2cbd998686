"""The multilayer perceptron that every part of the network is made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """`out(relu(h_H(… relu(h_1(x)))))`, bias-free unless asked for (paper, section 3.4).

    Skips add a hidden layer's input to its output, from the second hidden layer on. Batch normalisation stands
    between a hidden layer and its ReLU and is meant for evaluation only (its running statistics are used).
    """

    def __init__(
        self,
        n_in: int,
        hidden: Sequence[int],
        n_out: int,
        *,
        last_in: int | None = None,
        skip: bool = False,
        bias: bool = False,
        batch_norm: bool = False,
    ) -> None:
        """Layers `n_in → hidden… → n_out`; `last_in` is what the last layer reads (default: the last hidden width)."""
        super().__init__()
        widths = [n_in, *hidden]
        self.skip = skip
        self.layers = nn.ModuleList(nn.Linear(a, b, bias=bias) for a, b in pairwise(widths))
        self.batch_norms = nn.ModuleList(nn.BatchNorm1d(b) for b in hidden) if batch_norm else None
        self.last_layer = nn.Linear(last_in or widths[-1], n_out, bias=bias)

    @property
    def linears(self) -> list[nn.Linear]:
        """All linear layers, first to last."""
        return [*(layer for layer in self.layers if isinstance(layer, nn.Linear)), self.last_layer]

    def forward(self, x: Tensor) -> Tensor:
        """Output `(…, n_out)` for inputs `(…, n_in)`."""
        return self.after_first(self.linears[0](x))

    def after_first(self, h: Tensor) -> Tensor:
        """Output for `h`, what the first linear layer gave, its bias included."""
        x: Tensor | None = None
        for i, linear in enumerate(self.linears[1:]):
            if self.batch_norms is not None:
                h = _normalised(self.batch_norms[i], h)
            activated = functional.relu(h)
            x = activated + x if self.skip and x is not None else activated
            h = linear(x)
        return h


def _normalised(norm: nn.Module, h: Tensor) -> Tensor:
    return torch.as_tensor(norm(h.reshape(-1, h.shape[-1])).reshape(h.shape))
