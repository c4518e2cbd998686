"""The pyramid of a finished tomogram: each level from the one below, and read back before the next is made of it."""

from __future__ import annotations

from cryolithe_stream.run.checksums import shard_name
from cryolithe_stream.run.cluster import Workers
from cryolithe_stream.run.job import ShardTask, downsample
from cryolithe_stream.run.outputs import pyramid_tasks
from cryolithe_stream.run.progress import Progress
from cryolithe_stream.run.readback import ROUNDS, damaged_shards, unreadable
from cryolithe_stream.run.workspace import Workspace
from cryolithe_stream.store import Ledger


def build_pyramid(work: Workspace, ledger: Ledger, workers: Workers, progress: Progress) -> None:
    """Levels 1 and up of every tomogram, each from the one below and read back; MRC volumes have none."""
    for level, places in pyramid_tasks(work):
        shards = [ShardTask(level, path, index) for path, index in places]
        wanted = [] if f"level/{level}" in ledger.done() else shards
        for _ in range(ROUNDS):
            _build(level, wanted, ledger, workers, progress)
            if not (wanted := damaged_shards(shards, level, ledger, workers, progress)):
                break
        else:
            raise unreadable(work, level)


def _build(level: int, shards: list[ShardTask], ledger: Ledger, workers: Workers, progress: Progress) -> None:
    """Shards of one level; their checksums join those that are on record."""
    if not shards:
        return
    progress.phase(f"pyramid level {level}", len(shards), "shards")
    known = ledger.done().get(f"level/{level}", {}).get("checksums", {})
    checksums: dict[str, dict[str, str]] = {name: dict(found) for name, found in known.items()}
    for shard, checksum in workers.map(downsample, shards, what="a pyramid shard"):
        checksums.setdefault(shard.volume.name, {})[shard_name(shard.index)] = checksum
        progress.advance(1)
    ledger.mark(f"level/{level}", {"checksums": checksums})
