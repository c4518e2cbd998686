"""What workers are worth: two against one, Dask and Zarr against computing alone, and idle time between tomograms.

    python benchmarks/workers.py OUT [--model default-wavelet] [--memory 600MB] [--size 128 384 384] [--series 4]

Noise is reconstructed: its values do not matter. A worker has one thread and, where the system allows, a core of its
own; one worker shares it with client and scheduler. Give it an idle machine; the medians of `--repeat` runs, in turn,
are compared. Processor time is that of all processes together: other programs on the machine change it less.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import astuple, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import psutil
import torch
from distributed import Client, LocalCluster

from cryolithe_stream.batch import BatchRecord, Job, run_batch
from cryolithe_stream.engines import Strips
from cryolithe_stream.run import RunOptions, plan_run, reconstruct_series
from cryolithe_stream.run.environment import of_worker
from cryolithe_stream.run.job import reconstructor_for

TILTS_DEG = np.linspace(-60, 60, 41)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock, and of the processors for all processes."""

    wall: float
    processors: float

    @classmethod
    def median(cls, several: list[Spent]) -> Spent:
        """The medians of both."""
        return cls(*(statistics.median(values) for values in zip(*map(astuple, several), strict=True)))


def processor_seconds() -> float:
    """What this process and those that it started, and that still run, have taken so far."""
    this, total = psutil.Process(), 0.0
    for process in (this, *this.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system
    return total


@dataclass(slots=True, eq=False)
class Clock:
    """When each block was done, and what it had taken until then."""

    ended: list[Spent] = field(default_factory=list)
    watching: bool = False

    def phase(self, name: str, total: int, unit: str) -> None:
        """Blocks begin, or something else does."""
        self.watching = name == "reconstructing"

    def advance(self, n: int, voxels: int = 0) -> None:
        """A block is done, while there are any."""
        if self.watching:
            self.ended.append(Spent(time.monotonic(), processor_seconds()))

    def message(self, text: str) -> None:
        """Nothing."""


def write_noise(folder: Path, name: str, shape_yx: tuple[int, int]) -> dict[str, Any]:
    """A tilt series of noise, 10 Å a pixel, and the options that name it."""
    stack, angles = folder / f"{name}.mrc", folder / f"{name}.tlt"
    if not stack.exists():
        values = np.random.default_rng(0).standard_normal((len(TILTS_DEG), *shape_yx), dtype=np.float32)
        with mrcfile.new(stack) as file:
            file.set_data(values)
            file.set_image_stack()
            file.voxel_size = 10.0
        np.savetxt(angles, TILTS_DEG, fmt="%.2f")
    return {"stack": stack, "angles": angles}


def spent_on_blocks(options: RunOptions, cores: set[int]) -> tuple[Spent, int]:
    """What the blocks take at the pace between the first one's end and the last one's, and their number.

    So the time in which workers start and load libraries is left out.
    """
    clock, all_cores = Clock(), os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        figures = reconstruct_series(options, clock).figures
    finally:
        os.sched_setaffinity(0, all_cores)
    n, first, last = figures["blocks"], clock.ended[0], clock.ended[-1]
    share = n / (n - 1)
    return Spent((last.wall - first.wall) * share, (last.processors - first.processors) * share), n


def spent_alone(options: RunOptions, cores: set[int]) -> Spent:
    """What the same blocks take without reading, writing or scheduling, in a process that has a worker's memory."""
    kept = dict(os.environ)
    os.environ.update(of_worker(1))  # malloc reads them when the process starts
    try:
        with ProcessPoolExecutor(1, get_context("spawn"), os.sched_setaffinity, (0, cores)) as process:
            return process.submit(_in_a_thread, options).result()
    finally:
        os.environ.clear()
        os.environ.update(kept)


def _in_a_thread(options: RunOptions) -> Spent:
    """As Dask computes tasks: blocks one after another in a thread of their own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_compute_all, options).result()


def _compute_all(options: RunOptions) -> Spent:
    survey = plan_run(options).survey
    torch.set_num_threads(1)
    made = reconstructor_for(survey.recipe, survey.frame, survey.model)
    wall, processors, warm = 0.0, 0.0, False
    for block in survey.plan:
        layout = made.layout(block.volume_box, TILTS_DEG)
        strips = Strips.of(layout, np.ones(layout.shape, np.float32), TILTS_DEG)
        if not warm:
            made.voxels(block.volume_box, strips)
            warm = True
        began, used = time.monotonic(), time.process_time()
        made.voxels(block.volume_box, strips)
        wall, processors = wall + time.monotonic() - began, processors + time.process_time() - used
    return Spent(wall, processors)


def idle_shares(jobs: list[Job], folder: Path) -> tuple[float, float]:
    """Idle time of two workers in a batch: from its first to its last block, and from its first to its last task."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        client.get_task_stream(count=1)  # from here on tasks are kept
        shared = [
            replace(job, options=job.options.model_copy(update={"cluster": cluster.scheduler_address})) for job in jobs
        ]
        with BatchRecord.open(folder) as record:
            run_batch(shared, record)
        stream = client.get_task_stream(count=1_000_000)
    spans = [
        (entry["worker"], "-block-" in str(entry["key"]), part["start"], part["stop"])
        for entry in stream
        for part in entry["startstops"]
        if part["action"] == "compute"
    ]
    blocks = [span for span in spans if span[1]]
    return _idle(spans, blocks), _idle(spans, spans)


def _idle(spans: list[tuple[str, bool, float, float]], within: list[tuple[str, bool, float, float]]) -> float:
    """Share of two workers' time, from the first to the last of `within`, in which none of `spans` ran."""
    first, last = min(span[2] for span in within), max(span[3] for span in within)
    busy = sum(max(0.0, min(stop, last) - max(start, first)) for _, _, start, stop in spans)
    return 1 - busy / (2 * (last - first))


def main(words: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="default-wavelet", help="or fbp")
    parser.add_argument("--memory", default="600MB", help="small, for many blocks")
    parser.add_argument("--size", type=int, nargs=3, default=(128, 384, 384), metavar=("Z", "Y", "X"))
    parser.add_argument("--series", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args(words)
    args.out.mkdir(parents=True, exist_ok=True)
    z, y, x = args.size
    cores = sorted(os.sched_getaffinity(0))[:2]

    def options(name: str, **more: Any) -> RunOptions:
        given = write_noise(args.out, "noise", (y, x)) | {"memory": args.memory, "thickness": z}
        given |= {"method": "fbp"} if args.model == "fbp" else {"model": args.model}
        return RunOptions.merged({**given, "output": args.out / f"{name}.ome.zarr", **more})

    alone, one, two, blocks = [], [], [], 0
    for turn in range(args.repeat):
        alone.append(spent_alone(options("alone", cluster="local:1"), {cores[0]}))
        spent, blocks = spent_on_blocks(options(f"one{turn}", cluster="local:1"), {cores[0]})
        one.append(spent)
        two.append(spent_on_blocks(options(f"two{turn}", cluster="local:2"), set(cores))[0])
    a, b, c = map(Spent.median, (alone, one, two))
    print(f"{blocks} blocks; medians of {args.repeat}")
    print(f"alone {a.wall:.1f} s, one worker {b.wall:.1f} s, two {c.wall:.1f} s")
    more, used = 100 * (b.wall / a.wall - 1), 100 * (b.processors / a.processors - 1)
    print(
        f"two workers over one: {b.wall / c.wall:.2f}; "
        f"Dask and Zarr over computing alone: {more:.1f} % by the clock, {used:.1f} % of processor time"
    )
    jobs = [Job(f"series{n}", options(f"series{n}")) for n in range(args.series)]
    between, overall = idle_shares(jobs, args.out)
    print(f"batch of {args.series}: idle {100 * between:.1f} % from first to last block, {100 * overall:.1f} % in all")


if __name__ == "__main__":
    main()
