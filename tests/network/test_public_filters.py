"""Stored filters against a direct rendering of what the public program does with a response."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from cryolithe_stream.errors import ModelError
from cryolithe_stream.network import ConvFilter, PolynomialRamp, ProjectionFilter, RealTaps, StoredResponse
from cryolithe_stream.network.filter_records import filter_from_record, filter_record, filter_tensors
from cryolithe_stream.network.filters import Ramp


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def through_response(rows: torch.Tensor, response: np.ndarray) -> np.ndarray:
    """Rows transformed at the response's length, multiplied, transformed back: the first `width` real parts."""
    n, width = len(response), rows.shape[-1]
    return np.fft.ifft(np.fft.fft(rows.double().numpy(), n) * response, n).real[..., :width]


def check(ramp: Ramp, width: int, response: np.ndarray) -> None:
    rows = noise(3, 4, width, seed=width)
    expected = through_response(rows, response)
    np.testing.assert_allclose(ProjectionFilter(ramp).apply(rows), expected, atol=2e-6 * np.abs(response).max() * 10)


@pytest.mark.parametrize("width", [1, 2, 5, 20, 33, 64])
@pytest.mark.parametrize(("size", "stored"), [(20, 20), (21, 21), (21, 22)])
def test_real_taps(width: int, size: int, stored: int) -> None:
    taps = noise(stored).double().numpy()
    n = min(size, width)
    kernel = {j: taps[j] for j in range(n // 2)} | {-j: taps[stored - j] for j in range(1, n - n // 2 + 1)}
    k = np.arange(2 * width)
    response = sum(value * np.exp(-2j * np.pi * k * j / (2 * width)) for j, value in kernel.items())
    check(RealTaps(size, torch.tensor(taps, dtype=torch.float32)), width, np.asarray(response))


@pytest.mark.parametrize("width", [3, 10, 19, 24])
@pytest.mark.parametrize("mirrored", [True, False])
def test_vector(width: int, mirrored: bool) -> None:
    half = noise(24)
    full = torch.cat([half, half.flip(0)]) if mirrored else half
    check(StoredResponse("vector", 24, half, mirrored=mirrored), width, full.numpy())


@pytest.mark.parametrize("width", [3, 10, 24, 30])
@pytest.mark.parametrize("size", [24, 15])
@pytest.mark.parametrize("linear", [True, False])
def test_vector_symmetric(width: int, size: int, linear: bool) -> None:
    half = noise(size + 1).numpy()
    response = np.concatenate([half, half[1:-1][::-1]]).astype(complex)
    if linear:
        centred = np.fft.fftshift(np.fft.ifft(response))
        centred[: size // 2] = 0
        centred[-((size + 1) // 2) :] = 0
        response = np.fft.fft(np.fft.ifftshift(centred))
    check(StoredResponse("vector_symmetric", size, torch.from_numpy(half), linear=linear), width, response)


def test_a_symmetric_response_is_what_it_says_at_each_frequency() -> None:
    half = torch.linspace(0, 1, 33)
    response = np.fft.rfft(StoredResponse("vector_symmetric", 32, half).kernel(32))
    np.testing.assert_allclose(response, half, atol=1e-6)


@pytest.mark.parametrize("width", [1, 2, 9, 40])
def test_polynomial(width: int) -> None:
    coefficients = torch.tensor([0.2, 1.5, -0.9])
    x = np.linspace(0, 1, width)
    half = 0.2 + 1.5 * x - 0.9 * x**2
    check(PolynomialRamp(coefficients), width, np.concatenate([half, half[::-1]]) / half.max())


@pytest.mark.parametrize(
    ("ramp", "widest"),
    [
        (StoredResponse("vector", 24, noise(24)), 48),
        (StoredResponse("vector", 24, noise(24), mirrored=False), 24),
        (StoredResponse("vector_symmetric", 24, noise(25)), 48),
    ],
)
def test_rows_wider_than_the_response_are_refused_by_name(ramp: StoredResponse, widest: int) -> None:
    stored = ProjectionFilter(ramp)
    stored.check_width(widest)
    message = rf"{ramp.kind} filter is stored for rows of at most {widest} pixels, the projections have {widest + 1}"
    with pytest.raises(ModelError, match=message):
        stored.check_width(widest + 1)
    with pytest.raises(ModelError, match=message):
        stored.apply(torch.zeros(2, widest + 1))


@dataclass
class PublicNet:
    """The convolution net by hand: linear first layer, leaky ReLU after each hidden one, linear last."""

    layers: list[nn.Conv2d]

    def __call__(self, stack: torch.Tensor) -> torch.Tensor:
        x = self.layers[0](stack[:, None])
        for layer in self.layers[1:-1]:
            x = nn.functional.leaky_relu(layer(x), 0.01)
        return torch.as_tensor(self.layers[-1](x))[:, 0]


def conv_net(mode: str = "reflect", size: int = 3) -> tuple[PublicNet, ConvFilter]:
    channels = (1, 3, 3, 3, 1)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        layers = [
            nn.Conv2d(a, b, size, padding="same", padding_mode=mode).requires_grad_(False)
            for a, b in pairwise(channels)
        ]
    weights = {f"{i}.{n}": t for i, layer in enumerate(layers) for n, t in layer.state_dict().items()}
    return PublicNet(layers), ConvFilter("reflect" if mode == "reflect" else "zeros", 0.01, weights)


@pytest.mark.parametrize(("mode", "size"), [("reflect", 3), ("zeros", 5), ("reflect", 4)])
def test_convolution_filter(mode: str, size: int) -> None:
    net, conv = conv_net(mode, size)
    stack = noise(4, 17, 12)
    filtered = ProjectionFilter(frame=conv).apply(stack)
    torch.testing.assert_close(filtered, net(stack))
    ramp = RealTaps(9, noise(9))
    both = ProjectionFilter(ramp, conv)
    assert both.kind == "CNN + VectorModel_real"
    torch.testing.assert_close(both.apply(stack), ProjectionFilter(ramp).apply(net(stack)))


def test_frames_smaller_than_the_padding_are_refused() -> None:
    _, conv = conv_net(size=9)
    with pytest.raises(ModelError, match="larger than 4 pixels"):
        ProjectionFilter(frame=conv).apply(torch.zeros(1, 4, 20))


@pytest.mark.parametrize(
    "projection_filter",
    [
        ProjectionFilter(RealTaps(5, noise(6)), conv_net()[1]),
        ProjectionFilter(StoredResponse("vector", 30, noise(30), mirrored=False)),
        ProjectionFilter(StoredResponse("vector_symmetric", 30, noise(31), linear=True)),
        ProjectionFilter(PolynomialRamp(torch.tensor([1.0, 2.0]))),
        ProjectionFilter(),
    ],
    ids=lambda f: f.kind,
)
def test_a_filter_survives_its_record(projection_filter: ProjectionFilter) -> None:
    record = type(filter_record(projection_filter)).model_validate_json(
        filter_record(projection_filter).model_dump_json()
    )
    again = filter_from_record(record, filter_tensors(projection_filter))
    frames = noise(2, 8, 21)
    assert again.kind == projection_filter.kind
    torch.testing.assert_close(again.apply(frames), projection_filter.apply(frames), rtol=0, atol=0)


def test_impossible_filters_are_refused() -> None:
    with pytest.raises(ModelError, match=r"shape \(3,\)"):
        RealTaps(5, noise(3))
    with pytest.raises(ModelError, match=r"shape \(3, 3\)"):
        StoredResponse("vector", 3, noise(3, 3))
    with pytest.raises(ModelError, match="no largest value"):
        PolynomialRamp(torch.zeros(2)).kernel(4)
    with pytest.raises(ModelError, match="not two or more whole layers"):
        ConvFilter("reflect", 0.01, {"0.weight": noise(1, 1, 3, 3), "0.bias": noise(1)})
