"""Golden models, and checkpoints made on the spot with stand-ins for the public program's classes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
CASES = ("pixel-square", "pixel-wide", "wavelet-square", "wavelet-tall")


@pytest.fixture(params=CASES)
def golden_model(request: pytest.FixtureRequest) -> Path:
    """The model folder of each golden case."""
    return GOLDEN / str(request.param) / "model"


@pytest.fixture
def public_classes(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[nn.Module]]:
    """Classes with the names and places of the public program's filters, so that torch can pickle and load them."""
    places = {
        "vector": ("VectorModel", "VectorModel_symmetric", "VectorModel_real"),
        "polynomial": ("PolynomialModel",),
        "fir": ("FIRModel",),
        "cnn": ("CNN",),
    }
    classes: dict[str, type[nn.Module]] = {}
    for root in ("CryoLithe.filter_models", "filter_models"):
        for package in (root.rpartition(".")[0], root):
            if package:
                monkeypatch.setitem(sys.modules, package, ModuleType(package))
        for place, names in places.items():
            module = ModuleType(f"{root}.{place}")
            monkeypatch.setitem(sys.modules, module.__name__, module)
            for name in names:
                made = type(name, (nn.Module,), {"__module__": module.__name__})
                setattr(module, name, made)
                classes[f"{module.__name__}.{name}"] = made
                classes.setdefault(name, made)
    return classes


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


@pytest.fixture
def checkpoint(tmp_path: Path, public_classes: dict[str, type[nn.Module]]) -> CheckpointFolder:
    """A pixel model in the public format, to be changed and written."""
    return CheckpointFolder(tmp_path / "model", GOLDEN / "pixel-wide" / "model")


def filter_module(cls: type[nn.Module], parameters: dict[str, torch.Tensor], **attributes: Any) -> nn.Module:
    """An object of a public filter class with these parameters and attributes."""
    module = cls()
    for name, value in parameters.items():
        setattr(module, name, nn.Parameter(value))
    for name, value in attributes.items():
        setattr(module, name, value)
    return module
