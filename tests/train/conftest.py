"""Fixtures of the training tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from train_support import Quiet


@pytest.fixture
def quiet() -> Quiet:
    return Quiet()


@pytest.fixture(autouse=True)
def _threads():
    """What a training sets is put back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
