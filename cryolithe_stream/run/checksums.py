"""Checksums of a tomogram: kept in its ledger while it is made, and in its metadata ever after."""

from __future__ import annotations

from typing import Any

from cryolithe_stream.geometry import Shape3
from cryolithe_stream.run.workspace import Volume, Workspace
from cryolithe_stream.store import Ledger, Written


def block_reports(volume: Volume, work: Workspace, ledger: Ledger) -> dict[int, Written]:
    """What was reported of a volume's blocks, by their index in the plan."""
    found: dict[int, Written] = {}
    for key, payload in ledger.done().items():
        if not key.startswith("block/"):
            continue
        _, target, index = key.split("/")
        reports = payload["written"]
        if len(reports) > 1:
            found[int(index)] = Written.from_json(reports[[v.name for v in work.volumes].index(volume.name)])
        elif target == volume.name:
            found[int(index)] = Written.from_json(reports[0])
    return found


def recorded_checksums(volume: Volume, work: Workspace, ledger: Ledger) -> dict[str, Any]:
    """Checksums of a volume's blocks, in the plan's order, and of the shards of each higher level by their index."""
    reports = block_reports(volume, work, ledger)
    levels: dict[str, dict[str, str]] = {}
    for key, payload in ledger.done().items():
        if key.startswith("level/"):
            levels[key.removeprefix("level/")] = payload.get("checksums", {}).get(volume.unfinished.name, {})
    return {"blocks": [reports[index].checksum for index in sorted(reports)], "levels": levels}


def shard_name(index: Shape3) -> str:
    """A shard's index as it stands in JSON: z/y/x."""
    return "/".join(map(str, index))
