"""Mirrored and thinned scenes are true recordings; crops and points ask for what they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.geometry import Box, VolumeFrame
from cryolithe_stream.network import Context, ContextConfig, CosineRamp, ProjectionFilter, Wavelet
from cryolithe_stream.simulate import CLEAN, PhantomOptions, make_phantom, project
from cryolithe_stream.train.example import Sampler
from cryolithe_stream.train.phantoms import Recording, prepared, record, specimen_of
from cryolithe_stream.train.scene import FewerTilts, Mirrored, random_tilt_subset, truth_around
from cryolithe_stream.train.sections import SamplingOptions
from cryolithe_stream.train.trainee import _margin

RAMP = ProjectionFilter(ramp=CosineRamp())
SHAPE = (14, 9, 26)
TILTS = np.array([-40.0, 5.0, 62.0])


@pytest.fixture(scope="module")
def recording() -> Recording:
    phantom = make_phantom(2, PhantomOptions(shape_zyx=SHAPE, periodic_x=False, gold=False))
    return record(specimen_of(phantom, 0.0), 300.0, TILTS, np.random.default_rng(0), CLEAN, RAMP)


def all_of(scene):
    rows, columns = scene.frame.detector_yx
    return scene.projections((0, rows), (0, columns)), scene.truth(Box.whole(scene.frame.volume_zyx))


@pytest.mark.parametrize(
    "mirrors", [(True, False, False), (False, True, False), (False, False, True), (True, False, True), (True,) * 3]
)
def test_a_mirrored_scene_is_the_recording_of_the_mirrored_specimen(recording, mirrors):
    scene = Mirrored(recording, mirrors)
    projections, truth = all_of(scene)
    again, _ = prepared(project(np.ascontiguousarray(truth), scene.tilts_deg, SHAPE[1:]), RAMP)
    difference = again * (projections.std() / again.std()) - projections
    assert np.linalg.norm(difference) < 0.01 * np.linalg.norm(projections)


@given(st.tuples(st.booleans(), st.booleans(), st.booleans()), st.data())
def test_parts_of_a_mirrored_scene_are_parts_of_the_whole(recording, mirrors, data):
    scene = Mirrored(recording, mirrors)
    projections, truth = all_of(scene)
    spans = []
    for n in SHAPE:
        a = data.draw(st.integers(0, n - 1))
        spans.append((a, data.draw(st.integers(a + 1, n))))
    (z0, z1), (y0, y1), (x0, x1) = spans
    np.testing.assert_array_equal(scene.truth(Box((z0, y0, x0), (z1, y1, x1))), truth[z0:z1, y0:y1, x0:x1])
    np.testing.assert_array_equal(scene.projections((y0, y1), (x0, x1)), projections[:, y0:y1, x0:x1])


def test_mirroring_moves_the_frame_with_the_specimen():
    class Shifted:
        frame = VolumeFrame((4, 5, 6), (5, 8), axis_offset_px=1.5, shift_zx_px=(2.0, -3.0))
        tilts_deg = TILTS
        inside = Box((1, 0, 2), (3, 4, 6))

    x = Mirrored(Shifted(), (False, False, True))
    assert (x.frame.axis_offset_px, x.frame.shift_zx_px) == (-1.5, (2.0, 3.0))
    assert x.inside == Box((1, 0, 0), (3, 4, 4))
    z = Mirrored(Shifted(), (True, False, False))
    assert (z.frame.axis_offset_px, z.frame.shift_zx_px) == (1.5, (-2.0, -3.0))
    for scene, sign in ((x, -1), (z, -1), (Mirrored(Shifted(), (True, False, True)), 1)):
        np.testing.assert_array_equal(scene.tilts_deg, sign * TILTS)
        seen, first = (s.frame.voxels().columns(s.tilts_deg) for s in (scene, Mirrored(Shifted(), (False,) * 3)))
        flips = tuple(i for i, on in ((1, scene.mirrors_zyx[0]), (2, scene.mirrors_zyx[2])) if on)
        where = np.flip(first, flips)
        np.testing.assert_allclose(seen, 7 - where if scene.mirrors_zyx[2] else where, atol=1e-12)


@given(st.integers(0, 300), st.integers(2, 90))
def test_a_subset_of_tilts_rises_and_holds_five_or_all(seed, n):
    kept = random_tilt_subset(np.random.default_rng(seed), np.linspace(-60, 60, n))
    assert (np.diff(kept) > 0).all() and kept.min() >= 0 and kept.max() < n
    assert len(kept) >= min(5, n)


def test_fewer_tilts_are_the_recorded_ones(recording):
    scene = FewerTilts(recording, np.array([0, 2]))
    np.testing.assert_array_equal(scene.tilts_deg, TILTS[[0, 2]])
    np.testing.assert_array_equal(scene.projections((2, 5), (3, 9)), recording.values[[0, 2], 2:5, 3:9])


def test_truth_is_zero_outside(recording):
    found = truth_around(recording, Box((-2, 3, 20), (3, 12, 30)))
    np.testing.assert_array_equal(found[2:, :6, :6], recording.density[:3, 3:, 20:])
    assert not found[:2].any() and not found[:, 6:].any() and not found[:, :, 6:].any()


@pytest.mark.parametrize("wavelet", [None, Wavelet("bior3.1"), Wavelet("haar")])
@pytest.mark.parametrize("crop", [(None, 1, 5), (4, 3, 7), (None, None, None)])
def test_a_crop_carries_the_truth_of_its_points(recording, wavelet, crop):
    sampler = Sampler(SamplingOptions(crop_zyx=crop), reach_px=2.0, wavelet=wavelet)
    whole = recording.density[None] if wavelet is None else wavelet.forward(recording.density)
    axis = recording.frame.axis_px
    grid = recording.frame.voxels()
    if wavelet is not None:
        grid = recording.frame.coefficients(wavelet.coefficient_shape(SHAPE), wavelet.place)
    for seed in range(8):
        found = sampler.draw(recording, np.random.default_rng(seed))
        assert found.keep == Box.whole(found.grid.shape)
        first = [
            int(np.abs(a - b[0]).argmin()) for a, b in ((grid.z_px, found.grid.z_px), (grid.x_px, found.grid.x_px))
        ]
        part = np.s_[:, first[0] : first[0] + found.grid.shape[0], :, first[1] : first[1] + found.grid.shape[2]]
        rows = [
            i
            for i in range(whole.shape[2] - found.grid.shape[1] + 1)
            if np.allclose(whole[part][:, :, i : i + found.grid.shape[1]], found.target, atol=1e-5)
        ]
        assert rows
        shift = axis - found.grid.axis_px  # the first column that was read
        np.testing.assert_array_equal(
            found.projections[:, 0],
            recording.values[:, _row(recording, found), int(shift) :][:, : len(found.projections[0, 0])],
        )


def _row(recording, crop):
    """The detector row that a crop's first row is."""
    first = crop.projections[:, 0].numpy()
    for row in range(recording.values.shape[1]):
        for a in range(recording.values.shape[2] - first.shape[1] + 1):
            if np.array_equal(recording.values[:, row, a : a + first.shape[1]], first):
                return row
    raise AssertionError("not a part of the recording")


