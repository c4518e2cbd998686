"""What a pickle of model data may name, and the inert tokens that stand for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from cryolithe_stream.errors import ModelError

_FILTERS = re.compile(
    r"(CryoLithe\.)?filter_models\."
    r"(vector\.VectorModel(_symmetric|_real)?|polynomial\.PolynomialModel|fir\.FIRModel|cnn\.CNN)"
)
_OBJECTS = frozenset(
    "torch.nn.modules." + name
    for name in ("activation.LeakyReLU", "activation.ReLU", "container.ModuleList", "conv.Conv2d")
)
_STORAGES = frozenset(
    f"torch.{kind}Storage"
    for kind in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")
)
_DTYPES = ("bfloat16", "bool", "float16", "float32", "float64", "int16", "int32", "int64", "int8", "uint8")
_SCALARS = (*(name for name in _DTYPES if name not in ("bool", "bfloat16")), "bool_", "uint16", "uint32", "uint64")
_INERT = frozenset(
    [
        *("builtins." + name for name in ("bytearray", "complex", "dict", "frozenset", "list", "set", "slice")),
        *("collections." + name for name in ("Counter", "defaultdict")),
        "_codecs.encode",
        "torch.Size",
        "torch.device",
        *("torch." + name for name in _DTYPES),
        *("numpy." + name for name in ("dtype", "ndarray", *_SCALARS)),
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
        *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
    ]
)
DICT = "collections.OrderedDict"
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETER = "torch._utils._rebuild_parameter"


class UnsafePickleError(ModelError):
    """The pickle names something that is not plain model data; nothing of it was run."""


class DamagedPickleError(ModelError):
    """The pickle is damaged or truncated."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name that the pickle mentions, from the list of allowed ones."""

    path: str


@dataclass(frozen=True, slots=True)
class StoredStorage:
    """A reference to a storage record of the file: its name, element type and number of elements."""

    key: str
    kind: str
    numel: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A view of a storage record: first element, size and stride, in elements; not checked yet."""

    storage: StoredStorage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(slots=True, eq=False)
class StoredObject:
    """An object of an allowed class: the class's path and the attributes that were pickled."""

    path: str
    state: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something allowed that no model needs; its contents were dropped."""

    path: str


def is_allowed(path: str) -> bool:
    """Whether a pickle of model data may name `path`."""
    return path in _INERT or path in _STORAGES or path in (DICT, TENSOR, PARAMETER) or is_kept(path)


def is_kept(path: str) -> bool:
    """Whether objects of class `path` are kept with their attributes: filters and their layers."""
    return path in _OBJECTS or _FILTERS.fullmatch(path) is not None


def is_storage(path: str) -> bool:
    """Whether `path` is a type of tensor storage."""
    return path in _STORAGES
