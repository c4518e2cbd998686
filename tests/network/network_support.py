"""Golden models, and checkpoints in the public format that tests change and write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
CASES = ("pixel-square", "pixel-wide", "wavelet-square", "wavelet-tall")


class CheckpointFolder:
    """A copy of a golden model whose checkpoint and configuration a test changes."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.path = folder
        self.config: dict[str, Any] = json.loads((source / "config.json").read_text())
        self.content: dict[str, Any] = torch.load(source / "checkpoint.pth", weights_only=False)

    def write(self, name: str = "checkpoint.pth", **kwargs: Any) -> Path:
        """Write configuration and checkpoint; returns the folder."""
        self.path.mkdir(exist_ok=True)
        (self.path / "config.json").write_text(json.dumps(self.config))
        torch.save(self.content, self.path / name, **kwargs)
        return self.path


def filter_module(cls: type[nn.Module], parameters: dict[str, torch.Tensor], **attributes: Any) -> nn.Module:
    """An object of a public filter class with these parameters and attributes."""
    module = cls()
    for name, value in parameters.items():
        setattr(module, name, nn.Parameter(value))
    for name, value in attributes.items():
        setattr(module, name, value)
    return module
