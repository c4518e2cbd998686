"""Rebuilds the filters that a public checkpoint holds as objects, from their plain attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from cryolithe_stream.errors import ModelError, UnsupportedError
from cryolithe_stream.network.filters import FrameFilter, Ramp
from cryolithe_stream.network.pickled import StoredObject
from cryolithe_stream.network.public_filters import (
    PADDING_MODES,
    ConvFilter,
    PaddingMode,
    PolynomialRamp,
    RealTaps,
    StoredResponse,
)
from cryolithe_stream.network.torch_archive import TorchArchive


def ramp_from(archive: TorchArchive, stored: object) -> Ramp:
    """The ramp that a checkpoint stores under `ramp`.

    Raises UnsupportedError for FIRModel, which the public program itself cannot run, ModelError for anything else.
    """
    kind = _class_of(archive, stored, "ramp")
    state = cast("StoredObject", stored).state
    match kind:
        case "VectorModel_real":
            return RealTaps(_size(archive, state), _parameter(archive, state, "ramp", "vector"))
        case "VectorModel_symmetric":
            values = _parameter(archive, state, "ramp", "vector")
            linear = bool(state.get("linear_filter", False))
            return StoredResponse("vector_symmetric", _size(archive, state), values, linear=linear)
        case "VectorModel":
            values = _parameter(archive, state, "ramp", "vector")
            mirrored = bool(state.get("symmetric", True))
            return StoredResponse("vector", _size(archive, state), values, mirrored=mirrored)
        case "PolynomialModel":
            return PolynomialRamp(_parameter(archive, state, "ramp", "poly_parameters"))
    raise UnsupportedError(
        f"{archive.path}: a ramp filter of type {kind} cannot be run, the public program fails on it"
    )


def frame_filter_from(archive: TorchArchive, stored: object) -> FrameFilter:
    """The two-dimensional filter that a checkpoint stores under `filter_2D`.

    Raises UnsupportedError for types other than CNN (the public program fails on FIRModel), ModelError for damage.
    """
    kind = _class_of(archive, stored, "filter_2D")
    if kind != "CNN":
        raise UnsupportedError(
            f"{archive.path}: a 2-D filter of type {kind} cannot be run, the public program fails on it"
        )
    modules = _modules(archive, cast("StoredObject", stored), "filter_2D")
    first, last = modules.get("convInput"), modules.get("convOutput")
    hidden = _modules(archive, modules.get("convHidden"), "filter_2D.convHidden")
    convs = [_conv(archive, conv, i) for i, conv in enumerate([first, *hidden.values(), last])]
    modes = {mode for mode, _, _ in convs}
    if len(modes) != 1:
        raise ModelError(f"{archive.path}: the layers of filter_2D pad in different ways: {sorted(modes)}")
    weights = {f"{i}.{name}": t for i, (_, w, b) in enumerate(convs) for name, t in (("weight", w), ("bias", b))}
    return ConvFilter(modes.pop(), _slope(archive, modules.get("non_linearity")), weights)


def real_weights(tensor: Tensor, name: str) -> Tensor:
    """A tensor of weights as float32, whole-number counters as they are; ModelError when a value is not finite."""
    if not tensor.is_floating_point():
        return tensor
    if not bool(torch.isfinite(tensor).all()):
        raise ModelError(f"the model's {name} holds values that are not finite")
    return tensor.to(torch.float32)


def _class_of(archive: TorchArchive, stored: object, key: str) -> str:
    if not isinstance(stored, StoredObject):
        raise ModelError(f"{archive.path} holds no filter under {key!r}, which its config.json asks for")
    return stored.path.rsplit(".", 1)[-1]


def _size(archive: TorchArchive, state: Mapping[str, object]) -> int:
    size = state.get("size")
    if type(size) is not int or size < 1:
        raise ModelError(f"{archive.path}: the ramp filter's size is {size!r}, expected a whole number above 0")
    return size


def _parameter(archive: TorchArchive, state: Mapping[str, object], owner: str, name: str) -> Tensor:
    parameters = state.get("_parameters")
    stored = parameters.get(name) if isinstance(parameters, dict) else None
    return real_weights(archive.tensor(stored, f"{owner}.{name}"), f"{owner}.{name}")


def _modules(archive: TorchArchive, stored: object, owner: str) -> dict[str, object]:
    modules = stored.state.get("_modules") if isinstance(stored, StoredObject) else None
    if not isinstance(modules, dict):
        raise ModelError(f"{archive.path}: {owner} has no layers")
    return modules


def _conv(archive: TorchArchive, stored: object, i: int) -> tuple[PaddingMode, Tensor, Tensor]:
    """Padding mode, weight and bias of one layer."""
    state = stored.state if isinstance(stored, StoredObject) else {}
    plain = {"padding": "same", "stride": (1, 1), "dilation": (1, 1), "groups": 1}
    if got := {key: state.get(key) for key, value in plain.items() if state.get(key) != value}:
        raise ModelError(f"{archive.path}: layer {i} of filter_2D is not a plain convolution, it has {got}")
    mode = state.get("padding_mode")
    if mode not in PADDING_MODES:
        raise ModelError(f"{archive.path}: layer {i} of filter_2D pads with {mode!r}")
    owner = f"filter_2D layer {i}"
    return mode, _parameter(archive, state, owner, "weight"), _parameter(archive, state, owner, "bias")


def _slope(archive: TorchArchive, stored: object) -> float:
    kind = _class_of(archive, stored, "filter_2D.non_linearity")
    slope = cast("StoredObject", stored).state.get("negative_slope") if kind == "LeakyReLU" else 0.0
    if not isinstance(slope, float) or (kind not in ("LeakyReLU", "ReLU")):
        raise ModelError(f"{archive.path}: filter_2D's nonlinearity is {kind}, expected LeakyReLU or ReLU")
    return slope
