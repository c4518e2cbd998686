"""Every variant of the exploration is a configuration that can be trained, and differs from the first."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.exploration import VARIANTS, configuration
from cryolithe_stream.train.trainee import make_trainee


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_can_be_trained(name: str, tmp_path: Path) -> None:
    options = configuration(name, 10, tmp_path, None)
    trainee = make_trainee(options, torch.float32, torch.device("cpu"))
    assert trainee.sampler(options)
    assert name == "base" or options.identity() != configuration("base", 10, tmp_path, None).identity()
