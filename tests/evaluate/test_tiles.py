"""Volumes that are compared in tiles: what they cover, what they hold in memory, and that they tell the same."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from evaluate_support import coloured, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import InputError, MemoryBudgetError
from cryolithe_stream.evaluate import ArrayVolume, fourier_shell_correlation
from cryolithe_stream.evaluate.tiles import plan_tiles, projected_bytes
from cryolithe_stream.evaluate.window import Window, cosine_edge

MIB = 1 << 20


@settings(max_examples=30)
@given(
    shape=st.tuples(*[st.integers(8, 150)] * 3), memory=st.integers(3 * MIB, 20 * MIB), taper=st.sampled_from([0, 0.2])
)
def test_tiles_cover_the_volume_evenly_and_fit(shape, memory, taper):
    volume = ArrayVolume(np.broadcast_to(np.float32(0), shape))
    tiles = plan_tiles(volume, volume, Window(taper), memory_bytes=memory)
    assert tiles.projected_bytes <= memory
    covered = [np.zeros(n, bool) for n in shape]
    for box in tiles.boxes:
        assert box.shape == tiles.tile_zyx
        for axis, cover in enumerate(covered):
            assert 0 <= box.start[axis] < box.stop[axis] <= shape[axis]
            cover[box.start[axis] : box.stop[axis]] = True
    assert all(cover.all() for cover in covered)
    assert (len(tiles.boxes) == 1) == (tiles.tile_zyx == shape)


@settings(max_examples=30)
@given(n=st.integers(1, 100), taper=st.floats(0, 0.5))
def test_neighbouring_tapers_add_up_to_one(n, taper):
    weights = cosine_edge(n, taper)
    width = round(taper * n)
    np.testing.assert_allclose(weights[:width] + weights[n - width :], 1, atol=1e-12)
    np.testing.assert_allclose(weights[width : n - width], 1)
    np.testing.assert_allclose(weights, weights[::-1])


def test_tiles_agree_with_the_whole():
    shape = (64, 120, 130)
    signal = coloured(shape, 1, 0.2)
    a, b = (signal + noise(shape, seed) for seed in (2, 3))
    whole = fourier_shell_correlation(a, b, tilt_range_deg=(-50, 60))
    tiled = fourier_shell_correlation(a, b, tilt_range_deg=(-50, 60), memory_bytes=5 * MIB)
    assert whole.n_tiles == 1
    assert tiled.n_tiles > 4
    assert tiled.to_json()["tiles"] == {"count": tiled.n_tiles, "shape_zyx": list(tiled.tile_zyx)}
    for region in whole.regions:
        at = np.interp(tiled.frequency, whole.frequency, whole.curve(region))
        np.testing.assert_allclose(tiled.curve(region)[2:], at[2:], atol=0.08)
        found, expected = (fsc.crossing(0.5, region).resolution_angstrom for fsc in (tiled, whole))
        assert found == pytest.approx(expected, rel=0.08)


def test_a_tile_without_content_counts_as_power_of_the_other_alone():
    a, b = noise((32, 32, 128), 1), noise((32, 32, 128), 1)
    b[:, :, 44:] = 0
    a[:, :, 90:] = 0
    found = fourier_shell_correlation(a, b, memory_bytes=int(1.7 * MIB), taper=0.0)
    assert found.n_tiles > 2
    shares = found.sums["all"].power_b.sum() / found.sums["all"].power_a.sum()
    assert found.curve().mean() == pytest.approx(np.sqrt(shares), abs=0.05)
    with pytest.raises(InputError, match="one value everywhere"):
        fourier_shell_correlation(a, np.zeros_like(a), memory_bytes=int(1.7 * MIB))


@pytest.mark.parametrize("shape", [(64, 128, 128), (48, 96, 200), (96, 96, 96)])
@pytest.mark.parametrize("masked", [False, True])
def test_measured_bytes_are_within_the_projection_and_not_far_below(shape, masked):
    a, b = noise(shape, 1), noise(shape, 2)
    mask = np.ones(shape, np.float32) if masked else None
    fourier_shell_correlation(a[:8, :8, :8], b[:8, :8, :8])  # what is loaded once is not counted
    tracemalloc.start()
    fourier_shell_correlation(a, b, tilt_range_deg=(-60, 60), mask=mask)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    window = Window(mask=None if mask is None else ArrayVolume(mask))
    assert peak <= projected_bytes(shape, ArrayVolume(a), ArrayVolume(b), window) <= 1.25 * peak


def test_more_than_a_million_tiles_are_refused():
    huge = np.broadcast_to(np.float32(1), (1 << 16,) * 3)
    with pytest.raises(MemoryBudgetError, match="the limit is a million"):
        plan_tiles(ArrayVolume(huge), ArrayVolume(huge), Window(), memory_bytes=64 << 20)


def test_too_little_memory_is_refused_with_what_would_do():
    a = noise((64, 64, 64), 1)
    with pytest.raises(MemoryBudgetError, match=r"Give --memory 2MiB") as caught:
        fourier_shell_correlation(a, a, memory_bytes=1000)
    assert caught.value.exit_code == 2
    assert fourier_shell_correlation(a, a, memory_bytes=2 * MIB).n_tiles > 1
