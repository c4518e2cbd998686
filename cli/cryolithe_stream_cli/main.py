"""The program `cryolithe-stream`: its commands, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cryolithe_stream_cli.export import export
from cryolithe_stream_cli.faults import INTERRUPTED, report, warnings_as_lines
from cryolithe_stream_cli.info import info
from cryolithe_stream_cli.models import models
from cryolithe_stream_cli.run import plan, run

_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, context_settings=_HELP)
app.command()(run)
app.command()(plan)
app.command()(info)
app.command()(export)
app.add_typer(models, name="models")


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

    After a fault or an interruption it leaves at once: threads that are deep in a computation would hold it up.
    """
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        os._exit(code)
