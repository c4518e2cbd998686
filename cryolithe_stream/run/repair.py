"""Repair of a tomogram: damaged blocks are reconstructed again, damaged shards of the pyramid are built again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryolithe_stream.errors import InputError, UnsupportedError
from cryolithe_stream.geometry import Box, Shape3, VolumeFrame
from cryolithe_stream.plan import Block, BlockPlan
from cryolithe_stream.run.checksums import shard_name
from cryolithe_stream.run.cluster import open_cluster
from cryolithe_stream.run.job import Recipe, voxels_in_parts
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.preparing import prepare_stacks
from cryolithe_stream.run.progress import Progress, Silent
from cryolithe_stream.run.survey import Survey, describe_differences, survey_run
from cryolithe_stream.run.verify import Damage, Verification, open_verifiable, verify_tomogram
from cryolithe_stream.store import Tomogram, downsample_shard, finish_tomogram, output_faults, write_box
from cryolithe_stream.store.lock import WriterLock

_SETS = ("all", "odd", "even")


@dataclass(frozen=True, slots=True)
class RepairTask:
    """One block of a tomogram; `place` is that of its voxels among the `n_sets` that are reconstructed together."""

    recipe: Recipe
    frame: VolumeFrame
    projections: Path
    tomogram: Path
    block: Block
    place: int
    n_sets: int


def repair_tomogram(found: Verification, *, cluster: str = "local", progress: Progress | None = None) -> Verification:
    """Make what is damaged of a tomogram again, from the tilt series that it was made of; returns what is left.

    Relative paths of its run start at the current folder. Blocks that come out otherwise than they were, as they do in
    their last bits on another kind of machine, have their checksums recorded anew.
    Raises InputError when the series is gone or has changed, UnsupportedError in object stores, and OutputError.
    """
    progress = progress or Silent()
    if not isinstance(found.path, Path):
        raise UnsupportedError(f"{found.path} cannot be repaired in its place", fix="Reconstruct it with --overwrite")
    tomogram, held = open_verifiable(found.path), found.path / ".repair.lock"
    with output_faults(held):
        lock = WriterLock.acquire(held)
    try:
        recorded = tomogram.attributes["checksums"]
        blocks = dict(enumerate(recorded["blocks"]))
        if damaged := [damage.index[0] for damage in found.damages if damage.level == 0]:
            blocks |= _blocks_again(tomogram, found.path, damaged, cluster, progress)
        levels = _levels_again(tomogram, found.damages, recorded["levels"])
        checksums = {"blocks": list(blocks.values()), "levels": levels}
        if checksums != recorded:
            finish_tomogram(tomogram.path, {**tomogram.attributes, "checksums": checksums})
    finally:
        held.unlink(missing_ok=True)
        lock.release()
    return verify_tomogram(found.path, progress)


def repair_block(task: RepairTask) -> tuple[int, str]:
    """Reconstruct and write one block; returns its index and checksum."""
    voxels, _ = voxels_in_parts(task.recipe, task.frame, task.projections, task.block.volume_box, task.n_sets)
    return task.block.index, write_box(task.tomogram, task.block.box, voxels[task.place]).checksum


def _blocks_again(
    tomogram: Tomogram, path: Path, indices: Sequence[int], cluster: str, progress: Progress
) -> dict[int, str]:
    """Reconstruct blocks of level 0 from projections that are prepared again; returns checksums by their index."""
    survey = _survey_again(tomogram)
    plan = BlockPlan.from_json(tomogram.attributes["plan"])
    of_stack = _SETS.index(tomogram.attributes["tilts"])
    several = len(survey.series) > 1
    scratch = tempfile.TemporaryDirectory(prefix=f"{path.name}.repair-", dir=path.parent)
    with scratch as folder, open_cluster(cluster) as workers:
        paths = [Path(folder).absolute() / f"{name}.zarr" for name in _SETS[: len(survey.series)]]
        contents = [report.content_hash for report in prepare_stacks(survey, paths, workers, progress)]
        if contents != tomogram.attributes["run"]["contents"]:
            raise InputError(f"the stack of {tomogram.path} has changed since it was made", fix="Reconstruct it again")
        progress.phase("repairing", len(indices), "blocks")
        tasks = [
            RepairTask(
                survey.recipe,
                survey.frame,
                paths[of_stack if several else 0],
                path.absolute(),
                plan.block(index),
                0 if several else of_stack,
                3 if survey.options.halves else 1,
            )
            for index in indices
        ]
        made: dict[int, str] = {}
        for index, checksum in workers.map(repair_block, tasks, what="a block"):
            made[index] = checksum
            progress.advance(1)
    return made


def _survey_again(tomogram: Tomogram) -> Survey:
    """The survey of the run that made a tomogram. Raises InputError when it would make something else now."""
    recorded = tomogram.attributes["options"]
    survey = survey_run(RunOptions.merged({**recorded, "cluster": None, "memory": None, "workspace": None}))
    made, now = tomogram.attributes["run"]["voxels"], survey.voxel_recipe()
    difference = describe_differences(made, now)
    if difference != "nothing differs":
        raise InputError(
            f"{tomogram.path} cannot be repaired, its run would give other voxels now: {difference}",
            fix="Reconstruct it again with --overwrite",
        )
    return survey


def _levels_again(
    tomogram: Tomogram, damages: Sequence[Damage], recorded: dict[str, dict[str, str]]
) -> dict[str, dict[str, str]]:
    """Checksums of all levels, after the shards that are damaged, or lie over something damaged, were built again."""
    checksums = {level: dict(known) for level, known in recorded.items()}
    below = [damage.box for damage in damages if damage.level == 0]
    for level in range(1, tomogram.n_levels):
        damaged = [damage.box for damage in damages if damage.level == level]
        touched = [*damaged, *(_above(box) for box in below)]
        below = []
        for index in tomogram.layout.shard_indices(level):
            box = tomogram.layout.shard_box(level, index)
            if any(_meet(box, other) for other in touched):
                checksums.setdefault(str(level), {})[shard_name(index)] = downsample_shard(tomogram.path, level, index)
                below.append(box)
    return checksums


def _above(box: Box) -> Box:
    """The voxels of the next level that lie over a box."""
    start: list[int] = [a // 2 for a in box.start]
    stop: list[int] = [-(-b // 2) for b in box.stop]
    return Box(_shape(start), _shape(stop))


def _shape(values: Sequence[int]) -> Shape3:
    z, y, x = values
    return (z, y, x)


def _meet(one: Box, other: Box) -> bool:
    sides = zip(one.start, one.stop, other.start, other.stop, strict=True)
    return all(a < d and c < b for a, b, c, d in sides)
