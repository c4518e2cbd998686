"""The method, start to end: survey, prepare, reconstruct block by block, build the pyramid, hand over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cryolithe_stream.errors import OutputError, RemoteError
from cryolithe_stream.plan import BlockPlan
from cryolithe_stream.run.cluster import Workers, open_cluster
from cryolithe_stream.run.estimate import Pace
from cryolithe_stream.run.inputs import looked_at
from cryolithe_stream.run.job import (
    BlockReport,
    BlockTask,
    Target,
    get_ready,
    reconstruct_block,
    sample,
    sample_boxes,
)
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.outputs import claim, create_volumes, hand_over, release, scaling_for
from cryolithe_stream.run.preparing import prepare_stacks, with_stacks_here
from cryolithe_stream.run.progress import Progress, Silent
from cryolithe_stream.run.pyramid import build_pyramid
from cryolithe_stream.run.readback import ROUNDS, damaged_blocks, unreadable
from cryolithe_stream.run.survey import Survey, survey_run
from cryolithe_stream.run.workspace import SetName, Workspace, already_complete, open_ledger
from cryolithe_stream.store import Ledger, Place, ProjectionStore, level_shapes, output_faults, remove_output

_INPUT = "input"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What `plan` tells: the survey of a run, and how long its blocks would take here."""

    survey: Survey

    def summary(self, pace: Pace | None = None) -> dict[str, Any]:
        """Blocks, strips, bytes read, peak memory and estimated time as JSON.

        The same `pace` for several plans times this machine once. No time is told where only the workers have the GPU
        that computes: `estimated_seconds` is None.
        """
        s, plan = self.survey, self.survey.plan
        levels = [] if s.options.output.suffix == ".mrc" else level_shapes(s.window.shape)
        itemsize = {"float32": 4, "float16": 2, "int16": 2}[s.options.dtype]
        speed = (pace or Pace()).voxels_per_second(s)
        return {
            "stack": str(s.options.stack),
            "tilts": s.series[0].n_tilts,
            "projections_tyx": list(s.layout.shape_tyx),
            "bin": s.bin,
            "voxel_angstrom": s.layout.pixel_angstrom,
            "thickness_from": s.thickness_from,
            "model": s.model.name if s.model else None,
            "method": s.recipe.method,
            "engine": s.recipe.engine if s.model else "fbp",
            "precision": s.recipe.precision,
            "device": s.recipe.device,
            **plan.summary(levels_zyx=levels, bytes_per_voxel=itemsize),
            "volumes": len(_workspace(s).volumes),
            "estimated_seconds": speed and plan.estimate_seconds(speed) * len(s.series),
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did: `status` is "done" or "already complete", `outputs` the finished tomograms."""

    status: str
    outputs: tuple[Place, ...]
    figures: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """The result as JSON."""
        return {"status": self.status, "outputs": [str(p) for p in self.outputs], **self.figures}


def plan_run(options: RunOptions) -> RunPlan:
    """The plan of a run, from headers only. Raises InputError for what cannot be run."""
    with looked_at(options) as inputs:
        return RunPlan(survey_run(options, inputs=inputs))


def reconstruct_series(
    options: RunOptions, progress: Progress | None = None, *, workers: Workers | None = None
) -> RunResult:
    """Reconstruct one tilt series; the same call continues what was interrupted.

    `workers` are shared with other series (see `Workers.shared_at`); without them a cluster is opened for this one.
    Raises InputError for what the user must change, OutputError for what stands in the way of the output.
    """
    with looked_at(options) as inputs:
        size, among = (None, 1) if workers is None else (workers.size, workers.among)
        return _run(survey_run(options, size=size, among=among, inputs=inputs), progress or Silent(), workers)


def _run(survey: Survey, progress: Progress, workers: Workers | None) -> RunResult:
    work = _workspace(survey)
    outputs = tuple(volume.final for volume in work.volumes)
    if already_complete(survey, work):
        return RunResult("already complete", outputs)
    _require_room(survey, work)
    with open_ledger(survey, work) as ledger, _removed_unless_prepared(work, ledger):
        work = _workspace(survey, ledger.plan.get("token", ""))
        plan = BlockPlan.from_json(ledger.plan["plan"]).with_resources(
            budget_bytes=survey.plan.budget_bytes, workers=survey.plan.workers
        )
        plan.check(survey.cluster.slots)
        claim(survey, work, ledger)
        progress.message(_describe(survey, plan))
        with _crew(survey, workers, progress) as crew:
            with output_faults(work.folder):
                _prepare(survey, work, ledger, crew, progress)
            crew.await_first(progress.message)
            _scale(survey, work, ledger, crew)
            create_volumes(survey, work, plan, ledger)
            figures = _reconstruct(survey, work, plan, ledger, crew, progress)
            for _ in range(ROUNDS):
                if not (damaged := damaged_blocks(work, plan, ledger, crew, progress)):
                    break
                _reconstruct(survey, work, plan, ledger, crew, progress, again=damaged)
            else:
                raise unreadable(work, 0)
            build_pyramid(work, ledger, crew, progress)
        hand_over(survey, work, plan, ledger, figures)
    remove_output(work.folder)
    return RunResult("done", outputs, figures)


@contextmanager
def _crew(survey: Survey, workers: Workers | None, progress: Progress) -> Iterator[Workers]:
    """The workers of a run: shared ones, of which only this run's work is given up, or its own cluster's."""
    if workers is not None:
        try:
            yield workers
        finally:
            workers.cancel()
        return
    options = survey.options
    with open_cluster(options.cluster, size=survey.cluster, scale=options.scale, dashboard=options.dashboard) as own:
        if own.dashboard:
            progress.message(f"dashboard: {own.dashboard}")
        own.warm_up(partial(get_ready, survey.recipe, survey.frame))
        yield own


def _workspace(survey: Survey, token: str = "") -> Workspace:
    options = survey.options
    halves = options.halves or len(survey.series) > 1
    return Workspace.of(options.output, halves=halves, within=options.workspace, token=token)


def targets(survey: Survey, work: Workspace) -> dict[SetName, Target]:
    """The projections to back-project and the volumes that each of them fills."""
    if len(survey.series) == 1:
        volumes = tuple(volume.unfinished.absolute() for volume in work.volumes)
        return {"all": Target(work.projections("all").absolute(), volumes)}
    return {
        volume.name: Target(work.projections(volume.name).absolute(), (volume.unfinished.absolute(),))
        for volume in work.volumes
    }


@contextmanager
def _removed_unless_prepared(work: Workspace, ledger: Ledger) -> Iterator[None]:
    """A context that removes the workspace when it fails before anything is prepared or fetched to continue with."""
    try:
        yield
    except BaseException:
        arrived = any(path.is_file() for path in (work.folder / _INPUT).rglob("*"))
        if "prepared" not in ledger.done() and not arrived:
            with suppress(OutputError, RemoteError):
                release(work, ledger)
            with suppress(OutputError):
                remove_output(work.folder)
        raise


def _prepare(survey: Survey, work: Workspace, ledger: Ledger, workers: Workers, progress: Progress) -> None:
    """Aligned, binned, normalised, filtered projections of every stack, unless they are already there and whole."""
    paths = [work.projections(name) for name in targets(survey, work)]
    if "prepared" in ledger.done():
        if all(ProjectionStore.is_whole(path) for path in paths):
            return
        progress.message("the prepared projections are not as they were written: they are prepared again")
    survey = with_stacks_here(survey, work.folder / _INPUT, ledger, progress)
    contents = [report.content_hash for report in prepare_stacks(survey, paths, workers, progress)]
    ledger.mark("prepared", {"contents": contents})
    with output_faults(work.folder):
        shutil.rmtree(work.folder / _INPUT, ignore_errors=True)


def _scale(survey: Survey, work: Workspace, ledger: Ledger, workers: Workers) -> None:
    """Settle how values become int16, from a few small boxes spread over the volume; nothing for floats."""
    if survey.options.dtype != "int16" or "scaling" in ledger.done():
        return
    target = next(iter(targets(survey, work).values()))
    look = partial(sample, survey.recipe, survey.frame, target)
    values = list(workers.map(look, sample_boxes(survey.window), what="a look at the values"))
    ledger.mark("scaling", {"scaling": scaling_for(values)})


def _reconstruct(
    survey: Survey,
    work: Workspace,
    plan: BlockPlan,
    ledger: Ledger,
    workers: Workers,
    progress: Progress,
    *,
    again: Set[str] = frozenset(),
) -> dict[str, Any]:
    """Every block that is not marked or to be made `again`, marked when its shards are written; the run's figures."""
    done = ledger.done().keys() - again
    wanted = targets(survey, work)
    total = len(plan) * len(wanted)
    progress.phase("reconstructing", total, "blocks")
    if finished := sum(key.startswith("block/") for key in done):
        progress.advance(finished)

    def missing() -> Iterator[BlockTask]:
        for name, target in wanted.items():
            for block in plan:
                key = f"block/{name}/{block.index}"
                if key not in done:
                    yield BlockTask(survey.recipe, survey.frame, target, block, key, survey.cluster.threads)

    peak, seconds, in_parts = 0, 0.0, 0
    for report in workers.map(reconstruct_block, missing(), what="a block"):
        _mark(ledger, report)
        peak, seconds = max(peak, report.peak_bytes), seconds + report.seconds
        if report.parts > 1 and not in_parts:
            progress.message("a worker has less memory free than planned: its blocks are computed in parts")
        in_parts += report.parts > 1
        progress.advance(1, report.n_voxels)
    return {
        "blocks": total,
        "projected_peak_bytes": plan.peak_bytes,
        "measured_peak_bytes": peak,
        "block_seconds": round(seconds, 3),
        "blocks_in_parts": in_parts,
    }


def _mark(ledger: Ledger, report: BlockReport) -> None:
    ledger.mark(report.key, {"written": [written.to_json() for written in report.written]})


def _describe(survey: Survey, plan: BlockPlan) -> str:
    nz, ny, nx = survey.window.shape
    chosen = f" (binned by {survey.bin} for the model)" if survey.bin > 1 and survey.options.bin is None else ""
    what = f"model {survey.model.name}" if survey.model else "filtered back-projection"
    return (
        f"{nz} × {ny} × {nx} voxels (z, y, x) of {survey.layout.pixel_angstrom:.4g} Å{chosen}, thickness from "
        f"{survey.thickness_from}; {what}, {survey.recipe.precision} on {survey.recipe.device}; {len(plan)} blocks"
    )


def _require_room(survey: Survey, work: Workspace) -> None:
    """Raise OutputError when the folder is missing or its disk has not the room that the run will take there."""
    parent = work.folder.parent
    if not parent.is_dir():
        name = "another output" if isinstance(survey.options.output, Path) else "another --workspace"
        raise OutputError(f"{parent} is not an existing folder", fix=f"Create it, or name {name}")
    itemsize = {"float32": 4, "float16": 2, "int16": 2}[survey.options.dtype]
    n_here = sum(isinstance(volume.final, Path) for volume in work.volumes)
    volume = survey.window.n_voxels * itemsize * n_here * 8 // 7
    tilts, rows, width = survey.layout.shape_tyx
    needed = volume + tilts * rows * width * 4 * 2 * len(survey.series)
    free = shutil.disk_usage(parent).free
    if free < needed and not work.folder.exists():
        raise OutputError(
            f"the run takes up to {needed / 1e9:.3g} GB, the disk of {parent} has {free / 1e9:.3g} GB free",
            fix="Make room, or use --bin, --roi or --dtype float16",
        )
