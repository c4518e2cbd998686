"""What a run will do, settled from headers and options before any frame is read."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cryolithe_stream.engines import BlockReconstructor, resolve_device, resolve_precision
from cryolithe_stream.errors import CryolitheWarning, InputError
from cryolithe_stream.geometry import Box, Shape3, VolumeFrame
from cryolithe_stream.network import Model, list_models, load_model
from cryolithe_stream.plan import BlockPlan, plan_blocks
from cryolithe_stream.prepare import ProjectionLayout, layout
from cryolithe_stream.read import Half, TiltSeries, read_tilt_series
from cryolithe_stream.run.cluster import cluster_size
from cryolithe_stream.run.cluster_words import read_word
from cryolithe_stream.run.extent import binning_of, check_pixel, thickness_of, window_of
from cryolithe_stream.run.inputs import Inputs, here, require_here
from cryolithe_stream.run.job import Recipe, reconstructor_for
from cryolithe_stream.run.memory import BASELINE_BYTES, REMOTE_BYTES, default_memory
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.sizes import UNKNOWN, ClusterSize
from cryolithe_stream.store import Place, RemotePath, strips_bytes, write_box_bytes

DEFAULT_OVERSAMPLE = 8


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """Everything that is known of a run before it starts.

    `options` are as they were given, those of `inputs` have paths of this machine alone.
    `series` holds the stack, or the stack and its odd and even halves, `bin` how often it is binned; `frame` is the
    full volume over the prepared projections, `window` the part of it that is written; `thickness_from` says where the
    thickness comes from.
    """

    options: RunOptions
    series: tuple[TiltSeries, ...]
    bin: int
    layout: ProjectionLayout
    model: Model | None
    recipe: Recipe
    frame: VolumeFrame
    window: Box
    thickness_from: str
    reconstructor: BlockReconstructor
    plan: BlockPlan
    cluster: ClusterSize
    inputs: Inputs

    def stamps(self) -> list[Any]:
        """How the stacks' files look, as JSON."""
        return [self.inputs.stamp(series).to_json() for series in self.series]

    def voxel_recipe(self) -> dict[str, Any]:
        """All that decides the voxels except the content of the stack, as JSON."""
        main = self.series[0]
        aligned = main.alignment
        arrays = [] if aligned is None else [aligned.matrix_yx, aligned.shift_yx_px, np.array(aligned.output_yx)]
        return {
            **self.options.describes_voxels(),
            "exclude": None,
            "bin": self.bin,
            "thickness": self.frame.volume_zyx[0],
            "volume_zyx": list(self.frame.volume_zyx),
            "roi": str(self.window),
            "pixel_size": round(main.pixel_angstrom, 6),
            "alignment_pixel_size": None,
            "precision": self.recipe.precision,
            "oversample": self.recipe.oversample,
            "patch_scale": self.recipe.patch_scale,
            "model": self.recipe.model_fingerprint,
            "tilts_deg": [round(float(t), 6) for t in main.tilts_deg],
            "views": [int(v) for v in main.views],
            "axis_and_shift": [self.frame.axis_offset_px, *self.frame.shift_zx_px],
            "alignment": hashlib.sha256(b"".join(np.round(a, 9).tobytes() for a in arrays)).hexdigest(),
        }


def survey_run(
    options: RunOptions, *, size: ClusterSize | None = None, among: int = 1, inputs: Inputs | None = None
) -> Survey:
    """Read headers, angles, alignment and the model, and plan the blocks for workers of a known `size`, if any.

    The run is one `among` so many that share them: blocks are no smaller than its part of the workers asks for.
    `inputs` are needed where files are at addresses. Raises InputError for what cannot be run.
    """
    inputs = inputs or Inputs(options)
    return survey_series(options, read_series(inputs.options), size=size, among=among, inputs=inputs)


def survey_series(
    options: RunOptions,
    series: tuple[TiltSeries, ...],
    *,
    size: ClusterSize | None = None,
    among: int = 1,
    inputs: Inputs | None = None,
) -> Survey:
    """The survey of a stack, or of a stack and its odd and even halves, whose headers need not be on the disk."""
    inputs = inputs or Inputs(options)
    model = None if options.method == "fbp" else load_model(options.model)
    binning = binning_of(options, model, series[0])
    if model is not None:
        check_pixel(model, series[0], binning)
    prepared = layout(series[0], bin=binning, pad_to_square=options.grid == "public")
    size = _usable(options, size or size_for(options))
    recipe = _recipe(options, model, size)
    thickness, thickness_from = thickness_of(options, prepared)
    frame = VolumeFrame(
        (thickness, *prepared.shape_tyx[1:]),
        prepared.shape_tyx[1:],
        prepared.axis_offset_px,
        prepared.shift_zx_px,
        options.grid,
    )
    window = window_of(options, frame, prepared)
    reconstructor = reconstructor_for(recipe, frame, model, torch.device(recipe.device))
    plan = _plan(options, series[0], frame, window, reconstructor, size, among)
    return Survey(
        options,
        series,
        binning,
        prepared,
        model,
        recipe,
        frame,
        window,
        thickness_from,
        reconstructor,
        plan,
        size,
        inputs,
    )


