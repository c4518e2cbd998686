"""Fixtures of the model tests."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))

from network_support import CASES, GOLDEN, CheckpointFolder


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


@pytest.fixture
def checkpoint(tmp_path: Path, public_classes: dict[str, type[nn.Module]]) -> CheckpointFolder:
    """A pixel model in the public format, to be changed and written."""
    return CheckpointFolder(tmp_path / "model", GOLDEN / "pixel-wide" / "model")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Small tensors are quicker on one thread."""
    torch.set_num_threads(1)
