"""Measure what the steps of a batch cost on this machine, for `cryolithe-stream batch simulate --costs FILE`.

python benchmarks/costs.py costs.yaml [--models default default-wavelet] [--side 1024] [--folder DIR]

One thread does what one worker of a batch does, on noise: it prepares a stack, reconstructs blocks of the shapes that
plans for 8, 64 and 512 workers have, writes them, and builds shards of a pyramid. Seconds are those of the processor,
so that a busy machine counts as little as can be; marks of the ledger, which wait for the disk, are timed by the clock.
`--folder` is where the files go: take the disk that a batch would write to.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import mrcfile
import numpy as np
import torch
import yaml
from scipy.optimize import nnls

from cryolithe_stream.batch.costs import Costs, recipe_name
from cryolithe_stream.batch.imagined import WORKER_BYTES
from cryolithe_stream.batch.workload import strips_file_bytes
from cryolithe_stream.engines import Strips
from cryolithe_stream.network import CosineRamp, ProjectionFilter
from cryolithe_stream.run import RunOptions, reconstruct_series
from cryolithe_stream.run.cluster import open_cluster
from cryolithe_stream.run.preparing import PrepareTask, prepare_stack
from cryolithe_stream.run.sizes import ClusterSize
from cryolithe_stream.run.survey import Survey, survey_run
from cryolithe_stream.store import ProjectionStore, create_tomogram, downsample_shard, write_box
from cryolithe_stream.store.journal import Journal

N_TILTS = 41
PIXEL_ANGSTROM = 10.0
TURN_DEG = 4.3
PLANNED_FOR = (8, 64, 512)
LARGE = 2**19
Point = tuple[list[float], float]
"""What a step was given, as terms of its cost, and the seconds that it took."""


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("costs", type=Path, help="the file to write")
    parser.add_argument("--models", nargs="*", default=["default", "default-wavelet"], help="besides fbp")
    parser.add_argument("--side", type=int, default=1024, help="rows and columns of the stack, in pixels")
    parser.add_argument("--folder", type=Path, help="where files are written; the system's place for them if not given")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="costs-") as folder:
        content = measured(Path(folder), args.side, args.models)
    Costs.model_validate(content)
    args.costs.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    print(args.costs)


def measured(folder: Path, side: int, models: Sequence[str]) -> dict[str, Any]:
    """The costs as a file holds them; every point that was timed is printed."""
    series = write_series(folder, side)
    prepare = fitted("prepare", prepare_points(folder, series))
    store = ProjectionStore.open(folder / "projections-1")
    blocks, reads, writes = {}, [], []
    for survey_of in recipes(series, models):
        points = []
        for n in PLANNED_FOR:
            survey = survey_of(n)
            voxels, at = block_points(folder, survey, store)
            points.append(voxels)
            reads.append(at[0])
            writes.append(at[1])
        name = recipe_name(survey.recipe)
        blocks[name] = dict(zip(("each", "per_unit"), fitted(name, points), strict=True))
    return {
        "machine": f"{processor()}, one thread, {platform.system()}",
        "measured": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "prepare": dict(zip(("per_raw_pixel", "per_pixel"), prepare, strict=True)),
        "blocks": blocks,
        "read": dict(zip(("each", "per_byte"), fitted("read", reads), strict=True)),
        "write": dict(zip(("each", "per_byte"), fitted("write", writes), strict=True)),
        "pyramid": dict(zip(("each", "per_byte"), fitted("pyramid", pyramid_points(folder)), strict=True)),
        "client": client_seconds(folder),
    }


def write_series(folder: Path, side: int, name: str = "ts") -> dict[str, Any]:
    """A stack of noise with angles and an alignment that turns it; the options that name them."""
    rng = np.random.default_rng(0)
    with mrcfile.new(folder / f"{name}.mrc") as file:
        file.set_data(rng.standard_normal((N_TILTS, side, side), dtype=np.float32))
        file.set_image_stack()
        file.voxel_size = PIXEL_ANGSTROM
    np.savetxt(folder / f"{name}.tlt", np.linspace(-60, 60, N_TILTS), fmt="%.2f")
    turn = np.deg2rad(TURN_DEG)
    matrix = [np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)]
    np.savetxt(folder / f"{name}.xf", [[*matrix, *rng.uniform(-5, 5, 2)] for _ in range(N_TILTS)], fmt="%.5f")
    return {role: folder / f"{name}.{end}" for role, end in (("stack", "mrc"), ("angles", "tlt"), ("alignment", "xf"))}


def planned(workers: int, **given: Any) -> Survey:
    """The survey of a run on so many workers of one thread."""
    options = RunOptions(**{"output": "x.ome.zarr", "memory": WORKER_BYTES, "device": "cpu", "bin": 1, **given})
    return survey_run(options, size=ClusterSize(workers, 1, 1))


def recipes(series: dict[str, Any], models: Sequence[str]) -> Iterator[Callable[[int], Survey]]:
    """Each method in each arithmetic that this machine has, planned for any number of workers."""
    yield lambda n: planned(n, **series, method="fbp")
    for model in models:
        for precision in ("float32", "bfloat16"):
            yield lambda n, model=model, precision=precision: planned(n, **series, model=model, precision=precision)


def prepare_points(folder: Path, series: dict[str, Any]) -> list[Point]:
    """Preparation without binning and binned by 2 and 4; the first stays as the projections of the blocks."""
    points: list[Point] = []
    for binning in (1, 2, 4):
        survey = planned(1, **series, method="fbp", bin=binning)
        path, ramp = folder / f"projections-{binning}", ProjectionFilter(CosineRamp())
        task = PrepareTask(survey.series[0], path, binning, False, ramp, False, threads=1)
        with timed() as spent:
            prepare_stack(task)
        raw = float(np.prod(survey.series[0].stack.shape))
        points.append(([raw, float(np.prod(survey.layout.shape_tyx))], spent[0]))
    return points


def block_points(folder: Path, survey: Survey, store: ProjectionStore) -> tuple[Point, tuple[Point, Point]]:
    """The block in the middle of a plan: its computation by the cost model's units, its reading and its writing."""
    plan, reconstructor = survey.plan, survey.reconstructor
    block = plan.block(len(plan) // 2)
    layout = reconstructor.layout(block.volume_box, survey.series[0].tilts_deg)
    with timed() as reading:
        read = store.read_strips(layout)
    strips = Strips.of(layout, read, store.tilts_deg)
    if block.box.n_voxels < LARGE:
        reconstructor.voxels(block.volume_box, strips)  # kernels are made once
    with timed() as computing:
        voxels = reconstructor.voxels(block.volume_box, strips)[0]
    path = folder / f"{recipe_name(survey.recipe)} {plan.workers}.ome.zarr"
    create_tomogram(
        path,
        shape_zyx=survey.window.shape,
        voxel_angstrom=PIXEL_ANGSTROM,
        dtype="float32",
        chunk_zyx=plan.chunk_zyx,
        shard_zyx=plan.shard_zyx,
    )
    with timed() as writing:
        write_box(path, block.box, voxels)
    cost = reconstructor.cost(block.box.shape, layout)
    read_point: Point = ([1.0, float(strips_file_bytes(layout, survey))], reading[0])
    return ([1.0, cost], computing[0]), (read_point, ([1.0, float(voxels.nbytes)], writing[0]))


def pyramid_points(folder: Path) -> list[Point]:
    """Shards of a pyramid over noise, by the bytes that they are made of."""
    points: list[Point] = []
    for chunk, width in ((32, 128), (64, 256), (64, 512)):
        path, shape = folder / f"pyramid-{chunk}-{width}.ome.zarr", (2 * chunk, 2 * chunk, 2 * width)
        shard = (chunk, chunk, width)
        tomogram = create_tomogram(
            path,
            shape_zyx=shape,
            voxel_angstrom=PIXEL_ANGSTROM,
            dtype="float32",
            chunk_zyx=(chunk, chunk, chunk),
            shard_zyx=shard,
        )
        noise = np.random.default_rng(1).standard_normal(shape, dtype=np.float32)
        for index in tomogram.layout.shard_indices(0):
            box = tomogram.layout.shard_box(0, index)
            write_box(path, box, noise[box.slices])
        with timed() as spent:
            downsample_shard(path, 1, (0, 0, 0))
        points.append(([1.0, float(noise.nbytes)], spent[0]))
    return points


def client_seconds(folder: Path, n_tasks: int = 4000, n_series: int = 4) -> dict[str, float]:
    """Seconds of the client for a task (32 slots that do nothing), for a mark, and for a series that is tiny."""
    with open_cluster("threads:32") as workers:
        list(workers.map(abs, range(500), what="a task"))
        with timed() as tasks:
            list(workers.map(abs, range(n_tasks), what="a task"))
    journal, marks = Journal.open(folder / "journal"), []
    for number in range(300):
        began = time.monotonic()
        journal.append(f"block/all/{number}", {"written": [{"checksum": "0" * 8, "statistics": [0.5] * 5}]})
        marks.append(time.monotonic() - began)
    journal.close()
    each, n_blocks = [], 0
    with open_cluster("local:1") as workers:
        for number in range(n_series):
            given = {**write_series(folder, 96, f"tiny-{number}"), "method": "fbp", "cluster": "local:1"}
            options = RunOptions(**given, output=folder / f"tiny-{number}.ome.zarr")
            with timed() as spent:
                result = reconstruct_series(options, workers=workers.shared_at(-number, among=1))
            each.append(spent[0])
            n_blocks = result.figures["blocks"]
    per_task = tasks[0] / n_tasks
    series = max(0.0, median(each[1:]) - (n_blocks + 2) * per_task)
    print(f"client: {each} s of the processor for series of {n_blocks} blocks")
    return {"per_task": rounded(per_task), "per_mark": rounded(median(marks)), "per_series": rounded(series)}


@contextmanager
def timed() -> Iterator[list[float]]:
    """Seconds of this process' processor time that a block took, once it is over."""
    spent: list[float] = []
    began = time.process_time()
    yield spent
    spent.append(time.process_time() - began)


def fitted(name: str, points: Sequence[Point]) -> tuple[float, ...]:
    """Seconds for each term, none below zero, with the least relative errors; prints how well they fit."""
    terms, seconds = np.array([t for t, _ in points]), np.array([s for _, s in points])
    scale = terms.max(axis=0)
    found, _ = nnls(terms / scale / seconds[:, None], np.ones(len(points)))
    told = (terms / scale) @ found
    for (given, took), guess in zip(points, told, strict=True):
        print(f"{name}: {', '.join(f'{g:.4g}' for g in given)}: {took:.3f} s, by the fit {guess:.3f} s")
    return tuple(rounded(value) for value in found / scale)


def rounded(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")


def processor() -> str:
    """The processor's name."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({os.cpu_count()} processors)"


if __name__ == "__main__":
    main()
