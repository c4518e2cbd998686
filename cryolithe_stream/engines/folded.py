"""The set networks folded for evaluation on a detector grid, where features are made once and back-projected.

g_s depends on (tilt, detector row, detector column) alone, never on depth. W_s, the angle code and the first set layer
have no nonlinearity between them: they fold into one matrix per tilt and slice. None stands between set_s's last layer,
the mean over tilts and the next layer either: where there is no mlp_s, that is the combining MLP's first layer, so its
columns are applied before back-projection and the sum over slices is taken there, which leaves one narrow table.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cryolithe_stream.network.sliceset import SliceSet


@dataclass(frozen=True, slots=True, eq=False)
class FoldedSets:
    """All set networks of a SliceSet at given tilts, as batched matrices (slice first).

    `first` `(tilt, slice, P, H)` maps patch rows to the first layer's output, `first_bias` `(tilt, slice, 1, H)`;
    `rest` are the following layers `(slice, in, out)` with biases `(slice, 1, out)`; `join` `(slice·F, C)` is the
    combining MLP's first layer where it may be applied before back-projection, else None.
    """

    first: Tensor
    first_bias: Tensor | None
    rest: tuple[tuple[Tensor, Tensor | None], ...]
    skip: bool
    join: Tensor | None

    @property
    def width(self) -> int:
        """Channels of one table: C with `join`, else F of one slice."""
        if self.join is not None:
            return int(self.join.shape[1])
        return int((self.rest[-1][0] if self.rest else self.first).shape[-1])

    def features(self, samples: Tensor, tilts: slice, slices: slice = slice(None)) -> Tensor:
        """g_s `(tilt, slice, position, F)` for patch rows `(tilt, slice, position, P)`."""
        h = samples @ self.first[tilts, slices]
        if self.first_bias is not None:
            h = h + self.first_bias[tilts, slices]
        x: Tensor | None = None
        for weight, bias in self.rest:
            activated = functional.relu(h, inplace=True)  # h is this loop's own
            x = activated + x if self.skip and x is not None else activated
            h = x @ weight[slices]
            if bias is not None:
                h = h + bias[slices]
        return h

    def joined(self, features: Tensor) -> Tensor:
        """`(tilt, position, C)`: the combining MLP's first layer of features `(tilt, slice, position, F)`."""
        if self.join is None:
            raise AssertionError("this network's slices are not joined before back-projection")
        return features.transpose(1, 2).flatten(2) @ self.join


def fold(network: SliceSet, tilts_deg: Tensor, *, dtype: torch.dtype, device: torch.device) -> FoldedSets:
    """The folded set networks at `tilts_deg` `(tilt,)`; differentiable in the network's weights."""
    sets = network.slices
    code = network.angle_codes(tilts_deg)
    lift = torch.stack([s.up_layer.weight for s in sets])  # (slice, A, P)
    chains = [s.setMlP.linears for s in sets]
    entry = torch.stack([chain[0].weight for chain in chains])  # (slice, H, A)
    added = network.config.angle_code == "add"
    first = (
        torch.einsum("sha,sap->sph", entry, lift)[None].expand(len(code), -1, -1, -1)
        if added
        else torch.einsum("sha,ta,sap->tsph", entry, code, lift)
    )
    offset = _first_offset(network, code, entry)
    rest = tuple(
        (
            torch.stack([chain[i].weight.T for chain in chains]).to(device, dtype),
            torch.stack([chain[i].bias[None] for chain in chains]).to(device, dtype)
            if network.config.set_bias
            else None,
        )
        for i in range(1, len(chains[0]))
    )
    join = network.combination_mlp.linears[0].weight.T if network.config.slice_hidden is None else None
    return FoldedSets(
        first.to(device, dtype),
        None if offset is None else offset.to(device, dtype),
        rest,
        network.config.set_skip,
        None if join is None else join.to(device, dtype),
    )


def _first_offset(network: SliceSet, code: Tensor, entry: Tensor) -> Tensor | None:
    """What the first layer gives for empty patches, `(tilt, slice, 1, H)`; None where that is zero."""
    c, sets = network.config, network.slices
    added = c.angle_code == "add"
    if not (c.lift_bias or c.set_bias or added):
        return None
    lifted = torch.zeros(len(sets), c.set_input, dtype=code.dtype, device=code.device)
    if c.lift_bias:
        lifted = torch.stack([s.up_layer.bias for s in sets])
    coded = lifted[None] + code[:, None] if added else lifted[None] * code[:, None]
    offset = torch.einsum("sha,tsa->tsh", entry, coded)
    if c.set_bias:
        offset = offset + torch.stack([s.setMlP.linears[0].bias for s in sets])[None]
    return offset[:, :, None]
