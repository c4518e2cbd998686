"""What is trained: the network and all that is learned with it, from random weights or a model's, to a `Model`."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cryolithe_stream.engines.strips import patch_offsets
from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.network.bundle import load_model
from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.context import Context, ContextConfig
from cryolithe_stream.network.filters import CosineRamp, ProjectionFilter
from cryolithe_stream.network.model import Model
from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.network.wavelet import Wavelet
from cryolithe_stream.train.example import Example, Points, Sampler
from cryolithe_stream.train.forward import Predictor, predict
from cryolithe_stream.train.learned import LearnedFilter, PatchScale, sample_patches
from cryolithe_stream.train.options import TrainOptions
from cryolithe_stream.train.sections import NetworkOptions

LOSSES = {"l1": functional.l1_loss, "l2": functional.mse_loss, "smooth_l1": functional.smooth_l1_loss}
_COMPACT: dict[str, Any] = {
    "patch_size": 11,
    "set_input": 64,
    "set_hidden": (64,),
    "set_output": 16,
    "slice_hidden": None,
    "slice_output": 16,
    "combine_hidden": (96, 96, 96),
}
_PAPER: dict[str, Any] = {"patch_size": 21}


@dataclass(frozen=True, slots=True)
class Plan:
    """How the trainee computes: what stays fixed while weights move."""

    wavelet: Wavelet | None
    oversample: int
    patch_scale: float
    filter: ProjectionFilter
    dtype: torch.dtype
    device: torch.device


class Trainee(nn.Module):
    """The predictor with the filter and the patch scale that are learned with it, where they are."""

    def __init__(self, predictor: Predictor, plan: Plan, *, learn_filter: bool, learn_patch_scale: bool) -> None:
        """Around a predictor whose weights are in place."""
        super().__init__()
        self.predictor = predictor
        self.plan = plan
        self.filter = LearnedFilter() if learn_filter else None
        self.patch_scale = PatchScale(plan.patch_scale) if learn_patch_scale else None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all weights."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def preparation(self) -> ProjectionFilter:
        """The filter that examples come with."""
        return ProjectionFilter() if self.filter is not None else self.plan.filter

    def sampler(self, options: TrainOptions) -> Sampler:
        """How examples for this trainee are cut. Raises InputError when a crop leaves nothing to learn from."""
        slices, context = self.predictor.slices, self.predictor.context
        reach = slices.config.patch_size // 2 * self.plan.patch_scale * (2.0 if self.patch_scale is not None else 1.0)
        margin, stride = ((0, 0), 1) if context is None else (_margin(context), context.stride)
        sampling = options.sampling.settled(context=context is not None)
        loose = _loosened(margin, sampling.margin)
        for axis, size in zip("zyx", sampling.crop_zyx or (), strict=True):
            if size is not None and size - size % stride < sum(loose) + stride:
                raise InputError(
                    f"sampling.crop_zyx: {size} along {axis} leaves nothing between margins of {loose[0]} and "
                    f"{loose[1]} voxels, which the context network sees beyond its own",
                    fix=f"Give at least {sum(loose) + 2 * stride}, or a smaller sampling.margin",
                )
        whole_rows = self.filter is not None
        return Sampler(sampling, reach, self.plan.wavelet, margin, stride, whole_rows, loose)

    def values(self, example: Example) -> Tensor:
        """Values `(channel, …)` of an example's points, float32, where its target is."""
        plan = self.plan
        projections = example.projections.to(plan.device)
        if self.filter is not None:
            projections = self.filter(projections)
        if isinstance(example, Points):
            return self._at_points(projections, example)
        # Layers after the features keep float32 weights: autocast lets them meet features of fewer bits.
        after = self.predictor.slices.config.combine_hidden != ()
        typed = plan.dtype != torch.float32
        with torch.autocast(plan.device.type, torch.bfloat16, enabled=after and typed):
            found = predict(
                self.predictor,
                projections,
                example.grid,
                example.tilts_deg,
                oversample=plan.oversample,
                dtype=plan.dtype,
                device=plan.device,
            )
        return found[(slice(None), *example.keep.slices)]

    def loss(self, example: Example, name: str) -> Tensor:
        """The mean loss of an example, in units of its truth's standard deviation.

        An example whose own standard deviation is larger is measured in that: a few crops full of matter, with many
        times the mean power, would otherwise decide the steps.
        """
        target = example.target.to(self.plan.device)
        unit = max(example.spread, float(target.std(correction=0)))
        return torch.as_tensor(LOSSES[name](self.values(example).float() / unit, target / unit))

    def _at_points(self, projections: Tensor, example: Points) -> Tensor:
        slices, device = self.predictor.slices, self.plan.device
        offsets = patch_offsets(slices.config.patch_size, 1.0).to(device)
        offsets = offsets * (self.plan.patch_scale if self.patch_scale is None else self.patch_scale().double())
        patches = sample_patches(projections, example.columns.to(device), example.rows.to(device), offsets)
        tilts = torch.from_numpy(example.tilts_deg).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.plan.dtype == torch.bfloat16):
            return torch.as_tensor(slices(patches, tilts)).T

    def as_model(self, name: str, options: TrainOptions, pixels: tuple[float, float], card: Mapping[str, Any]) -> Model:
        """The trained model with all that belongs to it."""
        plan = self.plan
        scale = plan.patch_scale if self.patch_scale is None else float(self.patch_scale().detach())
        return Model(
            name=name,
            network=self.predictor.slices,
            context=self.predictor.context,
            filter=plan.filter if self.filter is None else self.filter.as_filter(),
            wavelet=None if plan.wavelet is None else plan.wavelet.name,
            patch_scale=scale,
            oversample=plan.oversample if options.sampling.kind == "crops" else None,
            pixel_range_angstrom=pixels,
            contrast="dark",
            card=card,
        )