def test_crops_for_a_context_network_begin_at_its_strides_and_keep_what_has_neighbours(recording):
    context = Context(ContextConfig(widths=(2, 2), down=(1, 1), up=(1,)))
    margin = _margin(context)
    sampler = Sampler(SamplingOptions(crop_zyx=(None, 16, 20)), 2.0, None, margin, context.stride)
    starts = set()
    for seed in range(30):
        found = sampler.draw(recording, np.random.default_rng(seed))
        assert all(n % context.stride == 0 for n in found.grid.shape)
        around = context.input_box(found.keep)
        assert min(around.start) >= 0 and all(a <= n for a, n in zip(around.stop, found.grid.shape, strict=True))
        assert found.target.shape[1:] == found.keep.shape and min(found.keep.shape) > 0
        offset = found.grid.x_px[0] - recording.frame.voxels().x_px[0]
        assert offset % context.stride == 0
        first = int(offset) + found.keep.start[2]
        assert first >= 0 and first + found.keep.shape[2] <= SHAPE[2]
        starts |= set(range(first, first + found.keep.shape[2]))
    assert starts == set(range(SHAPE[2]))  # sides of the volume are trained too
    whole = sampler.crop(recording, sampler.whole(recording.inside), recording.inside)
    np.testing.assert_array_equal(whole.target[0], recording.density)


def test_points_carry_the_truth_of_their_voxels(recording):
    sampler = Sampler(SamplingOptions(kind="points", points=50, rows=3), reach_px=2.0)
    found = sampler.draw(recording, np.random.default_rng(1))
    assert found.target.shape == (1, 50) and found.columns.shape == (3, 50)
    values = set(recording.density.ravel().tolist())
    assert all(v in values for v in found.target[0].tolist())
    assert torch.is_tensor(found.rows)
