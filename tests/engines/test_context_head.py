"""Reconstruction through a context network: against its definition, and against how a volume is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from engines_support import CONFIGS, CPU, DETECTOR_YX, TILTS_DEG, VOLUME_ZYX, network, voxels
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.engines import BlockReconstructor, ContextHead, ExactEngine, FeaturesEngine, Strips
from cryolithe_stream.geometry import Box, SampleGrid, VolumeFrame, strips_for_grid
from cryolithe_stream.network import Context, ContextConfig, Wavelet

SLICES = replace(CONFIGS["compact"], output_size=3)
WHOLE = Box.whole(VOLUME_ZYX)


def head(outputs: int, dtype: torch.dtype = torch.float32) -> ContextHead:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        config = ContextConfig(widths=(3, 4), down=(1, 1), up=(1,), outputs=outputs)
        return ContextHead(Context(config), dtype, CPU)


def made(name: str, dtype: torch.dtype = torch.float32) -> BlockReconstructor:
    frame = VolumeFrame(VOLUME_ZYX, DETECTOR_YX)
    exact = ExactEngine(network(SLICES), 1.0, dtype, CPU)
    engine = exact if name == "exact" else FeaturesEngine(network(SLICES), 2, 1.0, dtype, CPU, points=50)
    wavelet = Wavelet("bior3.1") if name == "wavelet" else None
    return BlockReconstructor(frame, engine, wavelet, head(8 if wavelet else 1, dtype))


@pytest.fixture(scope="module")
def wholes(projections) -> dict[str, np.ndarray]:
    return {name: voxels(made(name), WHOLE, projections)[0] for name in ("features", "wavelet")}


boxes = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in VOLUME_ZYX)).filter(
    lambda ends: all(a < b for a, b in ends)
)


@settings(max_examples=20, deadline=None)
@given(ends=boxes, name=st.sampled_from(["features", "wavelet"]))
def test_results_do_not_depend_on_how_the_volume_is_cut(ends, name, projections, wholes):
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    np.testing.assert_allclose(voxels(made(name), box, projections)[0], wholes[name][box.slices], atol=3e-5)


def features_of(engine: FeaturesEngine, grid: SampleGrid, projections: np.ndarray) -> torch.Tensor:
    """Features `(channel, z, y, x)` of a grid that reaches far beyond the volume."""
    layout = strips_for_grid(grid, TILTS_DEG, halo_yx_px=engine.halo_yx_px)
    reach = 100
    padded = np.pad(projections, ((0, 0), (reach, reach), (reach, reach)))
    rows = slice(layout.first_row + reach, layout.first_row + layout.n_rows + reach)
    firsts = layout.first_column + reach
    values = np.stack([p[rows, c : c + layout.n_columns] for p, c in zip(padded, firsts, strict=True)])
    return engine.reconstruct(grid, Strips.of(layout, values, TILTS_DEG))[0]


def test_values_are_the_network_on_features_of_a_volume_without_end(projections, wholes):
    margin = 16
    far = Box((-margin,) * 3, tuple(n + margin + n % 2 for n in VOLUME_ZYX))
    grid = VolumeFrame(VOLUME_ZYX, DETECTOR_YX).voxels().beyond(far)
    engine = FeaturesEngine(network(SLICES), 2, 1.0, torch.float32, CPU)
    with torch.no_grad():
        found = head(1).network(features_of(engine, grid, projections)[None])[0, 0].numpy()
    np.testing.assert_allclose(wholes["features"], found[WHOLE.shifted((margin,) * 3).slices], atol=3e-5)


def test_features_agree_with_exact_samples(projections):
    box = Box((4, 6, 10), (7, 8, 14))
    exact, found = (voxels(made(name), box, projections)[0] for name in ("exact", "features"))
    assert np.linalg.norm(found - exact) < 0.3 * np.linalg.norm(exact)  # K = 2 on a network that does not know it
    finer = replace(made("features"), engine=FeaturesEngine(network(SLICES), 16, 1.0, torch.float32, CPU))
    assert np.linalg.norm(voxels(finer, box, projections)[0] - exact) < 0.01 * np.linalg.norm(exact)


@pytest.mark.parametrize("name", ["features", "wavelet"])
def test_halves_are_made_of_their_own_views(name, projections):
    box = Box((3, 6, 5), (9, 10, 19))
    sets = voxels(made(name), box, projections, halves=True)
    np.testing.assert_allclose(sets[0], voxels(made(name), box, projections)[0], atol=3e-5)
    odd = projections.copy()
    odd[1::2] = 0
    changed = voxels(made(name), box, odd, halves=True)
    np.testing.assert_array_equal(changed[1], sets[1])
    assert not changed[2].any()


def test_the_whole_stays_1_homogeneous(projections):
    box = Box((3, 6, 5), (9, 10, 19))
    one, scaled = (voxels(made("features"), box, k * projections)[0] for k in (1.0, 7.5))
    np.testing.assert_allclose(scaled, 7.5 * one, rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_near_float32(projections, wholes):
    found = voxels(made("features", torch.bfloat16), WHOLE, projections)[0]
    assert np.linalg.norm(found - wholes["features"]) < 0.03 * np.linalg.norm(wholes["features"])
