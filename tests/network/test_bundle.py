"""Our model files: what is saved is what is loaded, and a fingerprint says what a model computes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from network_support import GOLDEN
from safetensors import safe_open
from safetensors.torch import save_file

from cryolithe_stream.errors import ModelError, OutputError
from cryolithe_stream.network import (
    CosineRamp,
    Model,
    ProjectionFilter,
    SliceSet,
    SliceSetConfig,
    list_models,
    load_checkpoint,
    load_model,
    save_model,
)
from cryolithe_stream.network import bundle as bundle_module


def compact(**changes: Any) -> Model:
    """A small model of the compact family."""
    config = SliceSetConfig(
        patch_size=5,
        set_input=8,
        set_hidden=(8,),
        set_output=4,
        slice_hidden=None,
        slice_output=4,
        combine_hidden=(6, 6),
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = SliceSet(config)
    parts: dict[str, Any] = {
        "name": "small",
        "network": network,
        "filter": ProjectionFilter(CosineRamp()),
        "oversample": 2,
        "pixel_range_angstrom": (6.0, 16.0),
        "contrast": "dark",
        "card": {"trained": "8 minutes", "scores": {"psnr": 7.5}},
    }
    return Model(**(parts | changes))


def same(a: Model, b: Model) -> None:
    """Assert that two models are the same in every part."""
    for f in dataclasses.fields(a):
        if f.name not in ("network", "filter"):
            assert getattr(a, f.name) == getattr(b, f.name), f.name
    assert a.network.config == b.network.config
    assert a.filter.kind == b.filter.kind
    assert list(a.tensors()) == list(b.tensors())
    for name, tensor in a.tensors().items():
        torch.testing.assert_close(b.tensors()[name], tensor, rtol=0, atol=0)


def test_a_saved_model_is_loaded_as_it_was(tmp_path: Path) -> None:
    model = compact()
    path = save_model(model, tmp_path / "small.safetensors")
    loaded = load_model(path)
    same(model, loaded)
    patches, tilts = torch.randn(3, 7, 5, 5), torch.linspace(-60, 60, 7)
    torch.testing.assert_close(loaded.network(patches, tilts), model.network(patches, tilts), rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]


def test_the_file_is_plain_safetensors_with_json_in_its_header(tmp_path: Path) -> None:
    path = save_model(compact(), tmp_path / "small.safetensors")
    with safe_open(path, framework="np") as file:
        header = json.loads(file.metadata()["cryolithe_stream"])
    assert header["format_version"] == 1 and header["card"]["trained"] == "8 minutes"


def test_a_converted_checkpoint_keeps_its_fingerprint(golden_model: Path, tmp_path: Path) -> None:
    folder_model = load_checkpoint(golden_model)
    loaded = load_model(save_model(folder_model, tmp_path / "converted.safetensors"))
    same(folder_model, loaded)


def test_the_fingerprint_is_of_what_changes_voxels() -> None:
    model = compact()
    renamed = compact(name="other", card={}, contrast=None, pixel_range_angstrom=None)
    assert renamed.fingerprint == model.fingerprint
    network = SliceSet(model.network.config)
    network.load_state_dict(model.network.state_dict())
    with torch.no_grad():
        network.combination_mlp.last_layer.weight[0, 0] += 1e-6
    others = [
        compact(network=network),
        compact(patch_scale=1.5),
        compact(oversample=None),
        compact(filter=ProjectionFilter()),
        compact(network=model.network, filter=load_checkpoint(GOLDEN / "pixel-wide" / "model").filter),
    ]
    assert len({model.fingerprint, *(m.fingerprint for m in others)}) == 1 + len(others)
    assert dataclasses.replace(model, patch_scale=1.5).fingerprint == others[1].fingerprint


def test_a_model_keeps_its_own_copy_of_the_network() -> None:
    source = compact()
    network = SliceSet(source.network.config).train()
    model = compact(network=network)
    before = model.network.combination_mlp.last_layer.weight.clone()
    with torch.no_grad():
        network.combination_mlp.last_layer.weight.zero_()
    assert network.training and next(network.parameters()).requires_grad
    torch.testing.assert_close(model.network.combination_mlp.last_layer.weight, before)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wavelet": "haar"}, "has 1 outputs, 1 levels of haar needs 8"),
        ({"patch_scale": 0.0}, "patch scale of small is 0.0"),
        ({"patch_scale": float("nan")}, "patch scale of small is nan"),
        ({"oversample": 0}, "oversampling of small is 0"),
        ({"pixel_range_angstrom": (10.0, 5.0)}, "range from 10.0 to 5.0"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        compact(**changes)


def edited(path: Path, edit: Any, target: Path) -> Path:
    """A copy of a model file with its header and tensors changed."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["cryolithe_stream"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    edit(header, tensors)
    save_file(tensors, target, metadata={"cryolithe_stream": json.dumps(header)})
    return target


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda h, t: h.update(format_version=2), "format version 2.*Update"),
        (lambda h, t: h.update(patch_scale=-1), "damaged header.*patch_scale"),
        (lambda h, t: h.update(surprise=1), "damaged header.*surprise"),
        (lambda h, t: h.pop("filter"), "damaged header.*filter"),
        (lambda h, t: h["filter"].update(ramp={"kind": "new", "settings": {}}), "ramp filter 'new' is not known"),
        (lambda h, t: h["filter"].update(ramp={"kind": "polynomial"}), "projection filter is incomplete"),
        (lambda h, t: h["filter"].update(ramp={"kind": "cosine", "settings": {"x": 1}}), "filter is incomplete"),
        (lambda h, t: h["network"].update(patch_size=7), "its configuration"),
        (lambda h, t: h["network"].pop("patch_size"), "configuration is incomplete"),
        (lambda h, t: h.update(patch_scale=2.0), "another fingerprint"),
        (lambda h, t: t["network.combination_mlp.last_layer.weight"].add_(1), "another fingerprint"),
        (lambda h, t: t["network.combination_mlp.last_layer.weight"].fill_(float("inf")), "not finite"),
        (lambda h, t: t.pop("network.combination_mlp.last_layer.weight"), "lacks weights"),
    ],
)
def test_edited_files_are_refused(tmp_path: Path, edit: Any, message: str) -> None:
    path = save_model(compact(), tmp_path / "small.safetensors")
    with pytest.raises(ModelError, match=message):
        load_model(edited(path, edit, tmp_path / "edited.safetensors"))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    (text := tmp_path / "a.safetensors").write_text("hello")
    with pytest.raises(ModelError, match="not a model file, or damaged"):
        load_model(text)
    save_file({"x": torch.zeros(1)}, foreign := tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="no cryolithe-stream model"):
        load_model(foreign)
    with pytest.raises(ModelError, match="Name the folder"):
        load_model(GOLDEN / "pixel-wide" / "model" / "checkpoint.pth")
    with pytest.raises(ModelError, match="there is no model 'nothing-like-it'"):
        load_model("nothing-like-it")
    whole = save_model(compact(), tmp_path / "small.safetensors").read_bytes()
    (cut := tmp_path / "cut.safetensors").write_bytes(whole[:-10])
    with pytest.raises(ModelError, match="damaged"):
        load_model(cut)


