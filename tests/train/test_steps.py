"""What each step is a function of: its number, the seed, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_support import options

from cryolithe_stream.network import CosineRamp, ProjectionFilter
from cryolithe_stream.train.data_options import PhantomOptions
from cryolithe_stream.train.example import Sampler
from cryolithe_stream.train.phantoms import Recorder, SpecimenCache
from cryolithe_stream.train.schedule import averaged, learning_rate, move_average
from cryolithe_stream.train.sections import SamplingOptions
from cryolithe_stream.train.stream import Examples, PhantomSource
from cryolithe_stream.train.trainee import make_trainee


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
