"""The training's own order of work against the engine's, values and gradients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryolithe_stream.geometry import Box, VolumeFrame
from cryolithe_stream.network import Context, ContextConfig, SliceSet, SliceSetConfig, Wavelet
from cryolithe_stream.train import forward
from cryolithe_stream.train.forward import Predictor, predict

CPU = torch.device("cpu")
SHAPE, DETECTOR = (14, 20, 40), (20, 40)
TILTS = np.array([-57.0, -31.5, -8.0, 0.0, 12.0, 33.0, 60.0])
COMPACT = SliceSetConfig(
    patch_size=5,
    set_input=6,
    set_hidden=(8,),
    set_output=4,
    slice_output=4,
    slice_hidden=None,
    combine_hidden=(),
    output_size=3,
)


@pytest.fixture(scope="module")
def filtered() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((len(TILTS), *DETECTOR)).astype(np.float32))


def slices(config: SliceSetConfig = COMPACT, seed: int = 0) -> SliceSet:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SliceSet(config)


def grids():
    frame = VolumeFrame(SHAPE, DETECTOR)
    voxels = frame.voxels()
    wavelet = Wavelet("bior3.1")
    coefficients = frame.coefficients(wavelet.coefficient_shape(SHAPE), wavelet.place)
    return {
        "inside": voxels.cut(Box((2, 6, 8), (10, 14, 24))),
        "over-all-sides": voxels.beyond(Box((-6, -7, -9), (20, 27, 49))),
        "one-row": voxels.cut(Box((2, 6, 8), (10, 7, 24))),
        "half-rows-two-apart": coefficients,
    }


def run(network, filtered, grid, oversample, *, fast):
    predictor = Predictor(network)
    if fast:
        found = predict(predictor, filtered, grid, TILTS, oversample=oversample, dtype=torch.float32, device=CPU)
    else:
        found = forward._by_engine(network, filtered, grid, TILTS, oversample, torch.float32)
    weight = torch.from_numpy(np.random.default_rng(1).standard_normal(tuple(found.shape)).astype(np.float32))
    gradients = torch.autograd.grad((found * weight).sum(), list(network.parameters()))
    return found.detach(), gradients


@pytest.mark.parametrize("oversample", [1, 2, 3])
@pytest.mark.parametrize("place", grids())
def test_values_and_gradients_are_those_of_the_features_engine(place, oversample, filtered):
    grid, network = grids()[place], slices()
    values, gradients = run(network, filtered, grid, oversample, fast=True)
    wanted, wanted_gradients = run(network, filtered, grid, oversample, fast=False)
    torch.testing.assert_close(values, wanted, rtol=1e-4, atol=1e-5)
    for got, want in zip(gradients, wanted_gradients, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-3 * float(want.abs().max()))


@pytest.mark.parametrize(
    "config",
    [COMPACT, replace(COMPACT, combine_hidden=(8, 8)), replace(COMPACT, slice_hidden=(8,), combine_hidden=(8,))],
    ids=["compact", "per voxel", "mlp_s"],
)
def test_bfloat16_stays_near_and_has_gradients(config, filtered):
    grid, network = grids()["one-row"], slices(config)
    exact, _ = run(network, filtered, grid, 2, fast=True)
    found = predict(Predictor(network), filtered, grid, TILTS, oversample=2, dtype=torch.bfloat16, device=CPU)
    assert float((found.detach() - exact).norm() / exact.norm()) < 0.03
    assert all(bool(g.any()) for g in torch.autograd.grad(found.square().sum(), list(network.parameters())))


def test_what_the_crop_cannot_know_is_only_near_its_sides(filtered):
    context = Context(ContextConfig(widths=(3, 4), down=(1, 1), up=(1,), outputs=1))
    predictor = Predictor(slices(), context)
    whole = VolumeFrame(SHAPE, DETECTOR).voxels()
    box = Box((4, 8, 10), (6, 11, 30))
    around = context.input_box(box)
    larger = Box(tuple(a - 8 for a in around.start), tuple(b + 8 for b in around.stop))
    found = []
    for crop in (around, larger):
        values = predict(predictor, filtered, whole.beyond(crop), TILTS, oversample=1, dtype=torch.float32, device=CPU)
        found.append(values[(slice(None), *box.shifted(tuple(-a for a in crop.start)).slices)])
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
