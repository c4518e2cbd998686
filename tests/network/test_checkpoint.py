"""Public checkpoint folders: the golden ones load as torch loads them, damaged and hostile ones are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from network_support import GOLDEN, CheckpointFolder, filter_module
from torch import nn

from cryolithe_stream.errors import ModelError, UnsupportedError
from cryolithe_stream.network import (
    ConvFilter,
    PolynomialRamp,
    RealTaps,
    StoredResponse,
    load_checkpoint,
)

Classes = dict[str, type[nn.Module]]


def test_golden_models_hold_what_torch_loads(golden_model: Path, public_classes: Classes) -> None:
    """The files are ours, so torch may unpickle them here; the classes are stand-ins without code."""
    expected = torch.load(golden_model / "checkpoint.pth", weights_only=False)
    model = load_checkpoint(golden_model)
    weights = model.network.state_dict()
    assert list(weights) == list(expected["model_state_dict"])
    for name, tensor in expected["model_state_dict"].items():
        torch.testing.assert_close(weights[name], tensor, rtol=0, atol=0)
    assert isinstance(model.filter.ramp, RealTaps) and model.filter.ramp.size == 600
    torch.testing.assert_close(model.filter.ramp.taps, expected["ramp"].vector.detach(), rtol=0, atol=0)
    config = json.loads((golden_model / "config.json").read_text())
    assert model.wavelet == ("bior3.1" if config["training"]["use_wavelet_trainer"] else None)
    assert (model.patch_scale, model.oversample, model.name) == (1.0, None, "model")
    assert not any(p.requires_grad for p in model.network.parameters()) and not model.network.training


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_other_pickle_protocols(checkpoint: CheckpointFolder, protocol: int) -> None:
    expected = load_checkpoint(GOLDEN / "pixel-wide" / "model").fingerprint
    assert load_checkpoint(checkpoint.write(pickle_protocol=protocol)).fingerprint == expected


def test_learnt_patch_scale_and_training_state(checkpoint: CheckpointFolder) -> None:
    checkpoint.config["training"] |= {"learn_patch_scale": True, "patch_scale_init": 3.0}
    checkpoint.content["patch_scale"] = torch.tensor([1.25], requires_grad=True)
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [10, 20])
    checkpoint.content |= {
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "train_loss": [np.float64(0.5), np.float32(0.25)],
        "curve": np.arange(4.0),
    }
    assert load_checkpoint(checkpoint.write()).patch_scale == 1.25


def test_patch_scale_of_the_configuration(checkpoint: CheckpointFolder) -> None:
    checkpoint.config["training"]["patch_scale_init"] = 2
    checkpoint.content["patch_scale"] = torch.tensor([1.25])
    assert load_checkpoint(checkpoint.write()).patch_scale == 2.0


def test_no_filter(checkpoint: CheckpointFolder) -> None:
    checkpoint.config["filter_projections"] = False
    checkpoint.content["ramp"] = None
    assert load_checkpoint(checkpoint.write()).filter.kind == "none"


@pytest.mark.parametrize("root", ["CryoLithe.filter_models", "filter_models"])
def test_every_filter_of_the_public_code(checkpoint: CheckpointFolder, public_classes: Classes, root: str) -> None:
    noise = torch.randn(41, generator=torch.Generator().manual_seed(0))
    vector, symmetric = (
        public_classes[f"{root}.vector.VectorModel"],
        public_classes[f"{root}.vector.VectorModel_symmetric"],
    )
    polynomial = public_classes[f"{root}.polynomial.PolynomialModel"]
    cases: list[tuple[nn.Module, type, dict[str, object]]] = [
        (filter_module(vector, {"vector": noise[:40]}, size=40, init="ones", symmetric=False), StoredResponse,
         {"kind": "vector", "size": 40, "mirrored": False}),
        (filter_module(symmetric, {"vector": noise}, size=40, init="ones", linear_filter=True), StoredResponse,
         {"kind": "vector_symmetric", "size": 40, "linear": True}),
        (filter_module(symmetric, {"vector": noise}, size=40, init="ones"), StoredResponse, {"linear": False}),
        (filter_module(polynomial, {"poly_parameters": noise[:4]}, degree=3), PolynomialRamp, {"kind": "polynomial"}),
    ]  # fmt: skip
    for module, cls, attributes in cases:
        checkpoint.content["ramp"] = module
        ramp = load_checkpoint(checkpoint.write()).filter.ramp
        assert isinstance(ramp, cls)
        assert {name: getattr(ramp, name) for name in attributes} == attributes
        stored = next(iter(module.parameters())).detach()
        torch.testing.assert_close(next(iter(ramp.tensors().values())), stored, rtol=0, atol=0)


def public_cnn(classes: Classes, **conv: object) -> nn.Module:
    """A 2-D filter as the public class lays it out."""
    module = filter_module(classes["CryoLithe.filter_models.cnn.CNN"], {}, fitler_size=3, padding_mode="reflect")
    options = {"padding": "same", "padding_mode": "reflect"} | conv
    module.non_linearity = nn.LeakyReLU()
    module.convInput = nn.Conv2d(1, 3, 3, **options)
    module.convHidden = nn.ModuleList(nn.Conv2d(3, 3, 3, **options) for _ in range(2))
    module.convOutput = nn.Conv2d(3, 1, 3, **options)
    return module


@pytest.mark.parametrize("key", ["use_2D_filters", "use_2D_fitlers"])
def test_convolution_filter(checkpoint: CheckpointFolder, public_classes: Classes, key: str) -> None:
    checkpoint.config.pop("use_2D_filters", None)
    checkpoint.config[key] = True
    module = checkpoint.content["filter_2D"] = public_cnn(public_classes)
    frame = torch.randn(1, 12, 15, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = module.convInput(frame[None])
        for layer in module.convHidden:
            expected = module.non_linearity(layer(expected))
        expected = module.convOutput(expected)[0]
    stored = load_checkpoint(checkpoint.write()).filter
    assert isinstance(stored.frame, ConvFilter) and stored.kind == "CNN + VectorModel_real"
    torch.testing.assert_close(stored.frame.apply(frame[0])[None], expected)
    checkpoint.content["filter_2D"] = public_cnn(public_classes, padding=1)
    with pytest.raises(ModelError, match="not a plain convolution"):
        load_checkpoint(checkpoint.write())


@pytest.mark.parametrize(
    ("spelt", "misspelt", "applied"), [(False, True, False), (True, False, True), (None, True, True)]
)
def test_the_right_spelling_decides_where_both_are_there(
    checkpoint: CheckpointFolder, public_classes: Classes, spelt: bool | None, misspelt: bool, applied: bool
) -> None:
    checkpoint.config |= {"use_2D_filters": spelt, "use_2D_fitlers": misspelt}
    if spelt is None:
        del checkpoint.config["use_2D_filters"]
    checkpoint.content["filter_2D"] = public_cnn(public_classes)
    assert (load_checkpoint(checkpoint.write()).filter.frame is not None) == applied


def test_null_options_are_unset(checkpoint: CheckpointFolder) -> None:
    expected = load_checkpoint(checkpoint.write()).fingerprint
    checkpoint.config["training"] |= {"use_wavelet_trainer": None, "wavelet": None, "wavelet_levels": None}
    checkpoint.config |= {"use_2D_filters": None, "use_2D_fitlers": None}
    assert load_checkpoint(checkpoint.write()).fingerprint == expected


def test_axes_may_be_counted_from_the_back(checkpoint: CheckpointFolder) -> None:
    model = checkpoint.config["model"]
    for slice_index, compare_index, axis in ((-2, -1, "row"), (-1, -2, "column"), (3, 2, "column")):
        model |= {"slice_index": slice_index, "compare_index": compare_index}
        assert load_checkpoint(checkpoint.write()).network.config.slice_axis == axis
    for indices in ((2, 2), (1, 3), (-2, 2), (None, 3)):
        model |= dict(zip(("slice_index", "compare_index"), indices, strict=True))
        with pytest.raises(UnsupportedError, match="are not 2 and 3"):
            load_checkpoint(checkpoint.write())


def test_a_voxel_model_of_several_outputs_gives_its_first(checkpoint: CheckpointFolder) -> None:
    checkpoint.config["model"]["output_size"] = 8
    weights, name = checkpoint.content["model_state_dict"], "combination_mlp.last_layer.weight"
    first = weights[name].clone()
    weights[name] = torch.cat([first, torch.ones(7, first.shape[1])])
    model = load_checkpoint(checkpoint.write())
    assert model.network.config.output_size == 1 and model.card["outputs"] == "first of 8"
    torch.testing.assert_close(model.network.state_dict()[name], first, rtol=0, atol=0)


def test_fir_filters_are_refused_by_name(checkpoint: CheckpointFolder, public_classes: Classes) -> None:
    fir = filter_module(public_classes["CryoLithe.filter_models.fir.FIRModel"], {"fir": torch.eye(5)}, size=5)
    ramp, checkpoint.content["ramp"] = checkpoint.content["ramp"], fir
    with pytest.raises(UnsupportedError, match="ramp filter of type FIRModel"):
        load_checkpoint(checkpoint.write())
    checkpoint.content |= {"ramp": ramp, "filter_2D": fir}
    checkpoint.config["use_2D_filters"] = True
    with pytest.raises(UnsupportedError, match="2-D filter of type FIRModel"):
        load_checkpoint(checkpoint.write())


def test_missing_parts_are_named(checkpoint: CheckpointFolder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json cannot be read.*model folder holds"):
        load_checkpoint(tmp_path / "nowhere")
    folder = checkpoint.write()
    (folder / "checkpoint.pth").unlink()
    with pytest.raises(ModelError, match=r"checkpoint\.pth cannot be read \(No such file"):
        load_checkpoint(folder)
    for key, message in (("ramp", "no filter under 'ramp'"), ("model_state_dict", "no model_state_dict")):
        kept = checkpoint.content.pop(key)
        with pytest.raises(ModelError, match=message):
            load_checkpoint(checkpoint.write())
        checkpoint.content[key] = kept
    checkpoint.content["ramp"] = None
    with pytest.raises(ModelError, match="no filter under 'ramp'"):
        load_checkpoint(checkpoint.write())


def test_weights_that_do_not_fit_are_named(checkpoint: CheckpointFolder) -> None:
    weights, name = checkpoint.content["model_state_dict"], "combination_mlp.layers.0.weight"
    kept = weights.pop(name)
    with pytest.raises(ModelError, match=f"lacks weights {name}"):
        load_checkpoint(checkpoint.write())
    weights[name] = kept[:, 1:]
    with pytest.raises(ModelError, match=rf"{name} of shape \(64, 143\), its configuration asks for \(64, 144\)"):
        load_checkpoint(checkpoint.write())
    weights[name] = kept.clone()
    weights["extra"] = torch.zeros(1)
    with pytest.raises(ModelError, match="has unknown weights extra"):
        load_checkpoint(checkpoint.write())
    del weights["extra"]
    weights[name][0, 0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        load_checkpoint(checkpoint.write())
    weights[name] = "text"
    with pytest.raises(ModelError, match=f"{name} of shape None"):
        load_checkpoint(checkpoint.write())


def test_configurations_that_cannot_be_run(checkpoint: CheckpointFolder) -> None:
    training = checkpoint.config["training"]
    for change, message in (
        ({"use_angle": False}, "use_angle false"),
        ({"use_wavelet_trainer": True}, "has 1 outputs, 1 levels of bior3.1 needs 8"),
        ({"use_wavelet_trainer": True, "wavelet": "bior99"}, "'bior99' is not a discrete wavelet"),
        ({"use_wavelet_trainer": True, "wavelet": None}, r"no training\.wavelet"),
        ({"patch_scale_init": -1}, r"training\.patch_scale_init"),
        ({"wavelet_levels": "many"}, r"training\.wavelet_levels"),
    ):
        checkpoint.config["training"] = training | change
        with pytest.raises(ModelError if change != {"use_angle": False} else UnsupportedError, match=message):
            load_checkpoint(checkpoint.write())
    checkpoint.config["training"] = training
    checkpoint.config["model"]["type"] = "slicemlp"
    with pytest.raises(UnsupportedError, match="slicemlp"):
        load_checkpoint(checkpoint.write())
    (checkpoint.path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not JSON"):
        load_checkpoint(checkpoint.path)
    (checkpoint.path / "config.json").write_text("[1]")
    with pytest.raises(ModelError, match="is not a CryoLithe configuration"):
        load_checkpoint(checkpoint.path)
