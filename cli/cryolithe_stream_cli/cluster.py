"""`cluster`: what a cluster word would start."""

from __future__ import annotations

from typing import Annotated

import typer

from cryolithe_stream.errors import InputError

cluster = typer.Typer(no_args_is_help=True, help="Look at clusters before they are used.")


@cluster.callback()
def _group() -> None:
    """Look at clusters before they are used."""


@cluster.command("script")
def script(
    spec: Annotated[str, typer.Argument(metavar="CLUSTER", help="slurm|lsf|pbs|sge[:key=value,…]")],
) -> None:
    """Print the job script of one job of a batch system; nothing is submitted."""
    from cryolithe_stream.run.cluster_words import read_word

    try:
        word = read_word(spec)
    except ValueError as error:
        raise InputError(f"the cluster {spec[:100]!r} is wrong: {error}", fix="Correct it") from error
    if word.kind != "queue":
        raise InputError(f"{word} submits no jobs", fix="Name slurm, lsf, pbs or sge with its settings")
    from cryolithe_stream.run.queues import job_script

    typer.echo(job_script(word).rstrip("\n"))
