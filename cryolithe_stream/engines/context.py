"""The context network over the features of a box and of what lies around it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod

import torch
from torch import Tensor
from torch.nn.utils import convert_conv3d_weight_memory_format

from cryolithe_stream.engines.device import KERNEL_BYTES
from cryolithe_stream.geometry import Box, Shape3
from cryolithe_stream.network import slabs
from cryolithe_stream.network.context import Context


@dataclass(frozen=True, eq=False)
class ContextHead:
    """Values of a box from the features of a larger one, `network.input_box(box)`.

    Features beyond the volume are as good as those inside, so nothing is padded, and results do not depend on how a
    volume is cut. The device may be one that only workers have: such a head plans and does not compute.
    """

    network: Context
    dtype: torch.dtype
    device: torch.device

    @cached_property
    def _ready(self) -> Context:
        """A copy of the network on the device, of the head's type and laid out as convolutions take it."""
        network = copy.deepcopy(self.network).to(self.device, self.dtype)
        return convert_conv3d_weight_memory_format(network, torch.channels_last_3d)

    def values(self, features: Tensor, around: Box, box: Box) -> Tensor:
        """Values `(set, output, z, y, x)` of `box`, float32, from features `(set, C, z, y, x)` of the box `around`.

        Features whose channels are last in memory, and of the head's type, are not copied but overwritten.
        """
        z, y, x = around.start
        inside = box.shifted((-z, -y, -x))
        out = torch.empty(len(features), self.network.config.outputs, *box.shape)
        with torch.inference_mode():
            for i, part in enumerate(features.split(1)):
                own = part.to(self.device, self.dtype, memory_format=torch.channels_last_3d)
                out[i] = self._ready(own, inside=inside, overwrite=True)[0].float().cpu()
        return out

    def peak_bytes(self, around_zyx: Shape3, *, halves: bool = False) -> int:
        """Upper bound of the bytes that `values` holds at once, the features of a shape and its output included."""
        c, n_sets, item = self.network.config, 3 if halves else 1, self.dtype.itemsize
        scales = [width / 8**level for level, width in enumerate(c.widths)]  # values per point of the finest scale
        back = max((a / 8 + b for a, b in pairwise(scales)), default=0.0)
        held = item * (n_sets * scales[0] + sum(scales[1:]) + back) + 4 * n_sets * c.outputs
        scratch = slabs.scratch_bytes(c.widths[0], around_zyx, self.dtype, self.device)
        return int(prod(around_zyx) * held) + scratch + KERNEL_BYTES

    def cost(self, box_zyx: Shape3) -> float:
        """Multiply-adds for values of a shape."""
        return self.network.multiply_adds(box_zyx) / _CONVOLUTION_GAIN


_CONVOLUTION_GAIN = 2.0
"""Multiply-adds of a convolution in the time of one of the engines: 1.6 in float32, 2.0 in bfloat16 were measured."""
