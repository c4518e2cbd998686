"""The context network: 3-D convolutions over the features of neighbouring voxels, in place of the last MLP.

A SliceSet tells what the projections say of each voxel alone. What its neighbours say is told by a small U-Net over the
back-projected features: at each scale 3 × 3 × 3 convolutions with ReLU and skips; 2 × 2 × 2 convolutions of stride 2
lead to the next coarser scale, linear interpolation leads back, so that the coarse lattice is not imprinted on the
volume. It has no bias, so the whole stays 1-homogeneous.

A voxel depends on a bounded box of features, told exactly by `input_box`: blocks are computed with that much around
them and cut, and so do not depend on how a volume is cut. Coarser scales lie on multiples of `stride` of the volume's
own indices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cryolithe_stream.errors import ModelError
from cryolithe_stream.geometry import Box, Shape3

Widths = tuple[int, ...]
_NEWCOMER = 0.1
"""What a convolution that joins a trained network adds, over what it would add to a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextConfig:
    """Sizes of a context network, finest scale first.

    `widths` channels of each scale, of which the first is the number of features that come in; `down` convolutions of
    each scale on the way to the coarsest, which is the last; `up` those of the others on the way back; `outputs`
    values per voxel.
    """

    widths: Widths = (32, 64, 96)
    down: Widths = (1, 2, 2)
    up: Widths = (1, 1)
    outputs: int = 1

    def __post_init__(self) -> None:
        sizes = (*self.widths, *self.down, *self.up, self.outputs)
        if not all(isinstance(n, int) and 0 <= n <= 65536 for n in sizes) or min((*self.widths, self.outputs, 1)) < 1:
            raise ModelError(f"the context network's sizes {sizes} are not all whole numbers up to 65,536")
        if not 1 <= len(self.widths) <= 6 or len(self.down) != len(self.widths) or len(self.up) != len(self.widths) - 1:
            raise ModelError(
                f"a context network of {len(self.widths)} scales has as many numbers in `down` and one less in `up`, "
                f"got {self.down} and {self.up} (1 to 6 scales)"
            )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ContextConfig:
        """The configuration that `to_json` wrote; ModelError when fields are unknown or of the wrong type."""
        if unknown := sorted(set(data) - {f.name for f in fields(cls)}):
            raise ModelError(f"the context network's configuration has unknown fields {', '.join(unknown)}")
        try:
            values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
            return cls(**values)
        except TypeError as error:
            raise ModelError(f"the context network's configuration is of wrong types ({error})") from error


class Context(nn.Module):
    """Values `(batch, outputs, z, y, x)` from features `(batch, widths[0], z, y, x)`; all three sides whole strides."""

    def __init__(self, config: ContextConfig) -> None:
        """A network with small random weights; `load_state_dict` fills in those of a model."""
        super().__init__()
        c = self.config = config
        pairs = list(zip(c.widths[:-1], c.widths[1:], strict=True))
        self.down = nn.ModuleList(_convolutions(w, n) for w, n in zip(c.widths, c.down, strict=True))
        self.up = nn.ModuleList(_convolutions(w, n) for w, n in zip(c.widths[:-1], c.up, strict=True))
        self.coarser = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2, bias=False) for a, b in pairs)
        self.finer = nn.ModuleList(nn.Conv3d(b, a, 1, bias=False) for a, b in pairs)
        self.last = nn.Conv3d(c.widths[0], c.outputs, 1, bias=False)
        for name, weight in self.named_parameters():
            gain = 1.0 if name.startswith(("last", "finer")) else 2.0
            nn.init.normal_(weight, std=(gain / weight[0].numel()) ** 0.5)

    def grown(self, config: ContextConfig) -> Context:
        """A copy with more convolutions on some scales, which begin with small random weights (a tenth of new ones').

        Raises ModelError unless `config` has the same scales and outputs, and no fewer convolutions on any.
        """
        c = self.config
        counts = zip((*c.down, *c.up), (*config.down, *config.up), strict=True)
        if (c.widths, c.outputs) != (config.widths, config.outputs) or any(n > m for n, m in counts):
            raise ModelError(
                f"a context network of {c.to_json()} cannot grow into {config.to_json()}",
                fix="Keep widths and outputs, and as many convolutions or more",
            )
        larger = Context(config)
        own = self.state_dict()
        with torch.no_grad():
            for name, weight in larger.named_parameters():
                if name in own:
                    weight.copy_(own[name])
                else:
                    weight.mul_(_NEWCOMER)
        return larger

    @property
    def stride(self) -> int:
        """Voxels along each axis that the coarsest scale takes together."""
        return int(2 ** (len(self.config.widths) - 1))

    def forward(self, features: Tensor) -> Tensor:
        """The network on a box whose first voxel has indices that are multiples of `stride`."""
        h = F.relu(features)
        skips: list[Tensor] = []
        for level, convolutions in enumerate(self.down):
            h = _residual(h, convolutions)
            if level < len(self.coarser):
                skips.append(h)
                h = F.relu_(self.coarser[level](h))
        for level in reversed(range(len(self.finer))):
            fine = F.interpolate(self.finer[level](h), scale_factor=2.0, mode="trilinear", align_corners=False)
            h = F.relu_(fine.add_(skips.pop()))
            h = _residual(h, self.up[level])
        return torch.as_tensor(self.last(h))

    def input_box(self, box: Box) -> Box:
        """The features that a box of values depends on, from and to multiples of `stride`; may leave the volume."""
        spans = [self._span(a, b) for a, b in zip(box.start, box.stop, strict=True)]
        (z0, z1), (y0, y1), (x0, x1) = spans
        return Box((z0, y0, x0), (z1, y1, x1))

    def input_shape(self, shape_zyx: Shape3) -> Shape3:
        """Upper bound of the shape of `input_box` for boxes of a shape, wherever they lie."""
        spans = [[self._span(a, a + n) for a in range(self.stride)] for n in shape_zyx]
        z, y, x = (max(b - a for a, b in axis) for axis in spans)
        return (z, y, x)

    def multiply_adds(self) -> float:
        """Multiplications for each voxel that comes in."""
        total = 0.0
        for name, weight in self.named_parameters():
            part, level = name.split(".")[:2]
            scale = 0 if part == "last" else int(level) + (part in ("coarser", "finer"))
            total += weight.numel() / 8.0**scale
        return total

    def _span(self, start: int, stop: int) -> tuple[int, int]:
        """The input indices that outputs start … stop − 1 of an axis depend on, widened to whole strides."""
        c, s = self.config, self.stride
        reads: list[tuple[int, int]] = []  # of each scale, finest first, what the way up reads there
        for level in range(len(c.up)):
            start, stop = start - c.up[level], stop + c.up[level]
            reads.append((start, stop))
            start, stop = (start - 1) // 2, -(-(stop + 1) // 2)  # linear interpolation reads a quarter voxel beyond
        for level in reversed(range(len(c.down))):
            start, stop = start - c.down[level], stop + c.down[level]
            if level:
                above = reads[level - 1]
                start, stop = min(2 * start, above[0]), max(2 * stop, above[1])
        return start // s * s, -(-stop // s) * s


def _convolutions(width: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv3d(width, width, 3, padding=1, bias=False) for _ in range(count))


def _residual(h: Tensor, convolutions: nn.Module) -> Tensor:
    assert isinstance(convolutions, nn.ModuleList)
    for convolution in convolutions:
        h = h + F.relu_(convolution(h))
    return h
