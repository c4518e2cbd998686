"""A model: the network and all that it was trained with."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from cryolithe_stream.errors import ModelError
from cryolithe_stream.network.context import Context
from cryolithe_stream.network.filter_records import filter_record, filter_tensors
from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.network.wavelet import Wavelet

Contrast = Literal["dark", "bright"]
NetworkT = TypeVar("NetworkT", bound=nn.Module)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Model:
    """A network for evaluation (float32, on the CPU) with its filter, patch scale and range of use.

    The networks given are copied. `context`, where there is one, turns the features of neighbouring points, which are
    then what `network` gives, into values. `wavelet` names the transform whose coefficients the values are, None when
    they are voxels. `oversample` is the grid K that it was trained with, None for a model trained on exact samples.
    `pixel_range_angstrom` and `contrast` say which data it was trained for; `card` is for people.
    `fingerprint` (SHA-256) covers all that changes voxels, and neither name, range, contrast nor card.

    Raises ModelError when the parts do not fit each other.
    """

    name: str
    network: SliceSet
    filter: ProjectionFilter
    context: Context | None = None
    wavelet: str | None = None
    wavelet_levels: int = 1
    patch_scale: float = 1.0
    oversample: int | None = None
    pixel_range_angstrom: tuple[float, float] | None = None
    contrast: Contrast | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        channels, outputs = (self.transform.n_channels if self.transform else 1), self.network.config.output_size
        if self.context is not None:
            if self.context.config.widths[0] != outputs:
                raise ModelError(
                    f"the network of {self.name} gives {outputs} features, its context network reads "
                    f"{self.context.config.widths[0]}"
                )
            outputs = self.context.config.outputs
        if outputs != channels:
            what = f"{self.wavelet_levels} levels of {self.wavelet}" if self.wavelet else "no wavelet"
            raise ModelError(f"the network of {self.name} has {outputs} outputs, {what} needs {channels}")
        if not (math.isfinite(self.patch_scale) and self.patch_scale > 0):
            raise ModelError(f"the patch scale of {self.name} is {self.patch_scale}, it must be a number above 0")
        if self.oversample is not None and self.oversample < 1:
            raise ModelError(f"the oversampling of {self.name} is {self.oversample}, it must be 1 or more")
        lo, hi = self.pixel_range_angstrom or (1.0, 1.0)
        if not 0 < lo <= hi < math.inf:
            raise ModelError(f"the pixel sizes of {self.name} range from {lo} to {hi} Å, not from small to large")
        object.__setattr__(self, "network", _ready(self.network))
        object.__setattr__(self, "context", None if self.context is None else _ready(self.context))
        object.__setattr__(self, "fingerprint", _fingerprint(self))

    @property
    def transform(self) -> Wavelet | None:
        """The wavelet transform whose coefficients the network gives; None when it gives voxels."""
        return None if self.wavelet is None else Wavelet(self.wavelet, self.wavelet_levels)

    @property
    def n_parameters(self) -> int:
        """Weights of the networks."""
        parts = [self.network] if self.context is None else [self.network, self.context]
        return sum(p.numel() for part in parts for p in part.parameters())

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, named `network.…`, `context.…` and `filter.…`."""
        weights = {f"network.{name}": t for name, t in self.network.state_dict().items()}
        if self.context is not None:
            weights |= {f"context.{name}": t for name, t in self.context.state_dict().items()}
        return weights | {f"filter.{name}": t for name, t in filter_tensors(self.filter).items()}


def _ready(network: NetworkT) -> NetworkT:
    return copy.deepcopy(network).cpu().float().eval().requires_grad_(False)


def _fingerprint(model: Model) -> str:
    """SHA-256 over canonical JSON of what changes voxels, and over every tensor's name, type, shape and bytes."""
    what = {
        "network": model.network.config.to_json(),
        "wavelet": [model.wavelet, model.wavelet_levels] if model.wavelet else None,
        "filter": filter_record(model.filter).model_dump(),
        "patch_scale": model.patch_scale,
        "oversample": model.oversample,
    }
    if model.context is not None:
        what["context"] = model.context.config.to_json()
    digest = hashlib.sha256(json.dumps(what, sort_keys=True, separators=(",", ":")).encode())
    for name, tensor in sorted(model.tensors().items()):
        array = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
