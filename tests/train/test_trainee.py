"""What is trained is what runs: filter, patch scale, targets and sizes end up in the model as they were trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from train_support import options

from cryolithe_stream.engines import ExactEngine, Strips
from cryolithe_stream.engines.strips import patch_offsets
from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Box, VolumeFrame, strips_for_grid
from cryolithe_stream.network import CosineRamp, ProjectionFilter, load_model, save_model
from cryolithe_stream.simulate import CLEAN, PhantomOptions, make_phantom
from cryolithe_stream.train.example import Points
from cryolithe_stream.train.learned import LearnedFilter, sample_patches
from cryolithe_stream.train.phantoms import Recording, record, specimen_of
from cryolithe_stream.train.trainee import calibrate, make_trainee

CPU = torch.device("cpu")
TILTS = np.array([-50.0, -20.0, 3.0, 31.0, 60.0])


@pytest.fixture(scope="module")
def recording() -> Recording:
    phantom = make_phantom(4, PhantomOptions(shape_zyx=(16, 14, 30), gold=False))
    ramp = ProjectionFilter(ramp=CosineRamp())
    return record(specimen_of(phantom, 0.0), 5.0, np.round(TILTS), np.random.default_rng(0), CLEAN, ramp)


def test_patches_are_those_of_the_exact_engine(recording):
    frame = recording.frame
    o = options(sampling={"kind": "points", "points": 40})
    trainee = make_trainee(o, torch.float32, CPU)
    network = trainee.predictor.slices.requires_grad_(False)
    engine = ExactEngine(network, 1.3, torch.float32, CPU)
    grid = frame.voxels().cut(Box((2, 0, 0), (9, 14, 30)))
    layout = strips_for_grid(grid, recording.tilts_deg, halo_yx_px=engine.halo_yx_px)
    values = np.zeros(layout.shape, np.float32)
    for t, first in enumerate(layout.first_column):
        for i in range(layout.n_rows):
            for j in range(layout.n_columns):
                y, x = layout.first_row + i, first + j
                if 0 <= y < 14 and 0 <= x < 30:
                    values[t, i, j] = recording.values[t, y, x]
    wanted = engine.reconstruct(grid, Strips.of(layout, values, recording.tilts_deg))[0, 0]
    z, y, x = (a.ravel() for a in np.indices(grid.shape))
    columns = torch.from_numpy(grid.columns(recording.tilts_deg)[:, z, x])
    offsets = patch_offsets(network.config.patch_size, 1.3)
    patches = sample_patches(torch.from_numpy(recording.values), columns, torch.from_numpy(grid.row_px[y]), offsets)
    found = network(patches, torch.from_numpy(recording.tilts_deg))[:, 0].reshape(grid.shape)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_learned_filter_starts_as_the_cosine_ramp_and_is_saved_as_it_works():
    rows = torch.randn(3, 7, 200, generator=torch.Generator().manual_seed(1))
    learned = LearnedFilter()
    ramp = ProjectionFilter(ramp=CosineRamp()).apply(rows)
    assert (learned(rows) - ramp).norm() < 2e-3 * ramp.norm()
    with torch.no_grad():
        learned.gain += 0.3 * torch.rand(len(learned.gain), generator=torch.Generator().manual_seed(2))
    for width in (200, 1500):
        wide = torch.randn(2, width, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(learned.as_filter().apply(wide), learned(wide), rtol=1e-4, atol=1e-5)


def test_filter_and_patch_scale_have_the_gradients_of_finite_differences(recording):
    o = options(
        sampling={"kind": "points", "points": 60, "rows": 4}, learn={"filter": True, "patch_scale": True}, loss="l2"
    )
    trainee = make_trainee(o, torch.float32, CPU)
    with torch.no_grad():  # at 1, samples lie on whole rows, where interpolation has a kink
        trainee.patch_scale.octaves += 0.05
    example = trainee.sampler(o).draw(recording, np.random.default_rng(2))
    assert isinstance(example, Points) and example.projections.shape[2] == 30
    loss = trainee.loss(example, "l2")
    parameters = [trainee.filter.gain, trainee.patch_scale.octaves]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        direction = torch.ones_like(parameter)
        with torch.no_grad():
            losses = []
            for step in (1e-3, -2e-3):
                parameter += step * direction
                losses.append(float(trainee.loss(example, "l2")))
            parameter += 1e-3 * direction
        assert float(gradient.sum()) == pytest.approx((losses[0] - losses[1]) / 2e-3, rel=0.05)
    model = trainee.as_model("m", o, (6, 12), {})
    assert model.filter.kind == "VectorModel_real" and model.patch_scale == pytest.approx(2 ** np.tanh(0.05))
    assert model.oversample is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"target": "wavelet"},
        {"network": {"family": "paper", "patch_size": 5, "set_input": 8, "set_hidden": [8], "set_output": 8,
                     "slice_hidden": [8, 8], "slice_output": 4, "combine_hidden": [8]}},
        {"context": {"widths": [4, 6], "down": [1, 1], "up": [1]}, "sampling": {"crop_zyx": [None, 20, 20]}},
        {"context": {"widths": [4], "down": [1], "up": []}, "target": "wavelet",
         "sampling": {"crop_zyx": [None, 8, 8]}},
    ],
)  # fmt: skip
def test_a_crop_is_what_the_model_reconstructs(recording, given, tmp_path):
    o = options(**given)
    trainee = make_trainee(o, torch.float32, CPU)
    sampler = trainee.sampler(o)
    calibrate(trainee, [sampler.draw(recording, np.random.default_rng(i)) for i in range(3)])
    crop = sampler.draw(recording, np.random.default_rng(7))
    values = trainee.values(crop).detach()
    assert values.shape == crop.target.shape
    assert 0.02 < float(values.std()) / float(crop.target.std() + 1e-9) < 50
    save_model(trainee.as_model("m", o, (6, 12), {}), tmp_path / "m.safetensors")
    model = load_model(tmp_path / "m.safetensors")
    inside = sampler.grid_box(recording, recording.inside)
    whole = trainee.values(sampler.crop(recording, sampler.whole(inside), inside)).detach()
    for_voxels = reconstructed(model, recording)
    if model.wavelet is None:
        torch.testing.assert_close(whole[0], torch.from_numpy(for_voxels), rtol=1e-3, atol=1e-5)
    else:
        assert whole.shape[0] == 8
    zyx = [
        round((a[0] - b[0]) / (2 if model.wavelet else 1))
        for a, b in zip(
            (crop.grid.z_px, crop.grid.x_px),
            (grid_of(model, recording).z_px, grid_of(model, recording).x_px),
            strict=True,
        )
    ]
    z, x = zyx[0] + crop.keep.start[0] - inside.start[0], zyx[1] + crop.keep.start[2] - inside.start[2]
    part = whole[:, z : z + values.shape[1], :, x : x + values.shape[3]]
    matches = [
        torch.allclose(part[:, :, y : y + values.shape[2]], values, rtol=1e-3, atol=1e-5)
        for y in range(part.shape[2] - values.shape[2] + 1)
    ]
    assert any(matches)


def grid_of(model, recording):
    frame = recording.frame
    if model.transform is None:
        return frame.voxels()
    return frame.coefficients(model.transform.coefficient_shape(frame.volume_zyx), model.transform.place)


def reconstructed(model, recording):
    """The whole volume as a run reconstructs it."""
    from cryolithe_stream.engines import BlockReconstructor, ContextHead, FeaturesEngine

    frame: VolumeFrame = recording.frame
    engine = FeaturesEngine(model.network, model.oversample, model.patch_scale, torch.float32, CPU)
    head = None if model.context is None else ContextHead(model.context, torch.float32, CPU)
    block = BlockReconstructor(frame, engine, model.transform, head)
    box = Box.whole(frame.volume_zyx)
    layout = block.layout(box, recording.tilts_deg)
    values = np.zeros(layout.shape, np.float32)
    for t, first in enumerate(layout.first_column):
        for i in range(layout.n_rows):
            y = layout.first_row + i
            columns = np.arange(first, first + layout.n_columns)
            there = (columns >= 0) & (columns < frame.detector_yx[1])
            if 0 <= y < frame.detector_yx[0]:
                values[t, i, there] = recording.values[t, y, columns[there]]
    return block.voxels(box, Strips.of(layout, values, recording.tilts_deg))[0]


def test_what_does_not_fit_the_start_is_refused(tmp_path):
    o = options(target="wavelet")
    file = tmp_path / "w.safetensors"
    save_model(make_trainee(o, torch.float32, CPU).as_model("w", o, (6, 12), {}), file)
    start = {"network": None, "start": str(file)}
    found = make_trainee(options(**start), torch.float32, CPU)
    assert found.plan.wavelet.name == "bior3.1"
    for given, part in (
        ({"target": "pixel"}, "gives the target wavelet bior3.1, the configuration says pixel"),
        ({"context": {"widths": [4]}}, "the model w has no context network that could grow"),
    ):
        with pytest.raises(InputError, match=part):
            make_trainee(options(**start, **given), torch.float32, CPU)


def test_a_started_context_network_grows(tmp_path, recording):
    """Convolutions that join start small, the others as they were: what it gives hardly changes, and it is trained."""
    sizes = {"widths": [4, 6], "down": [1, 1], "up": [1]}
    o = options(context=sizes, sampling={"crop_zyx": [32, 16, 32], "margin": 2})
    first = make_trainee(o, torch.float32, CPU)
    file = tmp_path / "small.safetensors"
    save_model(first.as_model("small", o, (6, 12), {}), file)
    o = o.model_copy(update={"network": None, "start": str(file), "context": {"up": [2]}})
    grown = make_trainee(o, torch.float32, CPU)
    assert grown.predictor.context.config.up == (2,) and grown.predictor.context.config.down == (1, 1)
    assert grown.fingerprint == make_trainee(o, torch.float32, CPU).fingerprint
    example = first.sampler(o).draw(recording, np.random.default_rng(2))
    was, now = (trainee.values(example).detach() for trainee in (first, grown))
    assert 0 < (now - was).norm() < 0.1 * was.norm()
    grown.loss(example, "l2").backward()
    assert all(weight.grad.norm() > 0 for weight in grown.predictor.context.parameters())
    for sizes in ({"widths": [4, 8]}, {"up": [0]}, {"widths": [4], "down": [1], "up": []}):
        with pytest.raises(InputError, match="cannot grow into"):
            make_trainee(o.model_copy(update={"context": sizes}), torch.float32, CPU)


def test_an_example_full_of_matter_weighs_no_more_than_its_own_spread(recording):
    o = options()
    trainee = make_trainee(o, torch.float32, CPU)
    example = trainee.sampler(o).draw(recording, np.random.default_rng(2))
    full = replace(example, target=10_000 * example.target)
    spread = float(full.target.std(correction=0))
    assert spread > full.spread
    found = trainee.loss(full, "l2")
    torch.testing.assert_close(found, ((trainee.values(full) - full.target) ** 2).mean() / spread**2)


def test_a_crop_that_a_context_network_swallows_is_refused():
    o = options(context={"widths": [4, 6], "down": [1, 1], "up": [1]}, sampling={"crop_zyx": [None, 8, 64]})
    with pytest.raises(InputError, match="8 along y leaves nothing"):
        make_trainee(o, torch.float32, CPU).sampler(o)


def test_first_weights_depend_on_the_seed_alone():
    first, again, other = (make_trainee(options(seed=s), torch.float32, CPU).fingerprint for s in (1, 1, 2))
    assert first == again != other
