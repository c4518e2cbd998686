"""The cosine ramp against its formula, and what every projection filter obeys."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.network import CosineRamp, ProjectionFilter

RAMP = ProjectionFilter(CosineRamp())


def direct_response(width: int) -> np.ndarray:
    """The response at k/L by a sum over the kernel's taps, L = 4·ceil(width/2)."""
    length = 4 * ((width + 1) // 2)
    taps = np.arange(-length // 2, length // 2)
    kernel = np.zeros(length)
    kernel[taps == 0] = 0.25
    kernel[taps % 2 == 1] = -1 / (np.pi * taps[taps % 2 == 1]) ** 2
    f = np.fft.fftfreq(length)
    ramp = 2 * (np.cos(2 * np.pi * f[:, None] * taps) @ kernel)
    return ramp * np.cos(np.pi * f)


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8, 31, 64, 97, 100])
def test_cosine_ramp_is_its_formula(width: int) -> None:
    kernel = CosineRamp().kernel(width)
    assert len(kernel) == 4 * ((width + 1) // 2) >= 2 * width
    np.testing.assert_allclose(np.fft.fft(kernel), direct_response(width), atol=1e-12)


@pytest.mark.parametrize("width", [61, 62, 63, 64, 65, 66, 67])
def test_gain_at_zero_frequency_is_that_of_a_finite_row(width: int) -> None:
    """2·(1/4 − Σ 1/(πj)² over the odd |j| < L/2), about 4/(π²·L): it falls smoothly, whatever the width's remainder."""
    length = 4 * ((width + 1) // 2)
    odd = np.arange(1, length // 2, 2)
    expected = 2 * (0.25 - 2 * (1 / (np.pi * odd) ** 2).sum())
    gain = CosineRamp().kernel(width).sum()
    assert gain == pytest.approx(expected, rel=1e-9)
    assert gain == pytest.approx(4 / (np.pi**2 * length), rel=0.01)


def test_response_is_a_ramp_with_a_cosine_window() -> None:
    response = np.fft.rfft(CosineRamp().kernel(500)).real
    f = np.fft.rfftfreq(1000)
    np.testing.assert_allclose(response, 2 * f * np.cos(np.pi * f), atol=1e-3)


def test_an_impulse_becomes_the_kernel() -> None:
    row = torch.zeros(1, 1, 9)
    row[..., 4] = 1
    kernel = CosineRamp().kernel(9)
    np.testing.assert_allclose(RAMP.apply(row)[0, 0], np.roll(kernel, 4)[:9], atol=1e-7)


@given(width=st.integers(2, 70), shift=st.integers(0, 20), seed=st.integers(0, 1000))
def test_filtering_is_linear_and_commutes_with_shifts(width: int, shift: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 2, 3, width, generator=g)
    torch.testing.assert_close(RAMP.apply(2 * a - b), 2 * RAMP.apply(a) - RAMP.apply(b), rtol=1e-4, atol=1e-5)
    # No wrap-around: a pixel never sees another one further away than the row is wide.
    row, k = torch.zeros(1, width), min(shift, width - 1)
    row[0, k] = 1
    first = torch.zeros(1, width)
    first[0, 0] = 1
    torch.testing.assert_close(RAMP.apply(row)[0, k:], RAMP.apply(first)[0, : width - k], rtol=1e-4, atol=1e-6)


def test_frames_are_filtered_one_by_one() -> None:
    stack = torch.randn(3, 4, 21, generator=torch.Generator().manual_seed(5))
    together = RAMP.apply(stack)
    assert together.shape == stack.shape and together.dtype == torch.float32
    torch.testing.assert_close(together[1], RAMP.apply(stack[1]))


def test_rows_are_filtered_alike_in_parts() -> None:
    """Many rows are worked on in parts; each is filtered as if it were alone."""
    rows = torch.randn(700, 12, generator=torch.Generator().manual_seed(2))
    filtered = RAMP.apply(rows)
    torch.testing.assert_close(filtered[255:258], torch.cat([RAMP.apply(rows[i : i + 1]) for i in range(255, 258)]))
    assert RAMP.peak_bytes((700, 12)) < RAMP.peak_bytes((7000, 12)) < 10 * RAMP.peak_bytes((700, 12))


def test_no_filter_changes_nothing() -> None:
    frame = torch.randn(4, 5)
    nothing = ProjectionFilter()
    assert nothing.kind == "none" and nothing.peak_bytes((4, 5)) == 0
    nothing.check_width(5)
    torch.testing.assert_close(nothing.apply(frame), frame)
