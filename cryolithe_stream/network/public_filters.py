"""The filters that public checkpoints store, with the public program's semantics.

The public program transforms rows padded (or cut) to the length of the response, multiplies, transforms back and keeps
the real part of the first `width` pixels: a circular convolution with the real part of the response's transform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from cryolithe_stream.errors import ModelError
from cryolithe_stream.geometry import Floats, Shape2
from cryolithe_stream.network.filters import check_fits

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]
PADDING_MODES: tuple[PaddingMode, ...] = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True, slots=True, eq=False)
class RealTaps:
    """`VectorModel_real`: taps in real space, which fit any width.

    Of `taps` `(size or more,)` the n = min(size, width) nearest ones are kept: ⌊n/2⌋ from the front (distances 0, 1, …)
    and ⌈n/2⌉ from the back (…, −2, −1), in a buffer of 2·width.
    """

    size: int
    taps: Tensor

    def __post_init__(self) -> None:
        _check_vector("VectorModel_real", self.taps, at_least=self.size)

    @property
    def kind(self) -> str:
        """The filter's name in configurations and model files."""
        return "VectorModel_real"

    def kernel(self, width: int) -> Floats:
        """Real kernel `(2·width,)`."""
        taps = self.taps.numpy().astype(np.float64)
        n = min(self.size, width)
        front, back = n // 2, n - n // 2
        kernel = np.zeros(2 * width)
        kernel[:front] = taps[:front]
        kernel[2 * width - back :] = taps[len(taps) - back :]
        return kernel

    def settings(self) -> Mapping[str, Any]:
        """Taps that may be used."""
        return {"size": self.size}

    def tensors(self) -> Mapping[str, Tensor]:
        """The taps."""
        return {"taps": self.taps}


