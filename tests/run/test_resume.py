"""Killed at any moment and started again with the same command, a run ends with the same voxels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from run_support import fingerprint_of_files, options, write_series, write_stack

from cryolithe_stream.errors import OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.run.progress import Silent
from cryolithe_stream.store import open_tomogram, read_ledger

REPOSITORY = Path(__file__).resolve().parents[2]


def command(series, model, out: Path, *more: str) -> list[str]:
    base = [
        sys.executable,
        "-m",
        "cryolithe_stream_cli",
        "run",
        str(series["stack"]),
        "--angles",
        str(series["angles"]),
    ]
    return [*base, "--model", str(model), "--thickness", "70", "--device", "cpu", "-o", str(out), *more]


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "cli")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def marks(out: Path) -> int:
    folder = out.with_name(out.name + ".partial")
    try:
        return len(read_ledger(folder).done)
    except Exception:  # the ledger is not there yet
        return 0


def kill_after(arguments: list[str], out: Path, n_marks: int, how: int) -> int:
    """Start a run, send a signal once the ledger has so many marks, return its exit code."""
    process = subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and marks(out) < n_marks and time.monotonic() < deadline:
        time.sleep(0.01)
    if how == signal.SIGKILL:
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    return process.wait(timeout=30)


@pytest.fixture
def big(tmp_path):
    return write_series(tmp_path / "big", n_tilts=21, shape_yx=(200, 200))


def test_sigkill_then_the_same_command_gives_the_same_voxels(big, model, tmp_path):
    clean, killed = tmp_path / "clean.ome.zarr", tmp_path / "killed.ome.zarr"
    done = subprocess.run(
        command(big, model, clean, "--cluster", "threads"), env=environment(), capture_output=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    for n in (1, 4, 7):
        code = kill_after(command(big, model, killed, "--cluster", "threads"), killed, n, signal.SIGKILL)
        assert code == -signal.SIGKILL, "the run ended before it was killed"
        assert not killed.exists()
    # another memory and other workers: the ledger keeps the plan
    last = subprocess.run(
        command(big, model, killed, "--cluster", "local:2", "--memory", "3GiB"),
        env=environment(),
        capture_output=True,
        timeout=200,
    )
    assert last.returncode == 0, last.stderr
    assert fingerprint_of_files(killed) == fingerprint_of_files(clean)
    again = subprocess.run(command(big, model, killed), env=environment(), capture_output=True, text=True, timeout=100)
    assert (again.returncode, "already complete" in again.stdout) == (0, True)


def test_interrupt_stops_within_seconds_with_130_and_continues(big, model, tmp_path):
    out = tmp_path / "t.ome.zarr"
    process_started = time.monotonic()
    code = kill_after(command(big, model, out, "--cluster", "local:2"), out, 4, signal.SIGINT)
    assert code == 130
    assert time.monotonic() - process_started < 100
    assert not out.exists()
    assert marks(out) >= 4
    finished = subprocess.run(
        command(big, model, out, "--cluster", "threads"), env=environment(), capture_output=True, timeout=200
    )
    assert finished.returncode == 0, finished.stderr


def test_a_stack_that_changed_in_place_is_refused(series, model, tmp_path):
    out = tmp_path / "t.ome.zarr"
    given = {**series, "model": str(model), "thickness": 12}
    assert reconstruct_series(options(out, **given)).status == "done"
    assert reconstruct_series(options(out, **given)).status == "already complete"
    os.utime(series["stack"])  # another time, the same content: hashed and accepted
    assert reconstruct_series(options(out, **given)).status == "already complete"
    write_stack(series["stack"], np.random.default_rng(9).standard_normal((13, 40, 56)).astype(np.float32))
    with pytest.raises(OutputError, match="content"):
        reconstruct_series(options(out, **given))
    assert reconstruct_series(options(out, **given, overwrite=True)).status == "done"


def test_other_options_are_refused_by_name(series, model, tmp_path):
    out = tmp_path / "t.ome.zarr"
    reconstruct_series(options(out, **series, model=str(model), thickness=12))
    with pytest.raises(OutputError, match="thickness was 12, is 14"):
        reconstruct_series(options(out, **series, model=str(model), thickness=14))


def test_what_is_not_ours_is_never_deleted(series, model, tmp_path):
    out = tmp_path / "precious.ome.zarr"
    out.mkdir()
    (out / "data.txt").write_text("keep me")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not written by cryolithe-stream"):
            reconstruct_series(options(out, **series, model=str(model), overwrite=overwrite))
    assert (out / "data.txt").read_text() == "keep me"
    foreign = tmp_path / "theirs.mrc"
    foreign.write_bytes(series["stack"].read_bytes())
    with pytest.raises(OutputError):
        reconstruct_series(options(foreign, **series, model=str(model), overwrite=True))
    assert foreign.read_bytes() == series["stack"].read_bytes()


def test_a_second_client_is_refused(series, model, tmp_path):
    out = tmp_path / "t.ome.zarr"
    first = subprocess.Popen(
        command(series, model, out, "--cluster", "threads"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while marks(out) < 1:
            assert first.poll() is None
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)  # else it might be done before the second begins
        second = subprocess.run(
            command(series, model, out), env=environment(), capture_output=True, text=True, timeout=100
        )
    finally:
        first.send_signal(signal.SIGCONT)
        assert first.wait(timeout=100) == 0
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith("error:")


def test_provenance_says_what_was_done(series, model, tmp_path):
    out = tmp_path / "t.ome.zarr"
    reconstruct_series(options(out, **series, model=str(model), thickness=12))
    attributes = open_tomogram(out).attributes
    assert attributes["model"]["name"] == "small"
    assert attributes["versions"]["torch"]
    assert attributes["run"]["voxels"]["thickness"] == 12
    assert attributes["statistics"]["clipped"] == 0
    assert json.dumps(attributes)
    volume = open_tomogram(out).read_box(Box.whole((12, 40, 56)))
    assert attributes["statistics"]["mean"] == pytest.approx(float(volume.mean()), abs=1e-4)


def test_overwrite_replaces_another_reconstruction_and_continues_its_own(big, model, tmp_path):
    out = tmp_path / "t.ome.zarr"
    given = {**big, "model": str(model), "overwrite": True}
    assert reconstruct_series(options(out, **given, thickness=20)).status == "done"
    first = fingerprint_of_files(out)
    arguments = [*command(big, model, out, "--cluster", "threads"), "--overwrite"]
    assert kill_after(arguments, out, 5, signal.SIGKILL) == -signal.SIGKILL
    assert fingerprint_of_files(out) == first, "the old tomogram stands until the new one is whole"
    before = marks(out)
    with pytest.raises(OutputError, match="thickness was 20, is 70"):
        reconstruct_series(options(out, **{**given, "overwrite": False}, thickness=70))
    assert marks(out) == before
    assert reconstruct_series(options(out, **given, thickness=70)).status == "done"
    assert open_tomogram(out).shape_zyx[0] == 70
    assert reconstruct_series(options(out, **given, thickness=70)).status == "already complete"


@pytest.mark.parametrize("stage", ["volumes", "plan", "journal"])
def test_killed_while_it_cleared_up_a_run_is_complete(big, model, tmp_path, stage):
    """The tomogram has its name; of the workspace less and less is there."""
    out = tmp_path / "t.ome.zarr"
    given = {**big, "method": "fbp", "thickness": 70}
    folder = tmp_path / "t.ome.zarr.partial"
    kept = tmp_path / "kept"

    class Copies(Silent):
        def phase(self, name: str, total: int, unit: str) -> None:
            if name.startswith("pyramid"):
                shutil.copytree(folder, kept, dirs_exist_ok=True)

    reconstruct_series(options(out, **given), Copies())
    before = fingerprint_of_files(out)
    kept.rename(folder)
    left = {"volumes": (), "plan": ("journal.txt", "lock"), "journal": ("lock",)}[stage]
    for entry in folder.iterdir():
        if stage == "volumes" and entry.name in ("journal.txt", "lock", "plan.json"):
            continue
        if entry.name in left:
            continue
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    again = reconstruct_series(options(out, **given))
    assert again.status == ("done" if stage == "volumes" else "already complete")
    assert not folder.exists()
    assert fingerprint_of_files(out) == before
