"""What each step is a function of: its number, the seed, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_support import options, write_mrc

from cryolithe_stream.errors import InputError
from cryolithe_stream.network import CosineRamp, ProjectionFilter
from cryolithe_stream.train.data_options import PhantomOptions
from cryolithe_stream.train.example import Sampler
from cryolithe_stream.train.optimisers import make_optimiser, orthogonal
from cryolithe_stream.train.phantoms import Optics, Recorder, SpecimenCache, make_specimen
from cryolithe_stream.train.schedule import averaged, learning_rate, move_average
from cryolithe_stream.train.sections import OptimiserOptions, SamplingOptions
from cryolithe_stream.train.stream import Examples, PhantomSource
from cryolithe_stream.train.trainee import make_trainee


@pytest.fixture
def template_maps(tmp_path):
    """A folder of two density maps: a ball and a rod."""
    folder = tmp_path / "templates"
    folder.mkdir()
    z, y, x = np.meshgrid(*[np.arange(16.0) - 8] * 3, indexing="ij")
    write_mrc(folder / "ball.mrc", z**2 + y**2 + x**2 < 16, 10.0)
    write_mrc(folder / "rod.mrc", (y**2 + x**2 < 6) & (abs(z) < 6), 10.0)
    return folder


@given(st.integers(1, 3000), st.floats(0, 1))
def test_the_learning_rate_rises_and_falls_once_and_ends_near_a_hundredth(steps, warm_up):
    rates = [learning_rate(i, steps, 2.0, warm_up) for i in range(steps)]
    top = int(np.argmax(rates))
    assert min(rates) > 0 and max(rates) <= 2.0
    assert (np.diff(rates[: top + 1]) >= 0).all() and (np.diff(rates[top:]) <= 1e-12).all()
    assert learning_rate(steps, steps, 2.0, warm_up) <= 0.0201 or round(warm_up * steps) == steps


def test_the_average_of_weights_that_stand_still_reaches_them():
    trainee = make_trainee(options(), torch.float32, torch.device("cpu"))
    average = averaged(trainee)
    with torch.no_grad():
        for weight in trainee.parameters():
            weight += 1.0
    gaps = []
    for step in range(1, 30):
        move_average(average, trainee, step, 0.5)
        pairs = zip(average.parameters(), trainee.parameters(), strict=True)
        gaps.append(max(float((a - b).detach().abs().max()) for a, b in pairs))
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 1e-5


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    phantom = PhantomOptions(count=2, rows=12, width=24, depths=(12,), validation_seeds=(), pool=2, uses=3)
    cache = SpecimenCache(tmp_path_factory.mktemp("phantoms"), phantom)
    for seed in (1000, 1001):
        cache.make(seed)

    def made() -> Examples:
        recorder = Recorder(cache, 7, ProjectionFilter(ramp=CosineRamp()))
        source = PhantomSource(recorder, 1.0, phantom.pool, phantom.uses)
        return Examples([source], Sampler(SamplingOptions(crop_zyx=(None, 1, 8)), 2.0), 7)

    return made


def test_an_example_is_a_function_of_its_number(examples):
    in_order, shuffled = examples(), examples()
    numbers = list(range(24))
    wanted = [in_order(i) for i in numbers]
    with ThreadPoolExecutor(4) as workers:
        found = dict(zip(numbers[::-1], workers.map(shuffled, numbers[::-1]), strict=True))
    for i, example in enumerate(wanted):
        torch.testing.assert_close(found[i].projections, example.projections, rtol=0, atol=0)
        torch.testing.assert_close(found[i].target, example.target, rtol=0, atol=0)
        np.testing.assert_array_equal(found[i].tilts_deg, example.tilts_deg)
    assert not torch.equal(wanted[0].target, in_order(0, tag=3).target)
    assert len({float(e.target.sum()) for e in wanted}) > 12


def test_specimens_of_real_structures_differ_from_procedural_ones_and_repeat(template_maps):
    sizes = {"count": 1, "rows": 16, "width": 48, "depths": (32,), "validation_seeds": ()}
    plain = make_specimen(3, PhantomOptions(**sizes))
    real = PhantomOptions(**sizes, templates=(template_maps,), p_templates=1.0)
    first, again = make_specimen(3, real), make_specimen(3, real)
    np.testing.assert_array_equal(first.truth, again.truth)
    assert first.truth.shape == plain.truth.shape and first.offset_deg == plain.offset_deg
    assert not np.array_equal(first.truth, plain.truth) and first.truth.min() < -0.5
    never = make_specimen(3, PhantomOptions(**sizes, templates=(template_maps,), p_templates=0.0))
    np.testing.assert_array_equal(never.truth, plain.truth)


def test_a_cache_of_other_templates_is_refused(template_maps, tmp_path):
    sizes = {"count": 1, "rows": 16, "width": 48, "depths": (32,), "validation_seeds": ()}
    real = PhantomOptions(**sizes, templates=(template_maps,), p_templates=1.0)
    SpecimenCache(tmp_path, real).make(3)
    SpecimenCache(tmp_path, real).make(3)
    with pytest.raises(InputError, match=r"phantoms\.cache"):
        SpecimenCache(tmp_path, PhantomOptions(**sizes)).make(3)
    with (template_maps / "ball.mrc").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(InputError, match=r"phantoms\.cache"):
        SpecimenCache(tmp_path, real).make(3)


def test_contrast_transfer_leaves_a_little_of_the_mean_and_turns_what_it_reverses():
    image = np.random.default_rng(1).standard_normal((2, 64, 96)).astype(np.float32)
    tilts = np.array([0.0, 30.0])
    flat = Optics(3.0, phase_flip=False).image(np.ones_like(image), tilts, 8.0)
    np.testing.assert_allclose(flat, 0.07, atol=1e-4)  # the amplitude contrast is all that is left of it
    plain, turned = (Optics(3.0, phase_flip=flip).image(image, tilts, 8.0) for flip in (False, True))
    np.testing.assert_allclose(np.square(plain).mean(), np.square(turned).mean(), rtol=0.05)
    assert (image * turned).mean() > 1.2 * abs((image * plain).mean())


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_orthogonal_steps_move_every_direction_alike(rows, columns, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    found = orthogonal(matrix)
    _, values, _ = torch.linalg.svd(matrix)
    strong = int((values > 0.02 * matrix.norm()).sum())
    turned = torch.linalg.svdvals(found)[:strong]
    assert found.shape == matrix.shape and float(turned.min()) > 0.5 and float(turned.max()) < 1.3
    assert float((found * matrix).sum()) > 0


def test_muon_turns_kernels_and_leaves_the_rest_to_adamw():
    context = {"widths": [4, 6], "down": [1, 1], "up": [1]}
    network = {"patch_size": 3, "set_input": 4, "set_hidden": [4], "set_output": 4}
    given = {"network": network, "context": context, "sampling": {"crop_zyx": [16, 16, 16], "margin": 2}}
    moved = {}
    for kind in ("adamw", "muon"):
        trainee = make_trainee(options(**given), torch.float32, torch.device("cpu"))
        before = {name: weight.detach().clone() for name, weight in trainee.named_parameters()}
        optimiser = make_optimiser(OptimiserOptions(kind=kind), trainee)
        optimiser.param_groups[0]["lr"] = 1e-2
        generator = torch.Generator().manual_seed(5)
        for weight in trainee.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimiser.step()
        moved[kind] = {name: weight.detach() - before[name] for name, weight in trainee.named_parameters()}
    kernels = {n for n in moved["muon"] if ".context." in n and ".last." not in n}
    assert len(kernels) == 5
    for name, step in moved["muon"].items():
        if name in kernels:
            sizes = torch.linalg.svdvals(step.flatten(1)) / (1e-2 * 0.2 * max(step.flatten(1).shape) ** 0.5)
            assert 0.5 < float(sizes.min()) <= float(sizes.max()) < 1.3
        else:
            torch.testing.assert_close(step, moved["adamw"][name], rtol=0, atol=0)
