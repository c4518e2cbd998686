"""Fixtures of the engine tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from engines_support import DETECTOR_YX, VOLUME_ZYX, smooth_projections

from cryolithe_stream.geometry import VolumeFrame


@pytest.fixture
def frame() -> VolumeFrame:
    return VolumeFrame(VOLUME_ZYX, DETECTOR_YX)


@pytest.fixture(scope="session")
def projections() -> np.ndarray:
    return smooth_projections()


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)
