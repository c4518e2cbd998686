"""Fixtures of the run tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cluster_support import environment
from object_store_support import GIVEN, SHAPE_YX
from run_support import options, write_model, write_series
from s3_support import objects

from cryolithe_stream.run import reconstruct_series


@pytest.fixture
def series(tmp_path: Path) -> dict[str, Any]:
    return write_series(tmp_path / "data")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "small.safetensors")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch system of one machine: jobs start at once, in the order in which they come."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        '#!/bin/sh\ncp "$1" "job.$$.sh"\nsetsid sh "job.$$.sh" >"worker.$$.log" 2>&1 &\n'
        'echo "$!" >>jobs\necho "Submitted batch job $!"\n'
    )
    (folder / "scancel").write_text('#!/bin/sh\nkill -TERM -- "-$1"\n')
    for command in folder.iterdir():
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """A series, and its tomogram in a local folder."""
    folder = tmp_path_factory.mktemp("made")
    series = write_series(folder / "in", n_tilts=9, shape_yx=SHAPE_YX)
    reconstruct_series(options(folder / "t.ome.zarr", **series, **GIVEN))
    return series, folder / "t.ome.zarr"


@pytest.fixture
def whole(made, files, out) -> dict[str, bytes]:
    """A tomogram at `out` as its run left it: its objects."""
    _, local = made
    files.put(str(local), out[5:], recursive=True)
    return objects(files, out[5:])
