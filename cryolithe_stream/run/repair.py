"""Repair of a tomogram: damaged blocks are reconstructed again, damaged shards of the pyramid are built again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryolithe_stream.errors import DamagedStoreError, InputError
from cryolithe_stream.geometry import Box, Shape3, VolumeFrame
from cryolithe_stream.plan import Block, BlockPlan
from cryolithe_stream.run.checksums import shard_name
from cryolithe_stream.run.cluster import open_cluster
from cryolithe_stream.run.inputs import Inputs, looked_at
from cryolithe_stream.run.job import Recipe, voxels_in_parts
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.preparing import prepare_stacks, with_stacks_here
from cryolithe_stream.run.progress import Progress, Silent
from cryolithe_stream.run.repair_claim import INPUT, Hold, RepairClaim, claimed, require_repairable
from cryolithe_stream.run.survey import Survey, describe_differences, survey_run
from cryolithe_stream.run.verify import Damage, Verification, open_verifiable, still_damaged, verify_tomogram
from cryolithe_stream.store import Tomogram, downsample_shard, record_attributes, write_box

_SETS = ("all", "odd", "even")
_OF_THE_RUN = ("cluster", "workers", "adapt", "dashboard", "memory", "workspace", "overwrite")


@dataclass(frozen=True, slots=True)
class RepairTask:
    """One block of the tomogram that is held; `place` is that of its voxels among `n_sets` reconstructed together."""

    recipe: Recipe
    frame: VolumeFrame
    projections: Path
    hold: Hold
    block: Block
    place: int
    n_sets: int


def repair_tomogram(
    found: Verification,
    *,
    cluster: str = "local",
    progress: Progress | None = None,
    workspace: Path | None = None,
    take_over: bool = False,
) -> Verification:
    """Make what is damaged of a tomogram again, from the tilt series that it was made of; returns what is left.

    In an object store, where each object is replaced as a whole, as in a folder: others may read meanwhile. There
    `workspace` is the folder, seen by all workers, for projections and a lock, without it the current one, and
    `take_over` ends the claims of repairs and runs elsewhere that were killed. Where nothing is damaged, what a repair
    that was killed left is cleared up. Relative paths of the tomogram's run start at the current folder. Blocks that
    come out otherwise than they were, as they do in their last bits on another kind of machine, have their checksums
    recorded anew.
    Raises InputError when the series is gone or has changed, UnsupportedError on web servers, OutputError also when
    another repair or run has the tomogram, and RemoteError; the same call goes on then.
    """
    progress = progress or Silent()
    require_repairable(found.path, workspace)
    with claimed(found.path, workspace, take_over=take_over) as claim:
        if not found.damages:
            return found
        tomogram = open_verifiable(found.path)
        if damages := still_damaged(tomogram, found.damages):
            _repair(claim, tomogram, damages, cluster, progress)
    return verify_tomogram(found.path, progress)


def repair_block(task: RepairTask) -> tuple[int, str]:
    """Reconstruct and write one block; returns its index and checksum.

    Raises OutputError when the tomogram was taken over, DamagedStoreError when the projections have gone: a task may
    outlive the repair that it belongs to.
    """
    voxels, _ = voxels_in_parts(task.recipe, task.frame, task.projections, task.block.volume_box, task.n_sets)
    task.hold.require()
    if not task.projections.exists():  # frames that are missing read as zeros
        raise DamagedStoreError(f"{task.projections} has gone while it was read", fix="Repair again")
    return task.block.index, write_box(task.hold.path, task.block.box, voxels[task.place]).checksum


def _repair(
    claim: RepairClaim, tomogram: Tomogram, damages: Sequence[Damage], cluster: str, progress: Progress
) -> None:
    recorded = tomogram.attributes["checksums"]
    blocks = dict(enumerate(recorded["blocks"]))
    if damaged := [damage.index[0] for damage in damages if damage.level == 0]:
        blocks |= _blocks_again(claim, tomogram, damaged, cluster, progress)
    levels = _levels_again(claim, tomogram, damages, recorded["levels"])
    checksums = {"blocks": list(blocks.values()), "levels": levels}
    if checksums != recorded:
        claim.hold.require()
        record_attributes(tomogram, {**tomogram.attributes, "checksums": checksums})


def _blocks_again(
    claim: RepairClaim, tomogram: Tomogram, indices: Sequence[int], cluster: str, progress: Progress
) -> dict[int, str]:
    """Reconstruct blocks of level 0 from projections that are prepared again; returns checksums by their index."""
    recorded = tomogram.attributes["options"]
    options = RunOptions.merged({key: value for key, value in recorded.items() if key not in _OF_THE_RUN})
    plan = BlockPlan.from_json(tomogram.attributes["plan"])
    of_stack = _SETS.index(tomogram.attributes["tilts"])
    made: dict[int, str] = {}
    with looked_at(options) as inputs, open_cluster(cluster) as workers:
        survey = _survey_again(tomogram, options, inputs)
        several = len(survey.series) > 1
        survey = with_stacks_here(survey, claim.folder / INPUT, claim.ledger, progress)
        paths = [claim.inside / f"{name}.zarr" for name in _SETS[: len(survey.series)]]
        contents = [report.content_hash for report in prepare_stacks(survey, paths, workers, progress)]
        if contents != tomogram.attributes["run"]["contents"]:
            raise InputError(f"the stack of {tomogram.path} has changed since it was made", fix="Reconstruct it again")
        progress.phase("repairing", len(indices), "blocks")
        tasks = [
            RepairTask(
                survey.recipe,
                survey.frame,
                paths[of_stack if several else 0],
                claim.hold,
                plan.block(index),
                0 if several else of_stack,
                3 if survey.options.halves else 1,
            )
            for index in indices
        ]
        for index, checksum in workers.map(repair_block, tasks, what="a block"):
            made[index] = checksum
            progress.advance(1)
    return made


def _survey_again(tomogram: Tomogram, options: RunOptions, inputs: Inputs) -> Survey:
    """The survey of the run that made a tomogram. Raises InputError when it would make something else now."""
    survey = survey_run(options, inputs=inputs)
    made, now = tomogram.attributes["run"]["voxels"], survey.voxel_recipe()
    difference = describe_differences(made, now)
    if difference != "nothing differs":
        raise InputError(
            f"{tomogram.path} cannot be repaired, its run would give other voxels now: {difference}",
            fix="Reconstruct it again with --overwrite",
        )
    return survey


def _levels_again(
    claim: RepairClaim, tomogram: Tomogram, damages: Sequence[Damage], recorded: dict[str, dict[str, str]]
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
                claim.hold.require()
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
