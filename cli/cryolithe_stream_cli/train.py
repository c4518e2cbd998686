"""`train`: a configuration in, a model out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli.crew import crew_for
from cryolithe_stream_cli.flags import CLUSTER_FLAGS, takes_options
from cryolithe_stream_cli.progress import progress_on, standard_error


@takes_options(CLUSTER_FLAGS)
def train(
    given: dict[str, Any],
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="What to train on, and how.")],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="Folder of the model, its log and its checkpoint.")
    ],
    minutes: Annotated[
        float | None, typer.Option("--minutes", metavar="M", help="Stop after M minutes, to be continued.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew where another training stands.")] = False,
    device: Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to train.")] = "auto",
    threads: Annotated[
        int | None, typer.Option("--threads", metavar="N", min=1, help="Processor threads (default: all).")
    ] = None,
) -> None:
    """Train a network. The same command again continues a training that was stopped.

    With --cluster its simulated specimens are made by workers, before the training begins here.
    """
    from cryolithe_stream.train.options import read_options

    options = read_options(config)  # judged before anything heavy is loaded
    if not output.strip():
        raise InputError("--output is empty", fix="Name a folder")
    if minutes is not None and not minutes > 0:
        raise InputError(f"--minutes is {minutes:g}, it must be above 0", fix="Give a number of minutes")
    from cryolithe_stream.simulate import IN_TURN
    from cryolithe_stream.train import train_model

    with progress_on(standard_error()) as progress:
        result = train_model(
            options,
            Path(output),
            progress,
            minutes=minutes,
            overwrite=overwrite,
            device=device,
            threads=threads,
            workers=crew_for(progress.message, given) or IN_TURN,
        )
    if os.environ.get("RANK", "0") != "0":  # of the processes that torchrun started, one speaks
        return
    if result.model is None:
        typer.echo(f"{result.status} after step {result.step} of {options.steps}; the same command continues")
    else:
        typer.echo(f"{result.status}: {result.model}")
