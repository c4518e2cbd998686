"""What a worker needs to reconstruct blocks of one tomogram, and how it does it."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import torch

from cryolithe_stream.engines import (
    BlockReconstructor,
    ContextHead,
    Engine,
    ExactEngine,
    FbpEngine,
    FeaturesEngine,
    Strips,
    dtype_of,
    resolve_device,
)
from cryolithe_stream.errors import DamagedStoreError
from cryolithe_stream.geometry import Box, Float32s, Shape3, VolumeFrame
from cryolithe_stream.network import Model, Wavelet, load_model
from cryolithe_stream.plan import Block
from cryolithe_stream.run.halving import Halving
from cryolithe_stream.store import MrcVolume, Place, ProjectionStore, Written, downsample_shard, write_box


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which network (or none) is evaluated, and how."""

    method: Literal["network", "fbp"]
    engine: Literal["features", "exact"]
    model: str | None
    model_fingerprint: str | None
    oversample: int
    patch_scale: float
    precision: str
    device: str


@dataclass(frozen=True, slots=True)
class Target:
    """One set of projections and the unfinished volumes that its blocks go to: [all] or [all, odd, even] tilts."""

    projections: Path
    volumes: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class BlockTask:
    """One block of one target: all that a worker is sent (paths and small numbers, never weights or voxels).

    `threads` is how many of a worker's threads one block computes with.
    """

    recipe: Recipe
    frame: VolumeFrame
    target: Target
    block: Block
    key: str
    threads: int

    @property
    def task_name(self) -> str:
        """What Dask's dashboard calls the block: `TS_01-block-all/12`."""
        return f"{task_label(self.target.volumes[0])}-{self.key.replace('/', '-', 1)}"


@dataclass(frozen=True, slots=True)
class ShardTask:
    """One shard of one level of one unfinished tomogram, to be made from the level below."""

    level: int
    volume: Place
    index: Shape3

    @property
    def task_name(self) -> str:
        """What Dask's dashboard calls the shard: `TS_01-level-1/0/2/1`."""
        return f"{task_label(self.volume)}-level-{self.level}/{'/'.join(map(str, self.index))}"


@dataclass(frozen=True, slots=True)
class BlockReport:
    """What came of a block: a report for each volume, the seconds it took, and the worker's peak memory so far.

    `parts` are more than one when memory ran short (`run.halving`).
    """

    key: str
    n_voxels: int
    written: tuple[Written, ...]
    seconds: float
    peak_bytes: int
    parts: int = 1


def reconstructor_for(
    recipe: Recipe, frame: VolumeFrame, model: Model | None, device: torch.device | None = None
) -> BlockReconstructor:
    """The engine that a recipe names, over a frame.

    Where `device` is given it may be one that only the workers have: such an engine plans and does not compute.
    """
    device = device or resolve_device(recipe.device)
    dtype = dtype_of(recipe.precision)
    if model is None:
        return BlockReconstructor(frame, FbpEngine(dtype, device))
    engine: Engine
    if recipe.engine == "exact":
        engine = ExactEngine(model.network, recipe.patch_scale, dtype, device)
    else:
        points = 8192 if device.type == "cpu" else 262_144
        engine = FeaturesEngine(model.network, recipe.oversample, recipe.patch_scale, dtype, device, points)
    wavelet = Wavelet(model.wavelet, model.wavelet_levels) if model.wavelet else None
    context = ContextHead(model.context, dtype, device) if model.context else None
    return BlockReconstructor(frame, engine, wavelet, context)


def reconstruct_block(task: BlockTask) -> BlockReport:
    """Read a block's strips, reconstruct its voxels, write its whole shards."""
    started = time.monotonic()
    torch.set_num_threads(task.threads)
    voxels, parts = voxels_in_parts(
        task.recipe, task.frame, task.target.projections, task.block.volume_box, len(task.target.volumes)
    )
    written = tuple(
        _write(volume, task.block.box, values) for volume, values in zip(task.target.volumes, voxels, strict=True)
    )
    return BlockReport(task.key, task.block.box.n_voxels, written, time.monotonic() - started, peak_bytes(), parts)


