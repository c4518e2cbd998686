"""Reads checkpoint folders of the public CryoLithe program, without running what is pickled in them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from cryolithe_stream.errors import CryolitheWarning, ModelError, UnsupportedError
from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.network.model import Model
from cryolithe_stream.network.pickled import DamagedPickleError, StoredTensor
from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.network.stored_filters import frame_filter_from, ramp_from, real_weights
from cryolithe_stream.network.torch_archive import TorchArchive, UnreadableArchiveError

_Flag = Annotated[bool, BeforeValidator(lambda value: False if value is None else value)]


class _Training(BaseModel):
    """The part of `training` that changes how a checkpoint is used."""

    use_angle: _Flag = True
    learn_patch_scale: _Flag = False
    patch_scale_init: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    use_wavelet_trainer: _Flag = False
    wavelet: str | None = None
    wavelet_levels: int | None = None

    @property
    def transform(self) -> tuple[str, int] | None:
        """The wavelet and its levels; None for a model of voxels."""
        if not self.use_wavelet_trainer or self.wavelet is None:
            return None
        return self.wavelet, 1 if self.wavelet_levels is None else self.wavelet_levels


class _PublicConfig(BaseModel):
    """The keys of `config.json` that matter; the program writes many more.

    `use_2D_fitlers` is an older spelling. The program reads it to load the filter, never to apply it.
    """

    model: dict[str, Any]
    training: _Training
    filter_projections: _Flag
    use_2d_filters: _Flag | None = Field(default=None, validation_alias="use_2D_filters")
    use_2d_misspelt: _Flag = Field(default=False, validation_alias="use_2D_fitlers")


def load_checkpoint(folder: Path) -> Model:
    """The model in a folder with `config.json` and `checkpoint.pth`.

    When `checkpoint.pth` is missing or damaged, `checkpoint_BP.pth` is read in its place, with a warning; not when it
    was refused. Raises UnsafePickleError for a file that carries anything but model data, UnsupportedError for an
    option that cannot be run, ModelError for anything else.
    """
    config = _read_config(folder / "config.json")
    backup = folder / "checkpoint_BP.pth"
    try:
        return _load(folder, folder / "checkpoint.pth", config)
    except (UnreadableArchiveError, DamagedPickleError) as error:
        if not backup.is_file():
            raise
        warnings.warn(f"{error} {backup.name} is used in its place.", CryolitheWarning, stacklevel=2)
    return _load(folder, backup, config)


def load_weights(config: SliceSetConfig, weights: Mapping[str, torch.Tensor]) -> SliceSet:
    """A network with these weights, by public parameter name; ModelError when names or shapes do not fit."""
    network = _empty_network(config)
    expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    _check_shapes(expected, {name: tuple(t.shape) for name, t in weights.items()}, "the model")
    network.load_state_dict({name: real_weights(t, name) for name, t in weights.items()}, assign=True)
    return network


def _load(folder: Path, path: Path, config: _PublicConfig) -> Model:
    with TorchArchive(path) as archive:
        content = archive.root
        if not isinstance(content, dict):
            raise ModelError(f"{path} holds no training checkpoint")
        training = config.training
        network = _network(archive, content, SliceSetConfig.from_public(config.model))
        card: dict[str, Any] = {"origin": "checkpoint of the public CryoLithe program", "file": path.name}
        if training.transform is None and network.config.output_size > 1:
            card["outputs"] = f"first of {network.config.output_size}"
            network = _first_output(network)
        scale = training.patch_scale_init
        if training.learn_patch_scale:
            stored = archive.tensor(content.get("patch_scale"), "patch_scale")
            if stored.numel() != 1:
                raise ModelError(f"{path}: patch_scale has {stored.numel()} values, expected 1")
            scale = float(stored)
        wavelet, levels = training.transform or (None, 1)
        return Model(
            name=folder.resolve().name,
            network=network,
            filter=_filter(archive, content, config),
            wavelet=wavelet,
            wavelet_levels=levels,
            patch_scale=scale,
            card=card,
        )


def _network(archive: TorchArchive, content: Mapping[Any, Any], config: SliceSetConfig) -> SliceSet:
    stored = content.get("model_state_dict")
    if not isinstance(stored, dict):
        raise ModelError(f"{archive.path} holds no model_state_dict")
    expected = {name: tuple(t.shape) for name, t in _empty_network(config).state_dict().items()}
    got = {str(name): t.size if isinstance(t, StoredTensor) else None for name, t in stored.items()}
    _check_shapes(expected, got, str(archive.path))
    return load_weights(config, {name: archive.tensor(stored[name], name) for name in expected})


def _first_output(network: SliceSet) -> SliceSet:
    """The network cut to its first output, the only one that the public program writes without a wavelet."""
    last = "combination_mlp.last_layer."
    weights = {name: t[:1].clone() if name.startswith(last) else t for name, t in network.state_dict().items()}
    return load_weights(replace(network.config, output_size=1), weights)


def _filter(archive: TorchArchive, content: Mapping[Any, Any], config: _PublicConfig) -> ProjectionFilter:
    two_d = config.use_2d_misspelt if config.use_2d_filters is None else config.use_2d_filters
    return ProjectionFilter(
        ramp_from(archive, content.get("ramp")) if config.filter_projections else None,
        frame_filter_from(archive, content.get("filter_2D")) if two_d else None,
    )


def _empty_network(config: SliceSetConfig) -> SliceSet:
    """A network without memory behind its weights."""
    with torch.device("meta"):
        return SliceSet(config)


def _check_shapes(
    expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...] | None], what: str
) -> None:
    for problem, names in (("lacks", set(expected) - set(got)), ("has unknown", set(got) - set(expected))):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ModelError(
                f"{what} {problem} weights {', '.join(sorted(names)[:3])}{more}, its configuration does not fit"
            )
    for name, shape in expected.items():
        if got[name] != shape:
            raise ModelError(f"{what} has weights {name} of shape {got[name]}, its configuration asks for {shape}")


def _read_config(path: Path) -> _PublicConfig:
    try:
        config = _PublicConfig.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelError(
            f"{path} cannot be read ({error.strerror})", fix="A model folder holds config.json and checkpoint.pth"
        ) from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelError(f"{path} is not a CryoLithe configuration ({faults})") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error})") from error
    if not config.training.use_angle:
        raise UnsupportedError(f"{path} has training.use_angle false, a SliceSet cannot be run without tilt angles")
    if config.training.use_wavelet_trainer and config.training.wavelet is None:
        raise ModelError(f"{path} has training.use_wavelet_trainer true and no training.wavelet")
    return config
