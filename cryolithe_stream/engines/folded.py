"""The set networks folded for evaluation on a detector grid, where features are made once and back-projected.

g_s depends on (tilt, detector row, detector column) alone, never on depth. W_s, the angle code and the first set layer
have no nonlinearity between them: they fold into one matrix per tilt and slice. None stands between set_s's last layer,
the mean over tilts and the next layer either: where there is no mlp_s, that is the combining MLP's first layer, so its
columns are applied before back-projection and the sum over slices is taken there, which leaves one narrow table. The
interpolation of patches between columns is linear too, and folds into the first matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from cryolithe_stream.network.sliceset import SliceSet


@dataclass(frozen=True, slots=True, eq=False)
class FoldedSets:
    """All set networks of a SliceSet at given tilts, as batched matrices (slice first).

    `first` `(tilt, slice, P, H)` maps patch rows to the first layer's output, `first_bias` `(tilt, slice, 1, H)`;
    `rest` are the following layers `(slice, in, out)` with biases `(slice, 1, out)`; `join` `(slice·F, C)` and its
    bias `(C,)` are applied to all slices before back-projection, where something may be, else None. With
    `open_end` a ReLU, and what `skip` adds, follow the last of `rest` as well. `first` makes `phases` positions.
    """

    first: Tensor
    first_bias: Tensor | None
    rest: tuple[tuple[Tensor, Tensor | None], ...]
    skip: bool
    join: Tensor | None
    join_bias: Tensor | None = None
    open_end: bool = False
    phases: int = 1

    def joined_sooner(self) -> FoldedSets:
        """The same sets with the last layer of `rest` taken into `join`; themselves where there are not both."""
        if self.join is None or not self.rest:
            return self
        *rest, (weight, bias) = self.rest
        columns = self.join.unflatten(0, (len(weight), -1))  # (slice, F, C)
        join = (weight @ columns).flatten(0, 1)
        join_bias = None if bias is None else (bias @ columns).sum(dim=0)[0]
        return replace(self, rest=tuple(rest), join=join, join_bias=join_bias, open_end=True)

    def over_windows(self, taps: Tensor) -> FoldedSets:
        """The same sets for what patch rows are interpolated from: `taps` `(T, K·P)` give the K phases of a window."""
        size = self.first.shape[2]
        first = torch.einsum("akp,tsph->tsakh", taps.unflatten(1, (-1, size)), self.first)
        return replace(self, first=first.flatten(3), phases=taps.shape[1] // size)

    def to(self, dtype: torch.dtype) -> FoldedSets:
        """The same matrices in another type."""

        def typed(given: Tensor | None) -> Tensor | None:
            return None if given is None else given.to(dtype)

        rest = tuple((weight.to(dtype), typed(bias)) for weight, bias in self.rest)
        joint, bias = typed(self.join), typed(self.join_bias)
        first, first_bias = self.first.to(dtype), typed(self.first_bias)
        return replace(self, first=first, first_bias=first_bias, rest=rest, join=joint, join_bias=bias)

    def features(self, samples: Tensor, tilts: slice, slices: slice = slice(None)) -> Tensor:
        """g_s `(tilt, slice, position, F)` of patch rows `(tilt, slice, position, P)`, or windows of K positions."""
        h = samples @ self.first[tilts, slices]
        if self.phases > 1:
            h = h.unflatten(-1, (self.phases, -1)).flatten(2, 3)
        if self.first_bias is not None:
            h = h + self.first_bias[tilts, slices]
        x: Tensor | None = None
        for weight, bias in self.rest:
            x = self._activated(h, x)
            h = x @ weight[slices]
            if bias is not None:
                h = h + bias[slices]
        return self._activated(h, x) if self.open_end else h

    def joined(self, features: Tensor) -> Tensor:
        """`(tilt, position, C)`: what is applied to all slices, of features `(tilt, slice, position, F)`."""
        if self.join is None:
            raise AssertionError("this network's slices are not joined before back-projection")
        table = features.transpose(1, 2).flatten(2) @ self.join
        return table if self.join_bias is None else table + self.join_bias

    def _activated(self, h: Tensor, before: Tensor | None) -> Tensor:
        activated = functional.relu(h, inplace=True)  # h is the features' own
        return activated + before if self.skip and before is not None else activated


def fold(network: SliceSet, tilts_deg: Tensor, device: torch.device) -> FoldedSets:
    """The folded set networks at `tilts_deg` `(tilt,)`, in float32; differentiable in the network's weights."""
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
            torch.stack([chain[i].weight.T for chain in chains]).to(device),
            torch.stack([chain[i].bias[None] for chain in chains]).to(device) if network.config.set_bias else None,
        )
        for i in range(1, len(chains[0]))
    )
    join = network.combination_mlp.linears[0].weight.T if network.config.slice_hidden is None else None
    return FoldedSets(
        first.to(device),
        None if offset is None else offset.to(device),
        rest,
        network.config.set_skip,
        None if join is None else join.to(device),
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