def test_saving_never_replaces_a_file_unasked(tmp_path: Path) -> None:
    (path := tmp_path / "a.safetensors").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        save_model(compact(), path)
    assert path.read_text() == "mine"
    same(load_model(save_model(compact(), path, overwrite=True)), compact())
    with pytest.raises(OutputError, match=r"ends in \.safetensors"):
        save_model(compact(), tmp_path / "a.pth")
    with pytest.raises(OutputError, match="cannot be written"):
        save_model(compact(), tmp_path / "nowhere" / "a.safetensors")


def test_shipped_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "_weights", lambda: tmp_path / "weights")
    assert list_models() == []
    with pytest.raises(ModelError, match="the package is incomplete"):
        load_model()
    (tmp_path / "weights").mkdir()
    save_model(compact(), tmp_path / "weights" / "default.safetensors")
    save_model(compact(patch_scale=2.0), tmp_path / "weights" / "coarse.safetensors")
    assert list_models() == ["coarse", "default"]
    same(load_model(), compact())
    assert load_model("coarse").patch_scale == 2.0


def test_number_of_parameters() -> None:
    assert compact().n_parameters == sum(np.prod(t.shape) for t in compact().network.state_dict().values())


def test_a_saved_model_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    assert save_model(compact(), tmp_path / "m.safetensors").stat().st_mode == plain.stat().st_mode
