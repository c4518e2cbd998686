"""Projection filters as JSON and tensors, for model files and fingerprints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from cryolithe_stream.errors import ModelError
from cryolithe_stream.network.filters import CosineRamp, FrameFilter, ProjectionFilter, Ramp
from cryolithe_stream.network.public_filters import ConvFilter, PolynomialRamp, RealTaps, StoredResponse

Settings = Mapping[str, Any]
Tensors = Mapping[str, Tensor]


class PartRecord(BaseModel):
    """One filter: its name and its settings; its tensors stand beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: str
    settings: dict[str, Any] = {}


class FilterRecord(BaseModel):
    """A projection filter without its tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    ramp: PartRecord | None = None
    frame: PartRecord | None = None


def filter_record(projection_filter: ProjectionFilter) -> FilterRecord:
    """What a filter is, without its tensors."""
    return FilterRecord(ramp=_part(projection_filter.ramp), frame=_part(projection_filter.frame))


def filter_tensors(projection_filter: ProjectionFilter) -> dict[str, Tensor]:
    """A filter's tensors, named `ramp.…` and `frame.…`."""
    parts = {"ramp": projection_filter.ramp, "frame": projection_filter.frame}
    return {f"{p}.{name}": t for p, part in parts.items() if part is not None for name, t in part.tensors().items()}


def filter_from_record(record: FilterRecord, tensors: Tensors) -> ProjectionFilter:
    """The filter that `filter_record` and `filter_tensors` describe; ModelError when they describe none."""
    try:
        ramp = _ramp(record.ramp, _under("ramp.", tensors)) if record.ramp else None
        frame = _frame(record.frame, _under("frame.", tensors)) if record.frame else None
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"the model's projection filter is incomplete ({error})") from error
    return ProjectionFilter(ramp, frame)


def _part(part: Ramp | FrameFilter | None) -> PartRecord | None:
    return None if part is None else PartRecord(kind=part.kind, settings=dict(part.settings()))


def _under(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _ramp(part: PartRecord, tensors: Tensors) -> Ramp:
    match part.kind:
        case "cosine":
            return CosineRamp(**part.settings)
        case "VectorModel_real":
            return RealTaps(taps=tensors["taps"], **part.settings)
        case "vector" | "vector_symmetric":
            return StoredResponse(part.kind, values=tensors["values"], **part.settings)
        case "polynomial":
            return PolynomialRamp(tensors["coefficients"], **part.settings)
    raise ModelError(f"the model's ramp filter {part.kind!r} is not known", fix="Update cryolithe-stream")


def _frame(part: PartRecord, tensors: Tensors) -> FrameFilter:
    if part.kind != "CNN":
        raise ModelError(f"the model's 2-D filter {part.kind!r} is not known", fix="Update cryolithe-stream")
    return ConvFilter(weights=tensors, **part.settings)
