"""The disk of the output fills up during a run: one line, nothing half-written, and the same command continues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cluster_support import program
from fault_support import FEW, MANY, MEMORY, N_MANY, blocks_done, few, fill, hashes, many, started, wait_until

from cryolithe_stream_cli.main import main

LIMIT_S = 280


def filled_and_clean(tmp_path: Path, disk: Path, words: list[str], cluster: list[str], *, n_before: int) -> int:
    """Fill the disk under a run, free it, run again; returns how many blocks the first run had finished."""
    clean, out = tmp_path / "clean.ome.zarr", disk / "out.ome.zarr"
    assert main(["run", *words, *cluster, "-o", str(clean)]) == 0
    with started("run", *words, *cluster, "-o", out) as first:
        wait_until(lambda: len(blocks_done(out)) >= n_before, first)
        filler = fill(disk)
        _, told = first.communicate(timeout=100)
    assert first.returncode == 2, told
    errors = [line for line in told.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "the disk is full" in errors[0] and "Traceback" not in told
    assert not out.exists()
    kept = blocks_done(out)
    assert n_before <= len(kept)
    assert not list(disk.rglob("c/**/*.partial")), "a failed write leaves nothing behind"
    still = program("run", *words, *cluster, "-o", str(out))
    assert still.returncode == 2 and "the disk is full" in still.stderr
    assert blocks_done(out) == kept
    filler.unlink()
    assert main(["run", *words, *cluster, "-o", str(out)]) == 0
    assert hashes(out) == hashes(clean) != {}
    assert not out.with_name(out.name + ".partial").exists()
    return len(kept)


@pytest.mark.timeout(LIMIT_S)
def test_a_run_tells_it_in_one_line_and_continues_when_there_is_room(
    tmp_path: Path, mounted: Callable[[str], Path]
) -> None:
    words = [*few(tmp_path / "in", n_tilts=61), *FEW]
    assert filled_and_clean(tmp_path, mounted("size=80m"), words, ["--cluster", "threads:2"], n_before=2) < 8


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_hundreds_of_blocks_on_worker_processes(tmp_path: Path, mounted: Callable[[str], Path]) -> None:
    words, cluster = [*many(tmp_path / "in"), *MANY], ["--cluster", "local:2", "--memory", MEMORY["local:2"]]
    assert filled_and_clean(tmp_path, mounted("size=200m"), words, cluster, n_before=80) < N_MANY
