"""The context network: what it reads, its sizes, and its files."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import ModelError
from cryolithe_stream.geometry import Box
from cryolithe_stream.network import (
    Context,
    ContextConfig,
    CosineRamp,
    Model,
    ProjectionFilter,
    SliceSet,
    SliceSetConfig,
    load_model,
    save_model,
)

CONFIGS = {
    "one-scale": ContextConfig(widths=(2,), down=(3,), up=()),
    "two-scales": ContextConfig(widths=(2, 3), down=(1, 2), up=(1,)),
    "three-scales": ContextConfig(widths=(2, 3, 2), down=(1, 1, 1), up=(1, 0)),
    "uneven": ContextConfig(widths=(2, 2, 2), down=(0, 2, 1), up=(2, 1), outputs=8),
}
SLICES = SliceSetConfig(
    patch_size=3, set_input=4, set_hidden=(4,), set_output=4, slice_output=4, slice_hidden=None, combine_hidden=(),
    output_size=2,
)  # fmt: skip


def context(name: str, *, positive: bool = False) -> Context:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = Context(CONFIGS[name])
    if positive:
        with torch.no_grad():
            for weight in made.parameters():
                weight.abs_()
    return made


corners = st.tuples(*[st.integers(24, 31)] * 3)
sizes = st.tuples(*[st.integers(1, 5)] * 3)


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(list(CONFIGS)), corner=corners, size=sizes)
def test_the_input_box_holds_all_that_a_box_depends_on_and_no_stride_more(name, corner, size):
    network = context(name, positive=True)
    box = Box(corner, tuple(a + n for a, n in zip(corner, size, strict=True)))
    features = torch.ones(1, 2, 64, 64, 64, requires_grad=True)
    network(features)[0][(slice(None), *box.slices)].sum().backward()
    seen = features.grad[0].sum(dim=0) > 0
    found = network.input_box(box)
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        (reached,) = torch.nonzero(seen.amax(dim=others), as_tuple=True)
        first, last = int(reached[0]), int(reached[-1]) + 1
        stride = network.stride
        assert found.start[axis] == first // stride * stride
        assert found.stop[axis] == -(-last // stride) * stride
    assert all(a <= b for a, b in zip(found.shape, network.input_shape(box.shape), strict=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_1_homogeneous_and_empty_where_all_is_empty(name):
    network, features = context(name), torch.randn(1, 2, 8, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(network(3.5 * features), 3.5 * network(features), rtol=1e-4, atol=1e-5)
        assert not network(0 * features).any()


inner = st.tuples(*[st.tuples(st.integers(0, 15), st.integers(1, 16)) for _ in range(3)])


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(list(CONFIGS)), sides=inner)
def test_a_part_of_the_values_is_that_part_of_all_values(name, sides):
    box = Box(tuple(a for a, _ in sides), tuple(min(a + n, 16) for a, n in sides))
    network, features = context(name), torch.randn(1, 2, 16, 16, 16)
    with torch.no_grad():
        whole = network(features)
        part = network(features, inside=box)
        torch.testing.assert_close(part, whole[:, :, *box.slices], rtol=1e-5, atol=1e-6)
        given = features.clone()
        assert torch.equal(network(given, inside=box, overwrite=True), part)


@settings(max_examples=20, deadline=None)
@given(name=st.sampled_from(list(CONFIGS)), shape=st.tuples(*[st.integers(1, 12)] * 3))
def test_multiply_adds_are_those_of_its_convolutions(name, shape):
    network, counted, box = context(name), 0, Box.whole(shape)

    def count(module, inputs, output):
        nonlocal counted
        counted += module.weight.numel() * output[0, 0].numel()

    for module in network.modules():
        if isinstance(module, torch.nn.Conv3d):
            module.register_forward_hook(count)
    around = network.input_box(box)
    network(torch.ones(1, 2, *around.shape), inside=box.shifted(tuple(-a for a in around.start)))
    assert counted == network.multiply_adds(shape)


@pytest.mark.parametrize(
    "sizes",
    [
        {"widths": ()},
        {"widths": (4, 4), "down": (1,), "up": (1,)},
        {"widths": (4, 4), "down": (1, 1), "up": (1, 1)},
        {"widths": (4, 0), "down": (1, 1), "up": (1,)},
        {"widths": (4,) * 7, "down": (1,) * 7, "up": (1,) * 6},
        {"widths": (4, 1.5), "down": (1, 1), "up": (1,)},
        {"widths": (4,), "down": (-1,), "up": ()},
        {"widths": (10**9,), "down": (1,), "up": ()},
        {"widths": ("4",), "down": (1,), "up": ()},
        {"deep": 3},
        {"widths": 4},
    ],
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ModelError):
        ContextConfig.from_json(sizes)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_comes_back_from_json(name):
    config = CONFIGS[name]
    assert ContextConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def model(name: str, **changes) -> Model:
    return Model(
        name="small", network=SliceSet(SLICES), context=context(name), filter=ProjectionFilter(ramp=CosineRamp()),
        **changes,
    )  # fmt: skip


def test_a_model_file_keeps_the_context_network(tmp_path):
    made = model("uneven", wavelet="bior3.1")
    back = load_model(save_model(made, tmp_path / "small.safetensors"))
    assert back.fingerprint == made.fingerprint
    assert back.context is not None and back.context.config == CONFIGS["uneven"]
    features = torch.randn(1, 2, 8, 8, 8)
    assert torch.equal(back.context(features), made.context(features))
    assert made.n_parameters == sum(p.numel() for part in (made.network, made.context) for p in part.parameters())


def test_the_context_network_counts_in_the_fingerprint():
    network = SliceSet(SLICES)
    ramp = ProjectionFilter(ramp=CosineRamp())
    one, other = context("two-scales"), context("two-scales")
    with torch.no_grad():
        other.last.weight[0, 0] += 1e-3
    prints = {Model(name="m", network=network, context=c, filter=ramp).fingerprint for c in (one, other)}
    assert len(prints) == 2


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ModelError, match="8 outputs"):
        model("uneven")
    narrow = Context(ContextConfig(widths=(3,), down=(1,), up=()))
    with pytest.raises(ModelError, match="gives 2 features"):
        Model(name="m", network=SliceSet(SLICES), context=narrow, filter=ProjectionFilter(ramp=CosineRamp()))