def make_trainee(options: TrainOptions, dtype: torch.dtype, device: torch.device) -> Trainee:
    """The network of a configuration with its first weights. Raises InputError for what does not fit the start."""
    start = None if options.start_from is None else load_model(options.start_from)
    predictor = _fresh(options) if start is None else _started(start, options)
    plan = _plan(options, start, dtype, device)
    outputs = 8 if plan.wavelet is not None else 1
    found = predictor.slices.config.output_size if predictor.context is None else predictor.context.config.outputs
    if found != outputs:
        raise InputError(f"the network has {found} outputs, the target needs {outputs}", fix="Change target or start")
    learn = options.learn
    trainee = Trainee(predictor, plan, learn_filter=learn.filter, learn_patch_scale=learn.patch_scale)
    return trainee.to(device)


def _plan(options: TrainOptions, start: Model | None, dtype: torch.dtype, device: torch.device) -> Plan:
    if start is None:
        wavelet = Wavelet(options.wavelet or "bior3.1") if _wants_wavelet(options) else None
        return Plan(wavelet, options.oversample or 2, 1.0, ProjectionFilter(ramp=CosineRamp()), dtype, device)
    target = "pixel" if start.wavelet is None else "wavelet"
    if options.target not in (None, target) or options.wavelet not in (None, start.wavelet):
        given = " ".join(str(v) for v in (options.target, options.wavelet) if v)
        raise InputError(
            f"the model {start.name} gives the target {target} {start.wavelet or ''}, the configuration says {given}",
            fix="Leave target and wavelet out, or train a network of your own",
        )
    if start.wavelet_levels != 1:
        raise InputError(f"the model {start.name} has {start.wavelet_levels} wavelet levels, one can be trained")
    if start.context is not None and options.sampling.kind == "points":
        raise InputError(f"the model {start.name} has a context network, which needs sampling.kind crops")
    if start.patch_scale != 1.0 and options.sampling.kind == "crops":
        raise InputError(
            f"the model {start.name} has a patch scale of {start.patch_scale:g}, crops need 1",
            fix="Set sampling.kind to points",
        )
    oversample = options.oversample or start.oversample or 2
    return Plan(start.transform, oversample, start.patch_scale, start.filter, dtype, device)


