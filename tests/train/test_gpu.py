"""Training on a CUDA device against the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from train_support import Quiet, options, tiny

from cryolithe_stream.network import load_model
from cryolithe_stream.train import train_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"target": "wavelet"},
        {"sampling": {"kind": "points", "points": 64, "rows": 2}, "learn": {"filter": True, "patch_scale": True}},
        {"context": {"widths": [4, 6], "down": [1, 1], "up": [1]}, "sampling": {"crop_zyx": [None, 20, 20]}},
    ],
)
def test_a_few_steps_on_cuda_are_those_of_the_cpu(given, tmp_path):
    o = options(**{"steps": 3, "phantoms": {**tiny()["phantoms"], "cache": str(tmp_path / "phantoms")}, **given})
    models = [load_model(train_model(o, tmp_path / d, Quiet(), device=d).model) for d in ("cpu", "cuda")]
    wanted, found = (model.tensors() for model in models)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=2e-3 * float(wanted[name].abs().max()))


def test_bfloat16_on_cuda_is_continued(tmp_path):
    o = options(steps=3, precision="bfloat16", context={"widths": [4], "down": [1], "up": []},
                sampling={"crop_zyx": [None, 8, 8]})  # fmt: skip
    while (result := train_model(o, tmp_path, Quiet(), device="cuda", minutes=1e-9)).status == "out of time":
        pass
    assert all(torch.isfinite(t).all() for t in load_model(result.model).tensors().values())