@dataclass(frozen=True, slots=True, eq=False)
class StoredResponse:
    """`vector` and `vector_symmetric`: a stored half spectrum, which fits one padded length.

    `vector` `(size,)` is mirrored to 2·size (v, then v backwards), or used as it is when not `mirrored`;
    `vector_symmetric` `(size + 1,)` is mirrored as a real signal's spectrum is. `linear` (the public `linear_filter`)
    keeps only the taps nearer than size/2. Rows wider than the response are refused: the public program cuts them.
    """

    kind: Literal["vector", "vector_symmetric"]
    size: int
    values: Tensor
    mirrored: bool = True
    linear: bool = False

    def __post_init__(self) -> None:
        n = self.size + (self.kind == "vector_symmetric")
        _check_vector(self.kind, self.values, at_least=n, at_most=n)

    def kernel(self, width: int) -> Floats:
        """Real kernel, as long as the response."""
        values = self.values.numpy().astype(np.float64)
        if self.kind == "vector_symmetric":
            response = np.concatenate([values, values[-2:0:-1]])
        else:
            response = np.concatenate([values, values[::-1]]) if self.mirrored else values
        check_fits(self.kind, width, len(response))
        kernel = np.asarray(np.fft.ifft(response).real)
        if self.linear:
            centred = np.fft.fftshift(kernel)
            centred[: self.size // 2] = 0
            centred[len(centred) + (-self.size // 2) :] = 0
            kernel = np.fft.ifftshift(centred)
        return kernel

    def settings(self) -> Mapping[str, Any]:
        """Size and options."""
        return {"size": self.size, "mirrored": self.mirrored, "linear": self.linear}

    def tensors(self) -> Mapping[str, Tensor]:
        """The half spectrum."""
        return {"values": self.values}


@dataclass(frozen=True, slots=True, eq=False)
class PolynomialRamp:
    """`polynomial`: Σ aᵢ·xⁱ over x from 0 to 1, then backwards, divided by its largest value; fits any width."""

    coefficients: Tensor

    def __post_init__(self) -> None:
        _check_vector(self.kind, self.coefficients, at_least=1)

    @property
    def kind(self) -> str:
        """The filter's name in configurations and model files."""
        return "polynomial"

    def kernel(self, width: int) -> Floats:
        """Real kernel `(2·width,)`; ModelError when the polynomial is zero everywhere."""
        x = np.linspace(0.0, 1.0, width)
        half = np.polynomial.polynomial.polyval(x, self.coefficients.numpy().astype(np.float64))
        if half.max() == 0:
            raise ModelError("the model's polynomial filter has no largest value to divide by")
        return np.fft.ifft(np.concatenate([half, half[::-1]]) / half.max()).real

    def settings(self) -> Mapping[str, Any]:
        """Nothing: the coefficients say all."""
        return {}

    def tensors(self) -> Mapping[str, Tensor]:
        """Coefficients, constant term first."""
        return {"coefficients": self.coefficients}


@dataclass(frozen=True, slots=True, eq=False)
class ConvFilter:
    """`CNN`: a small convolutional network over a frame; first layer linear, a nonlinearity after each hidden one.

    `weights` are the layers' tensors, `{i}.weight` `(out, in, k, k)` and `{i}.bias`, first layer to last.
    `slope` is that of the leaky ReLU on the negative side (0: a ReLU).
    """

    padding: PaddingMode
    slope: float
    weights: Mapping[str, Tensor]
    _layers: tuple[nn.Conv2d, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_layers", tuple(_conv_layers(self.weights, self.padding)))

    @property
    def kind(self) -> str:
        """The filter's name in configurations and model files."""
        return "CNN"

    @torch.no_grad()
    def apply(self, frame: Tensor) -> Tensor:
        """The filtered frame `(y, x)`; ModelError when the frame is smaller than the padding."""
        halo = max(layer.kernel_size[0] for layer in self._layers) // 2
        if min(frame.shape) <= halo:
            raise ModelError(f"the model's CNN filter needs frames larger than {halo} pixels, got {tuple(frame.shape)}")
        first, *hidden, last = (layer.to(frame.device) for layer in self._layers)
        x = first(frame[None, None])
        for layer in hidden:
            x = nn.functional.leaky_relu(layer(x), self.slope)
        return torch.as_tensor(last(x))[0, 0]

    def peak_bytes(self, frame_yx: Shape2) -> int:
        """Upper bound of the bytes that `apply` holds: five times a layer's channels, which are stored in eights."""
        widest = max(layer.out_channels for layer in self._layers)
        return 4 * frame_yx[0] * frame_yx[1] * (5 * 8 * -(-widest // 8) + 2)

    def settings(self) -> Mapping[str, Any]:
        """Padding mode and slope."""
        return {"padding": self.padding, "slope": self.slope}

    def tensors(self) -> Mapping[str, Tensor]:
        """The layers' tensors."""
        return self.weights


def _conv_layers(weights: Mapping[str, Tensor], padding: PaddingMode) -> list[nn.Conv2d]:
    """Convolutions that hold `weights`; ModelError when their shapes do not fit each other."""
    n_layers = len(weights) // 2
    if n_layers < 2 or set(weights) != {f"{i}.{part}" for i in range(n_layers) for part in ("weight", "bias")}:
        raise ModelError(f"the model's CNN filter has the tensors {sorted(weights)}, not two or more whole layers")
    channels, layers = 1, []
    for i in range(n_layers):
        weight, bias = weights[f"{i}.weight"], weights[f"{i}.bias"]
        n_out = 1 if i == n_layers - 1 else weight.shape[0]
        size = weight.shape[-1]
        if weight.shape != (n_out, channels, size, size) or bias.shape != (n_out,):
            raise ModelError(f"layer {i} of the model's CNN filter has a weight of shape {tuple(weight.shape)}")
        layer = nn.Conv2d(channels, n_out, size, padding="same", padding_mode=padding).requires_grad_(False)
        layer.weight.copy_(weight)
        torch.as_tensor(layer.bias).copy_(bias)
        layers.append(layer)
        channels = n_out
    return layers


def _check_vector(kind: str, vector: Tensor, *, at_least: int, at_most: int | None = None) -> None:
    n = vector.shape[0] if vector.ndim == 1 else -1
    if n < max(at_least, 1) or (at_most is not None and n > at_most):
        raise ModelError(
            f"the model's {kind} filter holds a tensor of shape {tuple(vector.shape)}, expected ({at_least},)"
        )
