"""A context network slab by slab and in place, against the same network over whole arrays."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.geometry import Box
from cryolithe_stream.network import Context, ContextConfig, slabs

CONFIGS = [
    ContextConfig(widths=(2,), down=(3,), up=()),
    ContextConfig(widths=(4, 3), down=(1, 2), up=(1,)),
    ContextConfig(widths=(3, 4, 2), down=(1, 0, 2), up=(2, 1), outputs=3),
]


@settings(max_examples=40, deadline=None)
@given(
    config=st.sampled_from(CONFIGS),
    strides=st.tuples(*[st.integers(1, 5)] * 3),
    planes=st.integers(1, 9),
    batch=st.integers(1, 2),
    data=st.data(),
)
def test_in_place_by_slabs_gives_what_whole_arrays_give(config, strides, planes, batch, data):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = Context(config)
        shape = tuple(n * network.stride for n in strides)
        features = torch.randn(batch, config.widths[0], *shape)
    sides = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2).filter(lambda p: p[0] != p[1]))) for n in shape]
    inside = Box(tuple(a for a, _ in sides), tuple(b for _, b in sides))
    whole = network(features, inside=inside)
    assert whole.requires_grad
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(slabs, "_CPU_BYTES", planes * features[:, :, 0].numel() * 4)
        patch.setattr(slabs, "_ONEDNN_ROWS", 1)
        before = features.clone()
        own = features.contiguous(memory_format=torch.channels_last_3d).clone()
        torch.testing.assert_close(network(own, inside=inside), whole.detach(), rtol=1e-5, atol=1e-5)
        assert torch.equal(own, before)
        torch.testing.assert_close(network(own, inside=inside, overwrite=True), whole.detach(), rtol=1e-5, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 300), least=st.integers(1, 300))
def test_slabs_cover_all_planes_and_none_is_thin(n, least):
    parts = list(slabs._slabs(n, least))
    assert [p for part in parts for p in range(n)[part]] == list(range(n))
    assert min(len(range(n)[part]) for part in parts) >= min(n, least)
    assert max(len(range(n)[part]) for part in parts) <= max(2 * least, least + 1)
