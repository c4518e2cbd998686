"""`batch run`, `status` and `retry` as they are typed; killed, a batch ends as one that was left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from run_support import fingerprint_of_files, write_series

from cryolithe_stream.batch import read_outcomes
from cryolithe_stream_cli.main import main

REPOSITORY = Path(__file__).resolve().parents[2]
REAL = REPOSITORY / "examples" / "empiar-10499"


def typed(*words: object) -> list[str]:
    return [sys.executable, "-m", "cryolithe_stream_cli", *map(str, words)]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "cli")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def call(*words: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(typed(*words), env=environment(), capture_output=True, text=True, timeout=timeout)


def series_in(folder: Path, n: int) -> Path:
    for number in range(n):
        write_series(folder / f"TS_{number:02d}", n_tilts=9, shape_yx=(140, 140), seed=number)
    return folder


def tomograms(out: Path) -> dict[str, Path]:
    """Finished ones; those in workspaces lie deeper."""
    return {str(p.relative_to(out)): p for p in sorted(out.glob("*/*.ome.zarr"))}


def kill_when(words: list[str], out: Path, n_complete: int, seconds: float) -> None:
    """Start a batch in a group of its own and kill all of it once so many tomograms are complete."""
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + seconds
    while len(tomograms(out)) < n_complete and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.poll() is None, "the batch ended before it was killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def killed_and_clean(tmp_path: Path, source: Path, kills: tuple[int, ...], *options: str, seconds: float = 240) -> int:
    """Run a batch with kills and one without; returns how many tomograms both made, byte by byte the same."""
    clean = call("batch", "run", source, "-o", tmp_path / "clean", "--cluster", "threads:2", *options, timeout=seconds)
    assert clean.returncode == 0, clean.stderr
    out = tmp_path / "out"
    words = typed("batch", "run", source, "-o", out, "--cluster", "local:2", *options)
    for n_complete in kills:
        kill_when(words, out, n_complete, seconds)
    last = call(*words[3:], timeout=seconds)
    assert last.returncode == 0, last.stderr
    made, wanted = tomograms(out), tomograms(tmp_path / "clean")
    assert made.keys() == wanted.keys()
    for name, path in made.items():
        assert fingerprint_of_files(path) == fingerprint_of_files(wanted[name]), name
    assert not list(out.rglob("*.partial"))
    counted = last.stdout.splitlines()[-1]
    n_before = int(counted.split(", ")[2].split()[0])
    assert n_before >= kills[-1] - 3, "only of those that were under way something was left to do"
    assert counted == f"{len(made) - n_before} done, 0 failed, {n_before} skipped"
    return len(made)


@pytest.mark.timeout(300)
def test_a_batch_that_is_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    source = series_in(tmp_path / "in", 5)
    assert killed_and_clean(tmp_path, source, (1, 3), "--method", "fbp", "--thickness", "40") == 5


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_twenty_series_and_a_real_one_killed_three_times(tmp_path: Path) -> None:
    source = series_in(tmp_path / "in", 20)
    (source / "real").mkdir()
    for name in ("ts254.mrc", "ts254.tlt", "ts254.xf"):
        (source / "real" / name).write_bytes((REAL / name).read_bytes())
    assert killed_and_clean(tmp_path, source, (1, 8, 15), "--thickness", "40", seconds=2400) == 21


def test_a_failed_series_gives_1_and_retry_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = series_in(tmp_path / "in", 3), tmp_path / "out"
    stack = source / "TS_01" / "ts.mrc"
    values = np.memmap(stack, np.float32, "r+", offset=1024)
    kept, values[100] = values[100], np.inf
    values.flush()
    options = ("--method", "fbp", "--thickness", "20", "--cluster", "threads:2")
    assert main(["batch", "run", str(source), "-o", str(out), *options]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "2 done, 1 failed, 0 skipped"
    assert "NaN or infinite" in told.err
    assert main(["batch", "status", str(out), "--json"]) == 0
    states = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert [entry["state"] for entry in states.values()] == ["done", "failed", "done"]
    assert main(["batch", "status", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 done, 1 failed, 0 begun, 0 waiting"
    before = read_outcomes(out)
    values[100] = kept
    values.flush()
    assert main(["batch", "retry", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 done, 0 failed, 2 skipped"
    after = read_outcomes(out)
    for name in states:
        assert after[name].status == "done"
        assert after[name] == before[name] or before[name].status == "failed", "how it was completed stays on record"


def test_what_cannot_be_run_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for words, part in (
        (["run", str(tmp_path / "empty"), "-o", str(tmp_path / "out")], "no tilt series was found under"),
        (["run", str(tmp_path / "none.yaml"), "-o", str(tmp_path / "out")], "none.yaml"),
        (["status", str(tmp_path)], "holds no batch"),
        (["retry", str(tmp_path)], "holds no batch"),
    ):
        assert main(["batch", *words]) == 2
        told = capsys.readouterr()
        assert part in told.err and len(told.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
