"""Fixtures of the run tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from run_support import write_model, write_series


@pytest.fixture
def series(tmp_path: Path) -> dict[str, Any]:
    return write_series(tmp_path / "data")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small.safetensors")