def read_series(options: RunOptions) -> tuple[TiltSeries, ...]:
    """The stack, or the stack and its odd and even halves, without reading a frame. Raises InputError."""

    def read(stack: Place, half: Half | None = None) -> TiltSeries:
        return read_tilt_series(
            require_here(stack),
            angles=here(options.angles),
            alignment=here(options.alignment),
            alignment_angstrom=options.alignment_pixel_size,
            pixel_angstrom=options.pixel_size,
            exclude=options.exclude,
            mdoc=here(options.mdoc),
            half=half,
        )

    main = read(options.stack)
    if options.odd is None or options.even is None:
        return (main,)
    halves = (read(options.odd, "odd"), read(options.even, "even"))
    for half in halves:
        if half.stack.shape != main.stack.shape:
            raise InputError(
                f"{half.stack.path} has shape {half.stack.shape}, {main.stack.path} has {main.stack.shape}",
                fix="Give half stacks of the same views and size",
            )
    return (main, *halves)


def size_for(options: RunOptions) -> ClusterSize:
    """The workers of a run, as far as they are known; a scheduler that does not answer counts as one worker."""
    local = read_word(options.cluster).kind in ("local", "threads", "cuda")
    device = resolve_device(options.device) if local else None
    gpus = (
        0 if device is None or device.type != "cuda" else 1 if device.index is not None else torch.cuda.device_count()
    )
    try:
        size = cluster_size(options.cluster, gpus=gpus, scale=options.scale)
    except InputError as error:
        if read_word(options.cluster).kind != "address":
            raise
        warnings.warn(f"{error.what}: the plan assumes one worker", CryolitheWarning, stacklevel=2)
        return UNKNOWN
    return size


def _usable(options: RunOptions, size: ClusterSize) -> ClusterSize:
    """The workers as they are used: without their GPUs where another device is wanted."""
    if options.memory and size.memory_bytes and options.memory > size.memory_bytes:
        warnings.warn(
            f"--memory is {options.memory / 1e9:.3g} GB, the smallest worker has {size.memory_bytes / 1e9:.3g} GB",
            CryolitheWarning,
            stacklevel=2,
        )
    return size if options.device in ("auto", "cuda") else replace(size, gpus=False)


def _recipe(options: RunOptions, model: Model | None, size: ClusterSize) -> Recipe:
    device = torch.device("cuda") if size.gpus else resolve_device(options.device)
    # Filtered back-projection is bound by memory, not by multiplications: nothing is gained by fewer bits.
    # The exact engine is the reference: it keeps all bits too.
    plain = model is None or options.engine == "exact"
    precision = "float32" if plain and options.precision == "auto" else resolve_precision(options.precision, device)
    if model is None:
        oversample, patch_scale = 1, 1.0
    else:
        oversample = options.oversample or model.oversample or DEFAULT_OVERSAMPLE
        patch_scale = options.patch_scale or model.patch_scale
    if precision == "float16" and device.type == "cpu":
        warnings.warn("float16 on a CPU is many times slower than float32", CryolitheWarning, stacklevel=2)
    return Recipe(
        options.method,
        options.engine,
        None if model is None else _model_path(options.model),
        model.fingerprint if model else None,
        oversample if options.engine == "features" else 1,
        patch_scale,
        precision,
        str(device),
    )


def _model_path(spec: str) -> str:
    """A shipped model's name, or the absolute path of a folder or file, which workers elsewhere find too."""
    return str(Path(spec).absolute()) if spec not in ("default", *list_models()) else spec


def _plan(
    options: RunOptions,
    series: TiltSeries,
    frame: VolumeFrame,
    window: Box,
    reconstructor: BlockReconstructor,
    size: ClusterSize,
    among: int,
) -> BlockPlan:
    width, n_sets = frame.detector_yx[1], 3 if options.halves else 1

    def bytes_of(block_zyx: Shape3, strips: Any) -> int:
        box = Box.whole(block_zyx)
        computing = reconstructor.peak_bytes(block_zyx, strips, halves=options.halves)
        writing = n_sets * box.n_voxels * 4 + write_box_bytes(box, options.dtype, block_zyx)
        return max(strips_bytes(strips, width=width), computing, writing)

    baseline = BASELINE_BYTES + (REMOTE_BYTES if isinstance(options.output, RemotePath) else 0)
    plan = plan_blocks(
        volume_zyx=frame.volume_zyx,
        window=window,
        detector_yx=frame.detector_yx,
        strips_of=lambda box: reconstructor.layout(box, series.tilts_deg),
        bytes_of=bytes_of,
        cost_of=reconstructor.cost,
        budget_bytes=(options.memory or default_memory(size)) // size.slots,
        baseline_bytes=baseline // size.slots,
        workers=-(-size.workers // among),
        sharded=options.ome_zarr == "0.5" and options.output.suffix != ".mrc",
    )
    plan.check(size.slots)
    return plan


def describe_differences(recorded: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The options that differ between two runs, in words."""
    names = [key for key in sorted({*recorded, *wanted}) if _json(recorded.get(key)) != _json(wanted.get(key))]
    parts = []
    for name in names:
        was, now = recorded.get(name), wanted.get(name)
        short = all(len(_json(v)) < 40 for v in (was, now))
        parts.append(f"{name.replace('_', '-')} was {was}, is {now}" if short else f"{name.replace('_', '-')} differs")
    return "; ".join(parts) or "nothing differs"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
