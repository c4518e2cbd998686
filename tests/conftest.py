"""What all tests share: seeded Hypothesis, and where real data lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parents[1]

settings.register_profile("seeded", derandomize=True, deadline=None)
settings.load_profile("seeded")
os.environ.setdefault("MPLBACKEND", "Agg")


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the shipped tilt series."""
    return ROOT / "examples" / "empiar-10499"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data that the repository does not carry (CRYOLITHE_SHARED, default: shared beside the checkout)."""
    folder = Path(os.environ.get("CRYOLITHE_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}: set CRYOLITHE_SHARED")
    return folder