def downsample(task: ShardTask) -> tuple[ShardTask, str]:
    """Make a shard of a level from the level below; returns its checksum with the task."""
    return task, downsample_shard(task.volume, task.level, task.index)


def task_label(volume: Place) -> str:
    """The output's name as Dask groups tasks by it: without its ending, and with no dash."""
    name = volume.parent.parent.name if isinstance(volume, Path) else volume.name
    name = name.removesuffix(".partial").removesuffix(".mrc").removesuffix(".zarr").removesuffix(".ome")
    return name.replace("-", "_")


def get_ready(recipe: Recipe, frame: VolumeFrame) -> None:
    """Load libraries and the model in a worker while the projections are prepared elsewhere."""
    _reconstructor(recipe, frame)


def block_voxels(recipe: Recipe, frame: VolumeFrame, projections: Path, box: Box, n_sets: int) -> Float32s:
    """Voxels `(set, z, y, x)` of a box of the full volume."""
    store = ProjectionStore.open(projections)
    reconstructor = _reconstructor(recipe, frame)
    layout = reconstructor.layout(box, store.tilts_deg)
    strips = Strips.of(layout, store.read_strips(layout), store.tilts_deg)
    return reconstructor.voxels(box, strips, halves=n_sets > 1)


def voxels_in_parts(
    recipe: Recipe, frame: VolumeFrame, projections: Path, box: Box, n_sets: int
) -> tuple[Float32s, int]:
    """`block_voxels` in as few parts as there is memory for, and how many these were."""
    compute = partial(block_voxels, recipe, frame, projections, n_sets=n_sets)
    return _halving(recipe, frame).voxels(box, compute)


def sample(recipe: Recipe, frame: VolumeFrame, target: Target, box: Box) -> Float32s:
    """Voxels `(set, z, y, x)` of a small box, for their range."""
    return block_voxels(recipe, frame, target.projections, box, len(target.volumes))


def peak_bytes() -> int:
    """The largest resident size of this process so far.

    On Linux from /proc: the figure of getrusage also holds what the parent process took when it started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


@lru_cache(maxsize=4)
def _halving(recipe: Recipe, frame: VolumeFrame) -> Halving:
    """What a worker knows of the memory that its blocks find."""
    return Halving()


@lru_cache(maxsize=4)
def _reconstructor(recipe: Recipe, frame: VolumeFrame) -> BlockReconstructor:
    """A worker's own engine, made once for each recipe: the model is read from its files, not sent."""
    if recipe.model is None:
        return reconstructor_for(recipe, frame, None)
    model = load_model(recipe.model)
    if model.fingerprint != recipe.model_fingerprint:
        raise DamagedStoreError(f"the model {recipe.model} changed while it was in use", fix="Run again")
    return reconstructor_for(recipe, frame, model)


def _write(volume: Place, box: Box, values: Float32s) -> Written:
    if isinstance(volume, Path) and volume.suffix == ".mrc":
        return MrcVolume.open(volume).write_box(box, values)
    return write_box(volume, box, values)


def sample_boxes(window: Box, *, edge: Shape3 = (16, 4, 64), per_axis: Shape3 = (2, 2, 2)) -> list[Box]:
    """A few small boxes spread over a window: where the range of voxel values is looked at before they are scaled."""
    boxes = []
    for i in range(per_axis[0] * per_axis[1] * per_axis[2]):
        place = (i // (per_axis[1] * per_axis[2]), i // per_axis[2] % per_axis[1], i % per_axis[2])
        start, stop = [], []
        for a, n, e, p, count in zip(window.start, window.shape, edge, place, per_axis, strict=True):
            size = min(e, n)
            first = a + (n - size) * (2 * p + 1) // (2 * count)
            start.append(first)
            stop.append(first + size)
        boxes.append(Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])))
    return sorted(set(boxes))
