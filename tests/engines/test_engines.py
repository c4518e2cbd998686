"""The engines against each other, against the definition, and against how a volume is cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engines_support import CONFIGS, CPU, DETECTOR_YX, TILTS_DEG, VOLUME_ZYX, network, strips_of, voxels
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.engines import BlockReconstructor, ExactEngine, FbpEngine, FeaturesEngine
from cryolithe_stream.geometry import Box, VolumeFrame
from cryolithe_stream.network import Wavelet

WHOLE = Box.whole(VOLUME_ZYX)
INSIDE = Box((3, 6, 5), (9, 10, 19))


def exact(name: str, frame: VolumeFrame, scale: float = 1.0) -> BlockReconstructor:
    wavelet = Wavelet("bior3.1") if name == "wavelet" else None
    return BlockReconstructor(frame, ExactEngine(network(CONFIGS[name]), scale, torch.float32, CPU), wavelet)


def features(name: str, frame: VolumeFrame, k: int, scale: float = 1.0, points: int = 50) -> BlockReconstructor:
    wavelet = Wavelet("bior3.1") if name == "wavelet" else None
    engine = FeaturesEngine(network(CONFIGS[name]), k, scale, torch.float32, CPU, points)
    return BlockReconstructor(frame, engine, wavelet)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def test_exact_engine_is_the_network_on_patches_sampled_by_hand(frame, projections):
    model = network(CONFIGS["paper"])
    z, y, x = 8, 7, 12
    got = voxels(
        BlockReconstructor(frame, ExactEngine(model, 1.5, torch.float32, CPU)),
        Box((z, y, x), (z + 1, y + 1, x + 1)),
        projections,
    )
    patches = np.zeros((1, len(TILTS_DEG), 5, 5), np.float32)
    for t, tilt in enumerate(np.deg2rad(TILTS_DEG)):
        u = (x - 16.5) * np.cos(tilt) + (z - 6.0) * np.sin(tilt) + 16.5
        for i in range(5):
            for j in range(5):
                row, column = y + 1.5 * (i - 2), u + 1.5 * (j - 2)
                r, c = int(np.floor(row)), int(np.floor(column))
                for dr, wr in ((0, 1 - row + r), (1, row - r)):
                    for dc, wc in ((0, 1 - column + c), (1, column - c)):
                        if 0 <= r + dr < DETECTOR_YX[0] and 0 <= c + dc < DETECTOR_YX[1]:
                            patches[0, t, i, j] += wr * wc * projections[t, r + dr, c + dc]
    with torch.inference_mode():
        want = model(torch.from_numpy(patches), torch.from_numpy(TILTS_DEG)).numpy()
    np.testing.assert_allclose(got.ravel(), want.ravel(), rtol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("scale", [1.0, 1.3])
def test_features_converge_to_exact_as_one_over_k_squared(name, scale, frame, projections):
    want = voxels(exact(name, frame, scale), INSIDE, projections)
    errors = [difference(voxels(features(name, frame, k, scale), INSIDE, projections), want) for k in (4, 8, 16)]
    if name == "one-layer-each" and scale == 1.0:  # linear throughout: nothing is lost by interpolating later
        assert max(errors) < 1e-5
        return
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[0] / 5


@pytest.mark.parametrize(
    "name", ["paper", "compact", "columns", "first-tilt", "residual", "first-tilt-residual", "wavelet"]
)
def test_halves_are_the_reconstructions_of_odd_and_even_views(name, frame, projections):
    all_sets = voxels(features(name, frame, 2), INSIDE, projections, halves=True)
    exact_sets = voxels(exact(name, frame), INSIDE, projections, halves=True)
    np.testing.assert_allclose(all_sets[0], voxels(features(name, frame, 2), INSIDE, projections)[0], atol=2e-5)
    np.testing.assert_allclose(exact_sets[0], voxels(exact(name, frame), INSIDE, projections)[0], atol=2e-5)
    for got, want in zip(voxels(features(name, frame, 16), INSIDE, projections, halves=True), exact_sets, strict=True):
        assert difference(got, want) < 0.02


boxes = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in VOLUME_ZYX)).filter(
    lambda ends: all(a < b for a, b in ends)
)


@settings(max_examples=25, deadline=None)
@given(ends=boxes, name=st.sampled_from(["paper", "compact", "columns", "biases", "wavelet", "fbp", "exact"]))
def test_results_do_not_depend_on_how_the_volume_is_cut(ends, name, projections):
    frame = VolumeFrame(VOLUME_ZYX, DETECTOR_YX)
    box = Box(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    if name == "fbp":
        reconstructor = BlockReconstructor(frame, FbpEngine(torch.float32, CPU, rows=4))
    elif name == "exact":
        reconstructor = exact("compact", frame)
        box = Box(box.start, tuple(min(b, a + 4) for a, b in zip(box.start, box.stop, strict=True)))
    else:
        reconstructor = features(name, frame, 2)
    whole = voxels(reconstructor, WHOLE if name != "exact" else Box(box.start, VOLUME_ZYX), projections)[0]
    part = box if name != "exact" else box.shifted(tuple(-a for a in box.start))
    np.testing.assert_allclose(voxels(reconstructor, box, projections)[0], whole[part.slices], atol=3e-5)


def test_bias_free_networks_are_1_homogeneous(frame, projections):
    engine = features("compact", frame, 2)
    np.testing.assert_allclose(
        voxels(engine, INSIDE, 7.5 * projections), 7.5 * voxels(engine, INSIDE, projections), rtol=1e-4, atol=1e-4
    )


def test_empty_projections_give_an_empty_volume(frame, projections):
    assert not voxels(features("compact", frame, 2), INSIDE, 0 * projections).any()
    assert not voxels(BlockReconstructor(frame, FbpEngine(torch.float32, CPU)), INSIDE, 0 * projections).any()


def test_one_tilt_is_enough(frame, projections):
    reconstructor = features("compact", frame, 2)
    layout = reconstructor.layout(INSIDE, TILTS_DEG[4:5])
    strips = type(strips_of(reconstructor, INSIDE, projections)).of(
        layout, np.ones(layout.shape, np.float32), TILTS_DEG[4:5]
    )
    assert np.isfinite(reconstructor.voxels(INSIDE, strips)).all()


def test_fbp_of_constant_filtered_projections_is_half_pi(frame):
    reconstructor = BlockReconstructor(frame, FbpEngine(torch.float32, CPU))
    inner = Box((5, 5, 14), (8, 9, 20))
    got = voxels(reconstructor, inner, np.ones((len(TILTS_DEG), *DETECTOR_YX), np.float32))
    np.testing.assert_allclose(got, np.pi / 2, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_near_float32(dtype, frame, projections):
    wanted = voxels(features("compact", frame, 2), INSIDE, projections)
    engine = FeaturesEngine(network(CONFIGS["compact"]), 2, 1.0, dtype, CPU)
    got = voxels(BlockReconstructor(frame, engine), INSIDE, projections)
    assert difference(got, wanted) < 0.03
