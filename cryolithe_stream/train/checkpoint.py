"""The state of a training in one file: tensors and JSON, whole or not there at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cryolithe_stream.errors import DamagedStoreError
from cryolithe_stream.store.atomic import write_atomically
from cryolithe_stream.train.trainee import Trainee

_KEY = "cryolithe_stream_training"
_VERSION = 1


@dataclass(slots=True)
class Progress:
    """How far a training is: steps done, minutes spent, losses since the last line of the log, bytes of the log."""

    step: int = 0
    minutes: float = 0.0
    losses: int = 0
    loss_sum: float = 0.0
    log_bytes: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """All that moves while training."""

    trainee: Trainee
    average: Trainee
    optimiser: torch.optim.Optimizer
    progress: Progress

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write the state over the one that is there, which stays until the new one is on the disk.

        Raises OutputError.
        """
        tensors = _named("weights", self.trainee) | _named("average", self.average)
        names = [name for name, _ in self.trainee.named_parameters()]
        for number, entries in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{names[number]}.{key}": value for key, value in entries.items()}
        p = self.progress
        about = {
            "version": _VERSION,
            "identity": identity,
            "progress": {
                "step": p.step,
                "minutes": p.minutes,
                "losses": p.losses,
                "loss_sum": p.loss_sum,
                "log_bytes": p.log_bytes,
            },
        }
        data = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(path, save(data, metadata={_KEY: json.dumps(about)}))

    def load(self, path: Path) -> None:
        """Take over the state in a file. Raises DamagedStoreError."""
        tensors, about = _read(path)
        try:
            for prefix, module in (("weights", self.trainee), ("average", self.average)):
                module.load_state_dict(_under(prefix, tensors))
            entries = _under("optimiser", tensors)
            moments: dict[int, dict[str, Tensor]] = {}
            for number, (name, _) in enumerate(self.trainee.named_parameters()):
                found = _under(name, entries)
                if found:
                    moments[number] = found
            groups = self.optimiser.state_dict()["param_groups"]
            self.optimiser.load_state_dict({"state": moments, "param_groups": groups})
            for key, value in about["progress"].items():
                setattr(self.progress, key, value)
        except (KeyError, RuntimeError, ValueError) as error:
            raise _damaged(path, error) from error


def read_identity(path: Path) -> dict[str, Any]:
    """The identity of the training that a checkpoint belongs to. Raises DamagedStoreError."""
    return dict(_read(path)[1]["identity"])


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        if about["version"] != _VERSION:
            raise ValueError(f"version {about['version']}")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error
    return tensors, about


def _damaged(path: Path, error: Exception) -> DamagedStoreError:
    return DamagedStoreError(f"{path} is no intact checkpoint ({error})", fix="Start anew with --overwrite")


def _named(prefix: str, module: torch.nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
