"""The program `cryolithe-stream`: its commands, and how it ends."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from cryolithe_stream_cli.batch import batch
from cryolithe_stream_cli.cluster import cluster
from cryolithe_stream_cli.doctor import doctor
from cryolithe_stream_cli.empiar import empiar
from cryolithe_stream_cli.evaluate import evaluate
from cryolithe_stream_cli.export import export
from cryolithe_stream_cli.faults import INTERRUPTED, report, warnings_as_lines
from cryolithe_stream_cli.fsc import fsc
from cryolithe_stream_cli.info import info
from cryolithe_stream_cli.models import models
from cryolithe_stream_cli.run import plan, run
from cryolithe_stream_cli.simulate import simulate
from cryolithe_stream_cli.train import train
from cryolithe_stream_cli.verify import verify

_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, context_settings=_HELP)
app.command()(run)
app.command()(plan)
app.command()(info)
app.command()(export)
app.command()(simulate)
app.command()(train)
app.command()(evaluate)
app.command()(fsc)
app.command()(verify)
app.add_typer(batch, name="batch")
app.command()(doctor)
app.add_typer(models, name="models")
app.add_typer(cluster, name="cluster")
app.add_typer(empiar, name="empiar")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("cryolithe-stream")
        except PackageNotFoundError:
            number = "not installed, run from its source"
        typer.echo(f"cryolithe-stream {number}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    """Aligned tilt series in, denoised and missing-wedge-corrected OME-Zarr tomograms out."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 the user's input, 1 anything else, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        with warnings_as_lines():
            code = app(words, prog_name="cryolithe-stream", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        return report(KeyboardInterrupt() if isinstance(error, typer.Abort) else error, debug=debug)
    if code == INTERRUPTED:
        return report(KeyboardInterrupt(), debug=False)
    return code if isinstance(code, int) else 0


def program() -> None:
    """The entry point: runs `main` and leaves with its exit code.

    A scheduler's SIGTERM and a closed terminal stop it as Ctrl-C does. After a fault or an interruption it leaves at
    once: threads that are deep in a computation would hold it up.
    """
    sys.stdout, sys.stderr = _writable(sys.stdout), _writable(sys.stderr)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP, and so it stays
            signal.signal(number, _interrupt)
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # whoever read it has gone
        code = code or 1
    if code:
        os._exit(code)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _writable(stream: TextIO | None) -> TextIO:
    """The stream, never failing on a character that it lacks; one that was closed is nowhere."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream
