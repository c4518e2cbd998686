"""Which device computes, and in which number format."""

from __future__ import annotations

from typing import Literal

import torch

from cryolithe_stream.errors import InputError

KERNEL_BYTES = 12 << 20
"""Scratch space that kernels keep for a block's shapes (matrices: up to 7 MiB were measured, most in bfloat16)."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda` or `cuda:N` names; InputError when this machine has no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not auto, cpu, cuda or cuda:N") from error
    count = torch.cuda.device_count()
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(
            f"device {name!r} is asked for, this machine has {count} CUDA devices", fix="Use --device auto"
        )
    return device


def resolve_precision(name: Precision, device: torch.device) -> str:
    """The number format behind `auto`: bfloat16 where the device multiplies it natively, else float32."""
    if name != "auto":
        return name
    if device.type == "cuda" and not torch.cuda.is_available():
        return "bfloat16"  # a worker's GPU, which this machine has not
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


def dtype_of(precision: str) -> torch.dtype:
    """The torch type of a resolved precision."""
    return _DTYPES[precision]
