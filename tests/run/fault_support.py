"""Runs that are long enough to be disturbed, started as they are typed, and what is left of them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from cluster_support import environment
from run_support import write_series

from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.run.workspace import Workspace
from cryolithe_stream.store import read_ledger

MANY = ("--method", "fbp", "--dtype", "float16", "--thickness", "264")
"""Options under which `many` gives 245 blocks of 64 × 64 × 64 voxels, with the memory of `MEMORY`."""
MEMORY = {"threads:2": "398MiB", "local:2": "392MiB"}
N_MANY = 245
FEW = ("--method", "fbp", "--thickness", "70")
"""Options under which `few` gives eight blocks with two workers."""


def many(folder: Path) -> list[str]:
    """The words that name a series for `MANY`."""
    return _words(write_series(folder, n_tilts=7, shape_yx=(416, 416)))


def few(folder: Path, n_tilts: int = 7) -> list[str]:
    """The words that name a series for `FEW`; blocks take longer with more tilts."""
    return _words(write_series(folder, n_tilts=n_tilts, shape_yx=(200, 200)))


def _words(series: dict[str, Any]) -> list[str]:
    return [str(series["stack"]), "--angles", str(series["angles"])]


@contextmanager
def started(*words: object, **more: str) -> Iterator[subprocess.Popen[str]]:
    """The command line in a process of its own; what is left of its group is killed when the block ends."""
    command = [sys.executable, "-m", "cryolithe_stream_cli", *map(str, words)]
    process = subprocess.Popen(
        command,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 200) -> None:
    """Wait for a condition while a process lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.01)


def blocks_done(out: Path) -> dict[str, Any]:
    """The marks of finished blocks in the workspace of an output, with what was recorded of each."""
    try:
        found = read_ledger(Workspace.of(out, halves=False).folder).done
    except CryolitheError:  # the ledger is not there yet
        return {}
    return {key: mark for key, mark in found.items() if key.startswith("block/")}


def hashes(out: Path) -> dict[str, str]:
    """SHA-256 of every file with voxels of a tomogram."""
    return {
        str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(out.rglob("*"))
        if p.is_file() and "/c/" in str(p)
    }


def fill(disk: Path) -> Path:
    """A file that takes all that is free on a disk."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        while free := shutil.disk_usage(disk).free:
            try:
                os.posix_fallocate(file.fileno(), file.tell(), free)
            except OSError:  # something else took a page meanwhile
                continue
            file.seek(0, os.SEEK_END)
    return filler


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """Worker processes that nannies started."""
    found = []
    for child in process.children(recursive=True):
        try:
            if "spawn_main" in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.Error:
            continue
    return found
