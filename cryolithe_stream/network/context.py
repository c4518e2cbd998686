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
from cryolithe_stream.network import slabs

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

    def forward(self, features: Tensor, *, inside: Box | None = None, overwrite: bool = False) -> Tensor:
        """Values of the voxels `inside`, or of all; indices of the features' first voxel are multiples of `stride`.

        `inside` counts from that voxel. On the way back to the finest scale only what it depends on is worked out, so
        that the halo costs little there. With `overwrite` the features' memory is used for what comes after them.
        """
        nz, ny, nx = features.shape[2:]
        inside = inside or Box.whole((nz, ny, nx))
        h = F.relu(features, inplace=overwrite)
        skips: list[Tensor] = []
        for level, convolutions in enumerate(self.down):
            h = _residuals(h, convolutions)
            if level < len(self.coarser):
                skips.append(h)
                h = _coarser(h, self.coarser[level])
        scales = self._way_back(inside, (nz, ny, nx))
        begin: Shape3 = (0, 0, 0)
        for level in reversed(range(len(self.finer))):
            part = scales[level + 1]
            covered = _doubled(part)
            h = _finer(_cut(skips.pop(), covered), self.finer[level](_cut(h, part, begin)))
            h, begin = _residuals(h, self.up[level]), covered.start
        return slabs.pointwise(_cut(h, inside, begin), self.last)

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

    def multiply_adds(self, shape_zyx: Shape3) -> int:
        """Multiplications for a box of values that begins at a multiple of `stride`, the halo's included."""
        inside = Box.whole(shape_zyx)
        around = self.input_box(inside)
        z, y, x = around.start
        scales = self._way_back(inside.shifted((-z, -y, -x)), around.shape)
        total = 0
        for name, weight in self.named_parameters():
            part, level = name.split(".")[:2]
            if part in ("down", "coarser"):
                places = around.n_voxels // 8 ** (int(level) + (part == "coarser"))
            elif part == "last":
                places = inside.n_voxels
            else:
                places = scales[int(level) + 1].n_voxels * (8 if part == "up" else 1)
            total += weight.numel() * places
        return total

    def _way_back(self, inside: Box, around_zyx: Shape3) -> list[Box]:
        """What each scale has to give for values `inside` a box of features, finest first, in voxels of that scale."""
        axes = [self._asked(a, b) for a, b in zip(inside.start, inside.stop, strict=True)]
        boxes = []
        for level, spans in enumerate(zip(*axes, strict=True)):
            z, y, x = ((max(a, 0), min(b, n >> level)) for (a, b), n in zip(spans, around_zyx, strict=True))
            boxes.append(Box((z[0], y[0], x[0]), (z[1], y[1], x[1])))
        return boxes

    def _span(self, start: int, stop: int) -> tuple[int, int]:
        """The input indices that outputs start … stop − 1 of an axis depend on, widened to whole strides."""
        c, s = self.config, self.stride
        asked = self._asked(start, stop)
        start, stop = asked[-1]
        for level in reversed(range(len(c.down))):
            start, stop = start - c.down[level], stop + c.down[level]
            if level:
                first, last = asked[level - 1]
                start, stop = min(2 * start, first - c.up[level - 1]), max(2 * stop, last + c.up[level - 1])
        return start // s * s, -(-stop // s) * s

    def _asked(self, start: int, stop: int) -> list[tuple[int, int]]:
        """What start … stop − 1 of an axis need of each scale on the way back, the finest first."""
        asked = [(start, stop)]
        for n in self.config.up:
            start, stop = start - n, stop + n
            start, stop = (start - 1) // 2, -(-(stop + 1) // 2)  # linear interpolation reads a quarter voxel beyond
            asked.append((start, stop))
        return asked


def _cut(values: Tensor, box: Box, begin: Shape3 = (0, 0, 0)) -> Tensor:
    """The part of `values` `(batch, channel, z, y, x)`, which begin at a voxel, that lies in a box."""
    z, y, x = begin
    return values[:, :, *box.shifted((-z, -y, -x)).slices]


def _doubled(box: Box) -> Box:
    """A box in voxels of the next finer scale."""
    (z0, y0, x0), (z1, y1, x1) = box.start, box.stop
    return Box((2 * z0, 2 * y0, 2 * x0), (2 * z1, 2 * y1, 2 * x1))


def _convolutions(width: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv3d(width, width, 3, padding=1, bias=False) for _ in range(count))


def _residuals(h: Tensor, convolutions: nn.Module) -> Tensor:
    """Add relu(convolution(h)) to h, one convolution after another; in place where nothing has to be differentiated."""
    assert isinstance(convolutions, nn.ModuleList)
    for convolution in convolutions:
        if torch.is_grad_enabled():
            h = h + F.relu_(convolution(h))
        else:
            assert isinstance(convolution, nn.Conv3d)
            slabs.residual_(h, convolution)
    return h


def _coarser(h: Tensor, convolution: nn.Module) -> Tensor:
    """The next coarser scale, relu(convolution(h))."""
    assert isinstance(convolution, nn.Conv3d)
    return F.relu_(convolution(h)) if torch.is_grad_enabled() else slabs.coarser(h, convolution)


def _finer(h: Tensor, coarse: Tensor) -> Tensor:
    """The sum relu(h + coarse interpolated linearly); in place of h where nothing has to be differentiated."""
    if torch.is_grad_enabled():
        fine = F.interpolate(coarse, scale_factor=2.0, mode="trilinear", align_corners=False)
        return F.relu_(fine.add_(h))
    slabs.add_finer_(h, coarse)
    return h
