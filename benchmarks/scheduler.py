"""Measure how many blocks a second client and scheduler get through, and that the client's memory stays flat.

python benchmarks/scheduler.py [--clusters threads:1 threads:32 local:2] [--blocks 20000] [--json FILE]

The blocks do nothing; they are given as a run gives them (`Workers.map`), with tasks of the size and name of a block's.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from cryolithe_stream.geometry import Box, VolumeFrame
from cryolithe_stream.plan import Block
from cryolithe_stream.run.cluster import open_cluster
from cryolithe_stream.run.job import BlockReport, BlockTask, Recipe, Target
from cryolithe_stream.store import Statistics, Written

SAMPLES = 20
MIB = 1 << 20


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", nargs="*", default=["threads:1", "threads:32", "local:2"])
    parser.add_argument("--blocks", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = []
    for cluster in args.clusters:
        found.append(measured(cluster, args.blocks))
        print(found[-1], flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def measured(cluster: str, n_blocks: int) -> dict[str, Any]:
    """Blocks a second, processor time of this process for each, and its memory over the blocks that are done."""
    process = psutil.Process()
    with open_cluster(cluster) as workers:
        for _ in workers.map(nothing, map(block_task, range(500)), what="a block"):
            pass
        began, spent = time.monotonic(), time.process_time()
        done, memory, futures = [], [], 0
        every = max(1, n_blocks // SAMPLES)
        for number, _ in enumerate(workers.map(nothing, map(block_task, range(n_blocks)), what="a block"), 1):
            if number % every == 0:
                gc.collect()
                done.append(number)
                memory.append(process.memory_info().rss / MIB)
            futures = max(futures, len(workers.client.futures))
        seconds, spent = time.monotonic() - began, time.process_time() - spent
        slots = workers.slots
    half = len(done) // 2
    slope = float(np.polyfit(done[half:], memory[half:], 1)[0]) if len(done) - half > 1 else 0.0
    return {
        "cluster": cluster,
        "slots": slots,
        "blocks": n_blocks,
        "blocks_per_second": round(n_blocks / seconds, 1),
        "processor_ms_per_block": round(1000 * spent / n_blocks, 3),
        "most_futures": futures,
        "memory_mib": [round(value, 1) for value in memory],
        "mib_per_million_blocks_second_half": round(1e6 * slope, 1),
    }


def nothing(task: BlockTask) -> BlockReport:
    """A block that is done at once."""
    written = Written(0, "0" * 8, Statistics())
    return BlockReport(task.key, task.block.box.n_voxels, (written,), 0.0, 0)


def block_task(number: int) -> BlockTask:
    """A task as a run gives it."""
    box = Box((0, 0, 0), (64, 64, 64))
    frame = VolumeFrame((256, 1024, 1024), (1024, 1024), 0.0, (0.0, 0.0), "true")
    recipe = Recipe("network", "features", "default", "0" * 64, 1, 1.0, "bfloat16", "cpu")
    target = Target(Path("/data/TS_0001.ome.zarr.partial/all.zarr"), (Path("/data/TS_0001.ome.zarr.partial/all"),))
    return BlockTask(recipe, frame, target, Block(number, box, box, 1 << 30), f"block/all/{number}", 1)


if __name__ == "__main__":
    main()
