"""The engines on a CUDA device against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engines_support import CONFIGS, CPU, network, voxels

from cryolithe_stream.engines import BlockReconstructor, FbpEngine, FeaturesEngine
from cryolithe_stream.geometry import Box

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]
INSIDE = Box((3, 6, 5), (9, 10, 19))


@pytest.mark.parametrize("name", ["paper", "compact", "biases", "columns", "batch-norm", "first-tilt"])
@pytest.mark.parametrize("halves", [False, True])
def test_features_on_cuda_are_those_of_the_cpu(name, halves, frame, projections):
    wanted, got = (
        voxels(
            BlockReconstructor(frame, FeaturesEngine(network(CONFIGS[name]), 2, 1.0, torch.float32, device)),
            INSIDE,
            projections,
            halves=halves,
        )
        for device in (CPU, torch.device("cuda"))
    )
    np.testing.assert_allclose(got, wanted, atol=1e-3 * np.abs(wanted).max())


def test_fbp_on_cuda_is_that_of_the_cpu(frame, projections):
    wanted, got = (
        voxels(BlockReconstructor(frame, FbpEngine(torch.float32, device)), INSIDE, projections)
        for device in (CPU, torch.device("cuda"))
    )
    np.testing.assert_allclose(got, wanted, atol=1e-5)
