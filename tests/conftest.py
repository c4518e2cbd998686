"""What all tests share: seeded Hypothesis, and where real data lie."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
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


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A function that mounts a small file system, or skips the test where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        if os.getuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small file system needs more rights")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True)
