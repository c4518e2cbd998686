"""Our own model files, NAME.safetensors: weights and filter as tensors, everything else as JSON in the header."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cryolithe_stream.errors import ModelError, OutputError
from cryolithe_stream.network.checkpoint import load_checkpoint, load_weights
from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.context import Context, ContextConfig
from cryolithe_stream.network.filter_records import FilterRecord, filter_from_record, filter_record
from cryolithe_stream.network.model import Contrast, Model

FORMAT_VERSION: Literal[1] = 1
SUFFIX = ".safetensors"
_KEY = "cryolithe_stream"


class _Header(BaseModel):
    """What stands in the header beside the tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format_version: Literal[1] = FORMAT_VERSION
    name: str
    network: dict[str, Any]
    context: dict[str, Any] | None = None
    filter: FilterRecord
    wavelet: str | None
    wavelet_levels: int
    patch_scale: float = Field(gt=0, allow_inf_nan=False)
    oversample: int | None
    pixel_range_angstrom: tuple[float, float] | None
    contrast: Contrast | None
    card: dict[str, Any]
    fingerprint: str


def load_model(spec: str | os.PathLike[str] = "default") -> Model:
    """The model that `spec` names: one that ships with the package, a public checkpoint folder, or a model file.

    Raises ModelError when there is none, or it cannot be used.
    """
    if isinstance(spec, str) and (spec == "default" or spec in list_models()):
        return _shipped(spec)
    path = Path(spec)
    if path.is_dir():
        return load_checkpoint(path)
    if path.suffix.lower() in (".pth", ".pt"):
        raise ModelError(f"{path} alone is not a model", fix="Name the folder that holds it together with config.json")
    if path.is_file():
        return read_bundle(path)
    shipped = ", ".join(list_models()) or "none"
    raise ModelError(
        f"there is no model {str(spec)!r} (shipped: {shipped})", fix="Name a shipped model, a folder or a file"
    )


def list_models() -> list[str]:
    """Names of the models that ship with the package."""
    folder = _weights()
    if not folder.is_dir():
        return []
    return sorted(f.name.removesuffix(SUFFIX) for f in folder.iterdir() if f.name.endswith(SUFFIX))


def read_bundle(path: Path) -> Model:
    """The model in one of our files; ModelError when it is none, damaged, or of a newer version."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is not a model file, or damaged ({error})") from error
    header = _parse(path, metadata)
    model = Model(
        name=header.name,
        network=load_weights(SliceSetConfig.from_json(header.network), _under("network.", tensors)),
        context=_context(header.context, _under("context.", tensors)),
        filter=filter_from_record(header.filter, _under("filter.", tensors)),
        **header.model_dump(include={"wavelet", "wavelet_levels", "patch_scale", "oversample", "card"}),
        pixel_range_angstrom=header.pixel_range_angstrom,
        contrast=header.contrast,
    )
    if model.fingerprint != header.fingerprint:
        raise ModelError(f"{path} is damaged or was edited: its content has another fingerprint than it states")
    return model


def save_model(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """The path of the file that was written, which appears whole or not at all.

    Raises OutputError when the name does not end in .safetensors, the file exists, or it cannot be written.
    """
    target = Path(path)
    if target.suffix != SUFFIX:
        raise OutputError(f"a model file ends in {SUFFIX}, got {target.name}")
    if target.exists() and not overwrite:
        raise OutputError(f"{target} exists", fix="Choose another name, or allow it to be overwritten")
    header = _Header(
        name=model.name,
        network=model.network.config.to_json(),
        context=None if model.context is None else model.context.config.to_json(),
        filter=filter_record(model.filter),
        wavelet=model.wavelet,
        wavelet_levels=model.wavelet_levels,
        patch_scale=model.patch_scale,
        oversample=model.oversample,
        pixel_range_angstrom=model.pixel_range_angstrom,
        contrast=model.contrast,
        card=dict(model.card),
        fingerprint=model.fingerprint,
    )
    tensors = {name: t.contiguous().clone() for name, t in model.tensors().items()}
    try:
        with tempfile.TemporaryDirectory(prefix=f".{target.stem}.", dir=target.parent) as folder:
            draft = Path(folder) / target.name
            draft.write_bytes(save(tensors, metadata={_KEY: header.model_dump_json()}))
            draft.replace(target)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{target} cannot be written ({error})") from error
    return target


def _shipped(name: str) -> Model:
    file = _weights() / f"{name}{SUFFIX}"
    if not file.is_file():
        raise ModelError(
            f"the package is incomplete: it lacks its model {name!r}", fix="Install cryolithe-stream again"
        )
    with resources.as_file(file) as path:
        return read_bundle(path)


def _weights() -> Traversable:
    return resources.files("cryolithe_stream.network") / "weights"


def _parse(path: Path, metadata: Mapping[str, str]) -> _Header:
    try:
        data = json.loads(metadata[_KEY])
        version = data["format_version"]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path} is no cryolithe-stream model: its header lacks {_KEY!r}") from error
    if version != FORMAT_VERSION:
        raise ModelError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}", fix="Update cryolithe-stream"
        )
    try:
        return _Header.model_validate(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ModelError(f"{path} has a damaged header ({faults})") from error


def _context(config: Mapping[str, Any] | None, tensors: Mapping[str, Tensor]) -> Context | None:
    if config is None:
        return None
    context = Context(ContextConfig.from_json(config))
    try:
        context.load_state_dict(dict(tensors))
    except RuntimeError as error:
        raise ModelError(f"the context network's weights do not fit its configuration ({error})") from error
    return context


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
