"""The blockwise wavelet transform against PyWavelets."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import ModelError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.network import Wavelet

NAMES = pywt.wavelist(kind="discrete")
SHORT = [name for name in NAMES if pywt.Wavelet(name).dec_len <= 10]
LONG = ["db38", "coif17", "dmey", "sym20", "bior6.8", "rbio3.9"]
KEYS = ["".join(key) for key in itertools.product("ad", repeat=3)]


def oracle_forward(volume: Float32s, name: str, levels: int) -> Float32s:
    """Coefficients by PyWavelets; keys are letters of the axes (y, x, z), as in the public code."""
    bands = np.moveaxis(volume, 0, 2)[None]
    for _ in range(levels):
        split = [pywt.dwtn(band, name, mode="zero") for band in bands]
        bands = np.stack([parts[key] for key in KEYS for parts in split])
    return np.moveaxis(bands, 3, 1)


def oracle_inverse(coefs: Float32s, name: str, shape: Shape3, levels: int) -> Float32s:
    bands = np.moveaxis(coefs, 1, 3)
    while len(bands) > 1:
        n = len(bands) // 8
        bands = np.stack(
            [pywt.idwtn({k: bands[i * n + j] for i, k in enumerate(KEYS)}, name, "zero") for j in range(n)]
        )
    return np.moveaxis(bands[0], 2, 0)[tuple(slice(n) for n in shape)]


def random_box(rng: np.random.Generator, shape: Shape3) -> Box:
    (z0, z1), (y0, y1), (x0, x1) = (sorted(rng.choice(n + 1, size=2, replace=False).tolist()) for n in shape)
    return Box((z0, y0, x0), (z1, y1, x1))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Wavelet, Shape3]:
    """A wavelet and a volume: any wavelet for one level, short ones also for two, so that the oracle stays quick."""
    levels = draw(st.sampled_from([1, 2]))
    name = draw(st.sampled_from(NAMES) | st.sampled_from(LONG)) if levels == 1 else draw(st.sampled_from(SHORT))
    largest = 19 if pywt.Wavelet(name).dec_len <= 20 and levels == 1 else 9
    z, y, x = draw(st.tuples(*[st.integers(1, largest)] * 3))
    return Wavelet(name, levels), (z, y, x)


@settings(max_examples=50)
@given(case=cases(), seed=st.integers(0, 2**31))
def test_a_block_of_the_inverse_is_that_part_of_the_whole(case: tuple[Wavelet, Shape3], seed: int) -> None:
    (wavelet, shape), rng = case, np.random.default_rng(seed)
    counts = wavelet.coefficient_shape(shape)
    coefs = rng.standard_normal((wavelet.n_channels, *counts))
    whole = oracle_inverse(coefs, wavelet.name, shape, wavelet.levels)
    box = random_box(rng, shape)
    needed = wavelet.coefficients_for_box(box)
    assert all(0 <= a < b <= n for a, b, n in zip(needed.start, needed.stop, counts, strict=True))
    block = wavelet.inverse(coefs[(slice(None), *needed.slices)], needed, box)
    np.testing.assert_allclose(block, whole[box.slices], rtol=1e-9, atol=1e-9 * abs(whole).max())


@settings(max_examples=40)
@given(case=cases(), seed=st.integers(0, 2**31))
def test_forward_is_that_of_pywavelets(case: tuple[Wavelet, Shape3], seed: int) -> None:
    wavelet, shape = case
    volume = np.random.default_rng(seed).standard_normal(shape)
    expected = oracle_forward(volume, wavelet.name, wavelet.levels)
    coefs = wavelet.forward(volume)
    assert coefs.shape == (wavelet.n_channels, *wavelet.coefficient_shape(shape)) == expected.shape
    np.testing.assert_allclose(coefs, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("name", "levels"), [("bior3.1", 1), ("bior3.1", 2), ("haar", 2), ("db4", 1)])
def test_inverse_undoes_forward(name: str, levels: int) -> None:
    wavelet, volume = Wavelet(name, levels), torch.randn(7, 12, 9, generator=torch.Generator().manual_seed(1))
    coefs = wavelet.forward(volume)
    counts = wavelet.coefficient_shape((7, 12, 9))
    back = wavelet.inverse(coefs, Box.whole(counts), Box.whole((7, 12, 9)))
    torch.testing.assert_close(back, volume, rtol=1e-4, atol=1e-5)


def test_blocks_are_bit_for_bit_the_whole_in_float32() -> None:
    wavelet, shape = Wavelet("bior3.1"), (6, 17, 33)
    counts = wavelet.coefficient_shape(shape)
    coefs = np.random.default_rng(3).standard_normal((8, *counts)).astype(np.float32)
    whole = wavelet.inverse(coefs, Box.whole(counts), Box.whole(shape))
    assert whole.dtype == np.float32
    for x in range(0, 33, 8):
        box = Box((2, 5, x), (6, 17, min(33, x + 8)))
        np.testing.assert_array_equal(wavelet.inverse(coefs, Box.whole(counts), box), whole[box.slices])


@pytest.mark.parametrize(("letter_axis", "bit"), [("y", 4), ("x", 2), ("z", 1)])
def test_detail_along_an_axis_lies_in_its_band(letter_axis: str, bit: int) -> None:
    volume = np.ones((8, 8, 8), np.float32)
    index = [slice(None)] * 3
    index["zyx".index(letter_axis)] = slice(1, None, 2)
    volume[tuple(index)] = -1
    energy = (Wavelet("haar").forward(volume) ** 2).sum(axis=(1, 2, 3))
    assert energy.argmax() == bit
    assert energy[bit] == pytest.approx(energy.sum())


@pytest.mark.parametrize(
    ("name", "levels", "place"),
    [("bior3.1", 1, (2.0, -0.5)), ("haar", 1, (2.0, 0.5)), ("haar", 2, (4.0, 1.5)), ("bior3.1", 2, (4.0, -1.5))],
)
def test_places_of_coefficients(name: str, levels: int, place: tuple[float, float]) -> None:
    assert Wavelet(name, levels).place == pytest.approx(place)


@pytest.mark.parametrize(("n", "m"), [(96, 49), (97, 50), (72, 37)])
def test_number_of_bior31_coefficients(n: int, m: int) -> None:
    assert Wavelet("bior3.1").coefficient_shape((n, n, 1)) == (m, m, 2)


def test_forward_is_differentiable() -> None:
    volume = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    Wavelet("db2").forward(volume).square().sum().backward()
    assert volume.grad is not None and torch.isfinite(volume.grad).all() and volume.grad.abs().sum() > 0


def test_unknown_wavelets_and_levels_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'bior31' is not a discrete wavelet.*bior3\.1"):
        Wavelet("bior31")
    with pytest.raises(ModelError, match="3 wavelet levels"):
        Wavelet("haar", 3)
