"""A small series, and runs of it into an object store and from addresses."""

from __future__ import annotations

from pathlib import Path

from run_support import options
from s3_support import objects

from cryolithe_stream.run import reconstruct_series
from cryolithe_stream_cli.main import main

GIVEN = {"method": "fbp", "thickness": 20}
SHAPE_YX = (60, 130)


def voxels(files, out: str) -> dict[str, bytes]:
    return {name: data for name, data in objects(files, out[5:]).items() if "/c/" in name}


def run(out: str, folder: Path, series, **given):
    return reconstruct_series(options(out, **{**series, **GIVEN, "workspace": folder, **given}))


def refused(arguments: list[str], capsys) -> tuple[int, str]:
    """The exit code of a command, and its one line of standard error that is an error."""
    code = main(arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, lines
    return code, lines[0]


def arguments(series, out: str, folder: Path, *more: str) -> list[str]:
    given = ["run", str(series["stack"]), "--angles", str(series["angles"]), "--method", "fbp", "--thickness", "20"]
    return [*given, "--cluster", "threads", "--workspace", str(folder), "-o", out, *more]
