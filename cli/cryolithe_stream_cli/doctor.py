"""`doctor`: whether the workers of a cluster can do the work, and what to do about it."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import InputError, OutputError
from cryolithe_stream_cli.crew import cluster_options
from cryolithe_stream_cli.flags import CLUSTER_HELP
from cryolithe_stream_cli.show import size

if TYPE_CHECKING:
    from cryolithe_stream.run.doctor import Diagnosis


def doctor(
    cluster: Annotated[str, typer.Option("--cluster", metavar="CLUSTER", help=CLUSTER_HELP)] = "local",
    workers: Annotated[
        str | None,
        typer.Option("--workers", metavar="N", help="Worker processes of a batch system, cuda or FILE.yaml."),
    ] = None,
    wait: Annotated[int, typer.Option("--wait", metavar="SECONDS", min=1, help="How long to wait for workers.")] = 60,
    to_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write all that was found as JSON; - for the terminal.")
    ] = None,
) -> None:
    """Check every worker of a cluster: devices, memory, temporary space, versions. Exit code 1: something is wrong."""
    options = cluster_options({"cluster": cluster, "workers": workers})
    target = None if to_json in (None, "-") else Path(str(to_json))
    if target is not None and not target.parent.is_dir():
        raise OutputError(f"{target.parent} is not an existing folder", fix="Create it, or name another file")
    if target is not None and target.is_dir():
        raise InputError(f"{target} is a folder", fix="Name a file")
    import torch

    from cryolithe_stream.run.doctor import examine

    diagnosis = examine(
        options.cluster,
        gpus=torch.cuda.device_count(),
        scale=options.scale,
        wait_s=wait,
        tell=partial(typer.echo, err=True),
    )
    text = json.dumps(diagnosis.to_json(), indent=2, allow_nan=False) + "\n"
    if target is not None:
        target.write_text(text, encoding="utf-8")
    if to_json == "-":
        sys.stdout.write(text)
    else:
        _show(diagnosis)
    if diagnosis.faults:
        raise typer.Exit(1)


def _show(diagnosis: Diagnosis) -> None:
    """One row for this machine and for each worker, then what is wrong and what to do."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"cluster {escape(diagnosis.cluster)}", title_justify="left")
    for column in ("worker", "machine", "devices", "tasks", "memory", "temporary", "python", "torch", "zarr", "dask"):
        table.add_column(column, overflow="fold")
    table.add_column("cryolithe-stream", overflow="fold")
    table.add_row("(here)", *(escape(cell) for cell in _cells(diagnosis.here)), end_section=True)
    wrong = {fault.worker for fault in diagnosis.faults}
    for name, facts in diagnosis.workers.items():
        cells = ["could not be examined"] if "error" in facts else _cells(facts)
        table.add_row(escape(name), *(escape(cell) for cell in cells), style="red" if name in wrong else None)
    console = Console(file=sys.stdout, highlight=False)
    console.print(table)
    told: dict[tuple[str, str], list[str]] = {}
    for fault in diagnosis.faults:
        told.setdefault((fault.what, fault.fix), []).append(fault.worker)
    for (what, fix), names in told.items():
        who = f"worker {', '.join(names)}: " if any(names) else ""
        console.print(f"wrong: {who}{what}. {fix}.", markup=False, soft_wrap=True)
    n = len(diagnosis.workers)
    if not told:
        console.print(f"{n} worker{'s' if n > 1 else ''}: nothing is wrong")


def _cells(facts: dict[str, Any]) -> list[str]:
    """The columns after the worker's name."""
    versions = {name: version or "-" for name, version in facts["versions"].items()}
    devices = ", ".join(f"{gpu['name']} ({size(gpu['memory_bytes'])})" for gpu in facts["cuda"])
    limit = facts.get("memory_limit_bytes")
    memory = f"{size(limit)} each" if limit else f"{size(facts['memory_free_bytes'])} free"
    return [
        facts["host"],
        devices or f"CPU, {facts['cores']} threads",
        str(facts.get("slots", "-")),
        memory,
        f"{size(facts['temporary_free_bytes'])} free",
        *(versions[name] for name in ("python", "torch", "zarr")),
        versions["distributed"],
        versions["cryolithe-stream"],
    ]