def _wants_wavelet(options: TrainOptions) -> bool:
    return options.target == "wavelet" or options.wavelet is not None


def _started(start: Model, options: TrainOptions) -> Predictor:
    """The predictor of a model, weights and all; a `context` with more convolutions lets its own grow."""
    context = start.context
    if options.context is not None:
        if context is None:
            raise InputError(f"the model {start.name} has no context network that could grow", fix="Leave context out")
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            context = context.grown(_context_config(options.context, context.config.to_json()))
    return copy.deepcopy(Predictor(start.network, context)).requires_grad_(True)


def _context_config(given: Mapping[str, Any], others: Mapping[str, Any]) -> ContextConfig:
    """The sizes that are given, and those of others for the rest."""
    return ContextConfig.from_json({**others, **given})


def _fresh(options: TrainOptions) -> Predictor:
    """A predictor with small random weights that depend on the seed alone."""
    outputs = 8 if _wants_wavelet(options) else 1
    with torch.random.fork_rng():
        torch.manual_seed(options.seed)
        context = None
        if options.context is not None:
            context = Context(_context_config(options.context, {"outputs": outputs}))
        channels = outputs if context is None else context.config.widths[0]
        slices = SliceSet(network_config(options.network or NetworkOptions(), channels, context=context is not None))
        for name, weight in slices.named_parameters():
            gain = 1.0 if "up_layer" in name or name.endswith("last_layer.weight") else 2.0**0.5
            torch.nn.init.normal_(weight, std=gain / weight.shape[-1] ** 0.5)
    return Predictor(slices, context)


def network_config(options: NetworkOptions, outputs: int, *, context: bool) -> SliceSetConfig:
    """The sizes of the family with what differs from them; a context network takes the place of the last layers."""
    given = {k: v for k, v in options.model_dump(exclude={"family"}).items() if v is not None}
    sizes = {**(_COMPACT if options.family == "compact" else _PAPER), **given}
    if context and options.combine_hidden is None:
        sizes["combine_hidden"] = ()
    if sizes.get("slice_hidden", ()) is None:  # without mlp_s these two are one
        sizes["slice_output"] = sizes["set_output"]
    return SliceSetConfig(output_size=outputs, **sizes)


def calibrate(trainee: Trainee, examples: Sequence[Example]) -> None:
    """Scales the layers so that what an untrained network gives is as large as the truth.

    Outputs are in density over the projections' standard deviation, some hundredths: the layers share the factor.
    """
    slices = trainee.predictor.slices
    layers = [s.up_layer for s in slices.slices] + [layer for s in slices.slices for layer in s.setMlP.linears]
    depth = 2 + len(slices.slices[0].setMlP.linears)
    for _ in range(2):
        with torch.no_grad():
            found = [(e.spread, float(trainee.values(e).float().std())) for e in examples]
            ratios = sorted(spread / std for spread, std in found if std > 0)
            if not ratios:
                return
            for layer in (slices.combination_mlp.last_layer, *layers):
                layer.weight *= ratios[len(ratios) // 2] ** (1 / depth)


def _loosened(margin: tuple[int, int], most: int | None) -> tuple[int, int]:
    return margin if most is None else (min(margin[0], most), min(margin[1], most))


def _margin(context: Context) -> tuple[int, int]:
    """Voxels at the two ends of an axis of whole strides that lack neighbours which the context network sees."""
    size = 64 * context.stride
    low = next(h for h in range(size) if context.input_box(Box((h,) * 3, (h + 1,) * 3)).start[0] >= 0)
    high = next(h for h in range(size) if context.input_box(Box((size - h - 1,) * 3, (size - h,) * 3)).stop[0] <= size)
    return low, high
