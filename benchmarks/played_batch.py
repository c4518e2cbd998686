"""Compare the simulated batch with real ones.

python benchmarks/played_batch.py sleeping [--slots 1 2 8 32] [--series 6]
python benchmarks/played_batch.py working COSTS.yaml [--workers 1 2] [--method fbp] [--side 512]

`sleeping`: a real scheduler and real workers, in the order and with the priorities of a batch, whose tasks sleep as
long as they take in the simulation. It tells whether workers wait when the simulation says so, on a busy machine too.
`working`: a real batch of series of noise, its makespan, and the processor time of its workers, which a busy machine
changes least, beside what the costs of this machine foretell.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.costs import PIXEL_ANGSTROM, write_series
from cryolithe_stream.batch import BatchRecord, Job, run_batch
from cryolithe_stream.batch.costs import Costs, read_costs
from cryolithe_stream.batch.imagined import Kind, simulated_batches
from cryolithe_stream.batch.runner import series_at_once
from cryolithe_stream.batch.simulation import SeriesWork, Stage, Task, simulate_batch
from cryolithe_stream.run import RunOptions
from cryolithe_stream.run.cluster import Workers, open_cluster

N_SERIES = 6


def main() -> None:
    """Runs one of the two comparisons and prints it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_subparsers(required=True)
    sleeping = which.add_parser("sleeping")
    sleeping.add_argument("--slots", type=int, nargs="+", default=[1, 2, 8, 32])
    sleeping.add_argument("--series", type=int, default=N_SERIES)
    sleeping.set_defaults(act=lambda args: compare_sleeping(args.slots, args.series))
    working = which.add_parser("working")
    working.add_argument("costs", type=Path)
    working.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    working.add_argument("--method", default="fbp")
    working.add_argument("--side", type=int, default=512)
    working.set_defaults(act=lambda args: compare_working(read_costs(args.costs), args.workers, args.method, args.side))
    args = parser.parse_args()
    args.act(args)


def compare_sleeping(slots: list[int], n_series: int) -> None:
    """The same batch of sleeping tasks, simulated and played."""
    series = sleeping_batch(n_series)
    for n in slots:
        told = simulate_batch(series, workers=n, at_once=series_at_once(n))
        makespan = play(series, n)
        idle = 1 - told.busy_s / (n * makespan)
        print(
            f"{n} slots: makespan {told.makespan_s:.1f} s simulated, {makespan:.1f} s measured "
            f"({100 * (makespan / told.makespan_s - 1):+.1f} %); idle {100 * told.idle_share:.1f} % simulated, "
            f"{100 * idle:.1f} % measured",
            flush=True,
        )


def sleeping_batch(n_series: int) -> list[SeriesWork]:
    """Series of 2 s of preparation, 60 blocks of 0.1 to 0.5 s and a pyramid of 8, 2 and 1 shards of 0.1 s."""
    rng, series = np.random.default_rng(0), []
    for _ in range(n_series):
        blocks = [Task(float(seconds)) for seconds in rng.uniform(0.1, 0.5, 60)]
        levels = [Stage([Task(0.1)] * n) for n in (8, 2, 1)]
        series.append(SeriesWork((Stage([Task(2.0)], urgent=True), Stage(blocks), *levels)))
    return series


def play(series: list[SeriesWork], slots: int) -> float:
    """Seconds that real workers take for a batch of sleeping tasks."""

    def one(workers: Workers, work: SeriesWork) -> None:
        for stage in work.stages:
            seconds = [task.seconds for task in stage.tasks]
            for _ in workers.map(time.sleep, seconds, what="a task", urgent=stage.urgent):
                pass

    with open_cluster(f"threads:{slots}") as workers:
        list(workers.map(time.sleep, [0.0] * slots, what="a task"))
        began = time.monotonic()
        at_once = series_at_once(slots)
        with ThreadPoolExecutor(at_once) as pool:
            views = [workers.shared_at(-number, among=at_once) for number in range(len(series))]
            list(pool.map(one, views, series))
        return time.monotonic() - began


def compare_working(costs: Costs, workers: list[int], method: str, side: int) -> None:
    """The same batch of series of noise, simulated and run on worker processes of one thread."""
    for n in workers:
        with tempfile.TemporaryDirectory(prefix="played-") as folder:
            jobs = list(jobs_of(Path(folder), n, method, side))
            ((told, _),) = simulated_batches([Kind(len(jobs), jobs[0].options)], costs, workers=[n])
            with processor_time() as spent, BatchRecord.open(Path(folder) / "out") as record:
                began = time.monotonic()
                run_batch(jobs, record)
                makespan = time.monotonic() - began
        with processor_time() as start, open_cluster(f"local:{n}") as started:
            list(started.map(partial(pow, 2), range(4 * n), what="a task"))
        print(
            f"{n} workers: {told.busy_s:.1f} s of work and {told.makespan_s:.1f} s of makespan simulated; "
            f"{spent[0]:.1f} s of processor time ({start[0]:.1f} s to start workers) and {makespan:.1f} s measured",
            flush=True,
        )


def jobs_of(folder: Path, workers: int, method: str, side: int) -> Iterator[Job]:
    """Series of noise as jobs of a batch."""
    (folder / "out").mkdir()
    for number in range(N_SERIES):
        given = {
            **write_series(folder, side, f"TS_{number}"),
            "method": method,
            "cluster": f"local:{workers}",
            "bin": 1,
        }
        output = folder / "out" / f"TS_{number}.ome.zarr"
        yield Job(f"TS_{number}", RunOptions(**given, output=output, pixel_size=PIXEL_ANGSTROM, memory=4 << 30))


@contextmanager
def processor_time() -> Iterator[list[float]]:
    """Processor seconds of the processes that were started and ended in a block, once it is over."""
    spent: list[float] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    yield spent
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    main()
