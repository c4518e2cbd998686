"""Blocks and shards are read back before anything is made of them: what is not as it was written is found in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cryolithe_stream.errors import DamagedStoreError, FormatError
from cryolithe_stream.geometry import Box
from cryolithe_stream.plan import BlockPlan
from cryolithe_stream.run.checksums import block_reports, shard_name
from cryolithe_stream.run.cluster import Workers
from cryolithe_stream.run.job import ShardTask, task_label
from cryolithe_stream.run.progress import Progress
from cryolithe_stream.run.workspace import Workspace
from cryolithe_stream.store import Ledger, Place, box_checksum, open_tomogram

ROUNDS = 3
"""How often what is damaged is made again, before the disk is blamed."""


@dataclass(frozen=True, slots=True)
class ReadTask:
    """A box of one level of an unfinished tomogram, and the checksum of what was written; `key` is the caller's."""

    volume: Place
    level: int
    box: Box
    checksum: str
    key: str

    @property
    def task_name(self) -> str:
        """What Dask's dashboard calls it."""
        return f"{task_label(self.volume)}-read-{self.level}/{'/'.join(map(str, self.box.start))}"


def read_back(task: ReadTask) -> tuple[str, bool]:
    """The key of a task, and whether its box holds what was written."""
    try:
        return task.key, box_checksum(task.volume, task.box, level=task.level) == task.checksum
    except FormatError:
        return task.key, False


def damaged_blocks(work: Workspace, plan: BlockPlan, ledger: Ledger, workers: Workers, progress: Progress) -> set[str]:
    """The keys of finished blocks that are not as they were written; nothing of volumes that are handed over or MRC."""
    shared = any(len(mark["written"]) > 1 for key, mark in ledger.done().items() if key.startswith("block/"))
    tasks = [
        ReadTask(
            volume.unfinished.absolute(),
            0,
            plan.block(index).box,
            report.checksum,
            f"block/{'all' if shared else volume.name}/{index}",
        )
        for volume in work.volumes
        if volume.unfinished.suffix != ".mrc" and volume.unfinished.exists()
        for index, report in block_reports(volume, work, ledger).items()
    ]
    return _damaged(tasks, 0, "blocks", workers, progress)


def damaged_shards(
    tasks: Iterable[ShardTask], level: int, ledger: Ledger, workers: Workers, progress: Progress
) -> list[ShardTask]:
    """Those shards of a level that are not as they were written."""
    recorded = ledger.done()[f"level/{level}"].get("checksums", {})
    layouts, by_key, reads = {}, {}, []
    for task in tasks:
        if task.volume not in layouts:
            layouts[task.volume] = open_tomogram(task.volume).layout
        box = layouts[task.volume].shard_box(level, task.index)
        key = f"{task.volume}/{shard_name(task.index)}"
        checksum = recorded.get(task.volume.name, {}).get(shard_name(task.index), "")
        by_key[key] = task
        reads.append(ReadTask(task.volume, level, box, checksum, key))
    return [by_key[key] for key in sorted(_damaged(reads, level, "shards", workers, progress))]


def unreadable(work: Workspace, level: int) -> DamagedStoreError:
    """The error that a disk is blamed with, on which nothing stays as it was written."""
    return DamagedStoreError(
        f"what is written to {work.inside} (level {level}) does not read back the same, tried {ROUNDS} times",
        fix="Check that disk, then run the same command to continue",
    )


def _damaged(tasks: list[ReadTask], level: int, unit: str, workers: Workers, progress: Progress) -> set[str]:
    if not tasks:
        return set()
    progress.phase(f"reading back level {level}", len(tasks), unit)
    found = set()
    for key, sound in workers.map(read_back, tasks, what="reading what was written"):
        if not sound:
            found.add(key)
        progress.advance(1)
    if found:
        progress.message(f"{len(found)} {unit} of level {level} are not as they were written: they are made again")
    return found
