"""`batch simulate`: how long a batch would take on workers that nobody has yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli.show import duration, size, write_json
from cryolithe_stream_cli.tables import print_table

if TYPE_CHECKING:
    from cryolithe_stream.batch.imagined import Kind
    from cryolithe_stream.batch.simulation import Simulated
    from cryolithe_stream.run.survey import Survey

_COLUMNS = ("workers", "time", "idle", "disk", "client", "speed-up", "blocks", "read", "written", "needs")


def simulate(
    given: dict[str, Any],
    series: Annotated[
        int | None, typer.Option("--series", metavar="N", min=1, max=1_000_000, help="So many series, not on the disk.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option("--frames", metavar="VxYxX", help="Views, rows and columns of a stack: 41x1024x1024.")
    ] = None,
    workers: Annotated[
        str, typer.Option("--workers", metavar="N,N,…", help="Numbers of workers, one thread each.")
    ] = "1,2,4,8,16,32,64,128,256,512",
    at_once: Annotated[
        int | None, typer.Option("--at-once", metavar="N", min=1, max=64, help="As for batch run.")
    ] = None,
    costs: Annotated[
        Path | None,
        typer.Option("--costs", metavar="FILE", help="What benchmarks/costs.py measured; without it the shipped."),
    ] = None,
    bandwidth: Annotated[
        str | None,
        typer.Option(
            "--bandwidth", metavar="SIZE", help="Bytes a second of the file system that all share (2GB); else no limit."
        ),
    ] = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE|-", help="Also write JSON; - prints it.")
    ] = None,
) -> None:
    """How long a batch would take, by measured costs: a manifest's series, or --series of --frames at --pixel-size.

    Each number of workers is planned as `batch run` plans it and played through event by event. The column "needs" is
    what the file system would have to bring and take on average, with nothing cached; speed-up is over the first line.
    """
    from cryolithe_stream.batch.costs import SHIPPED, read_costs
    from cryolithe_stream.batch.imagined import parse_counts, simulated_batches

    kinds = _kinds(given, series, frames)
    measured = read_costs(costs.expanduser() if costs else SHIPPED)
    found = list(
        simulated_batches(
            kinds,
            measured,
            workers=parse_counts(workers),
            at_once=at_once,
            bytes_per_second=None if bandwidth is None else _bytes(bandwidth),
        )
    )
    if as_json is not None:
        content = {
            "costs": measured.model_dump(),
            "series": sum(kind.count for kind in kinds),
            "at_once": at_once,
            "bandwidth": None if bandwidth is None else _bytes(bandwidth),
            "results": [_described(batch, surveys, found[0][0]) for batch, surveys in found],
        }
        write_json(as_json, content)
    if as_json != "-":
        print_table(_COLUMNS, [_row(batch, surveys, found[0][0]) for batch, surveys in found], sys.stdout)
        n = sum(kind.count for kind in kinds)
        under_way = f"{at_once or 'one for each two workers'} at once"
        typer.echo(f"{n} series, {under_way}; costs: {measured.machine}, measured {measured.measured}")


def _kinds(given: dict[str, Any], series: int | None, frames: str | None) -> list[Kind]:
    from cryolithe_stream.batch import Orders, read_manifest
    from cryolithe_stream.batch.imagined import described_kind, kinds_of_jobs, parse_frames
    from cryolithe_stream.batch.plan import shared_options

    source, fix = given.pop("source"), "Name a manifest, or give --series, --frames and --pixel-size"
    options = shared_options(given)
    if source and (series is not None or frames is not None):
        raise InputError("a manifest was named, and series that are not on the disk were described", fix=fix)
    if source:
        return kinds_of_jobs(Orders(read_manifest(Path(source).expanduser()), options).jobs(Path()))
    if series is None or frames is None:
        raise InputError("what is to be simulated was not said", fix=fix)
    return [described_kind(series, parse_frames(frames), options)]


def _bytes(text: str) -> int:
    from cryolithe_stream.run.parse import parse_bytes

    try:
        return parse_bytes(text.removesuffix("/s"))
    except ValueError as error:
        raise InputError(f"--bandwidth: got {text!r}, {error}", fix="Write it as 2GB") from error


def _described(batch: Simulated, surveys: Sequence[Survey], first: Simulated) -> dict[str, Any]:
    return {
        "workers": batch.workers,
        "makespan_seconds": batch.makespan_s,
        "idle_share": batch.idle_share,
        "disk_wait_share": batch.disk_share,
        "client_share": batch.client_share,
        "speed_up": first.makespan_s / batch.makespan_s,
        "worker_seconds": batch.busy_s,
        "tasks": batch.tasks,
        "bytes_read": batch.bytes_read,
        "bytes_written": batch.bytes_written,
        "bytes_per_second": batch.bytes_per_second,
        "plans": [
            {"blocks": len(s.plan), "block_zyx": list(s.plan.block_zyx), "volume_zyx": list(s.window.shape)}
            for s in surveys
        ],
    }


def _row(batch: Simulated, surveys: Sequence[Survey], first: Simulated) -> tuple[str, ...]:
    plan = surveys[0].plan
    return (
        f"{batch.workers}",
        duration(batch.makespan_s),
        f"{100 * batch.idle_share:.1f} %",
        f"{100 * batch.disk_share:.1f} %",
        f"{100 * batch.client_share:.1f} %",
        f"{first.makespan_s / batch.makespan_s:.4g}",
        f"{len(plan)} × {'×'.join(map(str, plan.block_zyx))}",
        size(batch.bytes_read),
        size(batch.bytes_written),
        f"{size(batch.bytes_per_second)}/s",
    )
