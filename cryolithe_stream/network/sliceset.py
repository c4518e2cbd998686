"""The SliceSet network: set-MLPs per patch row, a combining MLP per voxel (paper, section 3.4).

    V(r) = MLP̄([SMLP_1(p_1, θ), …, SMLP_P(p_P, θ)]),      p_s: row s of the patch, N × P
    SMLP_s(p_s, θ) = mlp_s(mean over tilts of g_s),         g_s = set_s((W_s · p_s[θ]) ⊙ e(θ))

Parameter names are those of the public checkpoints.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from cryolithe_stream.errors import ModelError
from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.mlp import MLP


class SetMLP(nn.Module):
    """SMLP_s: features of each tilt's patch row, their mean over tilts, and mlp_s of the mean."""

    def __init__(self, config: SliceSetConfig) -> None:
        """The set network of one row of the patch."""
        super().__init__()
        c = config
        self.angle_code = c.angle_code
        self.up_layer = nn.Linear(c.patch_size, c.set_input, bias=c.lift_bias)
        self.setMlP = MLP(
            c.set_input, c.set_hidden, c.set_output, last_in=c.set_last_in, skip=c.set_skip, bias=c.set_bias
        )
        self.mlp: MLP | None = None
        if c.slice_hidden is not None:
            self.mlp = MLP(
                c.set_output,
                c.slice_hidden,
                c.slice_output,
                last_in=c.slice_last_in,
                skip=c.slice_skip,
                bias=c.slice_bias,
            )

    def tilt_features(self, rows: Tensor, code: Tensor) -> Tensor:
        """g_s: `(…, tilt, set_output)` for patch rows `(…, tilt, P)` and angle codes `(tilt, set_input)`."""
        lifted = self.up_layer(rows)
        coded = lifted + code if self.angle_code == "add" else lifted * code
        return torch.as_tensor(self.setMlP(coded))

    def of_mean(self, pooled: Tensor) -> Tensor:
        """mlp_s of pooled features `(…, set_output)`; the features themselves where there is no mlp_s."""
        return pooled if self.mlp is None else torch.as_tensor(self.mlp(pooled))


class SliceSet(nn.Module):
    """The network: voxel (or wavelet coefficients) from N × P × P samples around its sinusoid."""

    def __init__(self, config: SliceSetConfig) -> None:
        """A network with random weights; `load_state_dict` fills in a checkpoint's."""
        super().__init__()
        c = self.config = config
        self.slice_transformers = nn.ModuleList(SetMLP(c) for _ in range(c.patch_size))
        self.pos_encoder = nn.Linear(1, c.set_input, bias=c.lift_bias) if c.learned_angle_code else None
        self.combination_mlp = MLP(
            c.patch_size * c.slice_output,
            c.combine_hidden,
            c.output_size,
            last_in=c.combine_last_in,
            skip=c.combine_skip,
            bias=c.combine_bias,
            batch_norm=c.combine_batch_norm,
        )
        _check_widths(self)

    @property
    def slices(self) -> list[SetMLP]:
        """The set networks, first patch row to last."""
        return [s for s in self.slice_transformers if isinstance(s, SetMLP)]

    def forward(self, patches: Tensor, tilts_deg: Tensor) -> Tensor:
        """Output `(point, output_size)` of patches `(point, tilt, row, column)` at tilt angles `(tilt,)` in degrees."""
        c = self.config
        code = self.angle_codes(tilts_deg).to(patches.dtype)
        by_slice = patches.movedim(2 if c.slice_axis == "row" else 3, 0)
        pooled = [self._pool(s.tilt_features(rows, code)) for s, rows in zip(self.slices, by_slice, strict=True)]
        out = self.head(pooled)
        if c.learn_residual:
            middle = patches[:, :, c.patch_size // 2, c.patch_size // 2]
            out = out + middle.mean(dim=1, keepdim=True)
        return out

    def head(self, pooled: list[Tensor]) -> Tensor:
        """Output `(point, output_size)` from each slice's pooled features `(point, set_output)`."""
        parts = [s.of_mean(p) for s, p in zip(self.slices, pooled, strict=True)]
        return torch.as_tensor(self.combination_mlp(torch.cat(parts, dim=-1)))

    def angle_codes(self, tilts_deg: Tensor) -> Tensor:
        """e(θ), `(tilt, set_input)`: sin and cos of θ/base^(2i/d), interleaved (θ in degrees), or the learned code."""
        if self.pos_encoder is not None:
            code = self.pos_encoder(torch.deg2rad(tilts_deg).to(self.pos_encoder.weight.dtype).unsqueeze(-1))
            return torch.softmax(code, dim=-1) if self.config.angle_code_softmax else torch.as_tensor(code)
        d = self.config.set_input
        i = torch.arange(d // 2, dtype=torch.float64, device=tilts_deg.device)
        phase = tilts_deg.to(torch.float64)[:, None] * torch.exp(-math.log(self.config.angle_code_base) * 2 * i / d)
        code = torch.zeros(len(tilts_deg), d, dtype=torch.float64, device=tilts_deg.device)
        code[:, 0 : 2 * (d // 2) : 2] = torch.sin(phase)
        code[:, 1 : 2 * (d // 2) : 2] = torch.cos(phase)
        return code.to(torch.float32)

    def _pool(self, features: Tensor) -> Tensor:
        return features.mean(dim=-2) if self.config.pool == "mean" else features[..., 0, :]


def _check_widths(network: SliceSet) -> None:
    """Refuse configurations whose layers do not fit each other (the public code fails when it runs them)."""
    mlps = [network.combination_mlp, *(m for s in network.slices for m in (s.setMlP, s.mlp) if m is not None)]
    for mlp in mlps:
        linears = mlp.linears
        for a, b in pairwise(linears):
            if a.out_features != b.in_features:
                raise ModelError(f"a layer of {a.out_features} outputs is followed by one that reads {b.in_features}")
        if len(linears) == 1 and linears[0].in_features == 0:
            raise ModelError("a network part has no layers")
    first = network.slices[0]
    if first.setMlP.linears[0].in_features != network.config.set_input:
        raise ModelError(f"the set network reads {first.setMlP.linears[0].in_features}, not {network.config.set_input}")
    if first.mlp is not None and first.mlp.linears[0].in_features != network.config.set_output:
        raise ModelError(f"mlp_s reads {first.mlp.linears[0].in_features}, not {network.config.set_output}")
    if network.combination_mlp.linears[0].in_features != network.config.patch_size * network.config.slice_output:
        raise ModelError("the combining MLP does not read the slices' outputs")
