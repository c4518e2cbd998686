"""Signals, closed streams, names and folders that a command line meets."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from cryolithe_stream.store import Ledger, create_tomogram, finish_tomogram
from cryolithe_stream_cli.faults import report
from cryolithe_stream_cli.main import main

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "cryolithe_stream_cli"]
LINE = "error: interrupted; the same command continues where it stopped\n"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", "OMP_NUM_THREADS": "1", **more}


@pytest.fixture
def words(tmp_path):
    """The options of a run that takes long: a stack of noise, patch by patch."""
    noise = np.random.default_rng(0).normal(300, 20, (11, 96, 96)).astype(np.float32)
    with mrcfile.new(tmp_path / "ts.mrc") as file:
        file.set_data(noise)
        file.voxel_size = 10.0
    np.savetxt(tmp_path / "ts.tlt", np.linspace(-50, 50, 11), fmt="%.1f")
    return ["run", str(tmp_path / "ts.mrc"), "--engine", "exact", "--device", "cpu", "-o", str(tmp_path / "o.ome.zarr")]


def stopped(words: list[str], after: str, wait: float, how: int, times: int = 1) -> tuple[int, str]:
    """Exit code, and what stood on standard error after the signal went to the whole group, as a terminal sends it."""
    with subprocess.Popen(
        [*PROGRAM, *words], stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                break
        time.sleep(wait)
        for _ in range(times):
            os.killpg(process.pid, how)
            time.sleep(0.2)
        rest = process.communicate(timeout=60)[1]
    deadline = time.monotonic() + 20
    while alive(process.pid):
        assert time.monotonic() < deadline, "processes are left behind"
        time.sleep(0.1)
    progress = ("preparing", "reconstructing", "pyramid", "dashboard")
    return process.returncode, "".join(line for line in rest.splitlines(keepends=True) if not line.startswith(progress))


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("wait", [0.3, 1.5])
def test_ctrl_c_while_workers_start_is_one_line_and_leaves_no_process(words, wait):
    assert stopped([*words, "--cluster", "local:2"], "voxels", wait, signal.SIGINT) == (130, LINE)


def test_ctrl_c_again_and_again_is_one_line(words):
    assert stopped([*words, "--cluster", "local:2"], "reconstructing", 0.3, signal.SIGINT, times=4) == (130, LINE)


def test_a_schedulers_sigterm_is_an_interruption(words):
    assert stopped([*words, "--cluster", "threads"], "reconstructing", 0.1, signal.SIGTERM) == (130, LINE)


def shell(command: str, **more: str) -> subprocess.CompletedProcess[str]:
    line = f"{sys.executable} -m cryolithe_stream_cli {command}"
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment(**more), check=False)


def test_closed_streams_are_no_fault(example, tmp_path):
    stack = example / "ts254.mrc"
    assert shell(f"info {stack} >&-").returncode == 0
    assert shell(f"info {tmp_path / 'absent'} 2>&-").returncode == 2
    piped = shell(f"info --json {stack} | true")
    assert "Traceback" not in piped.stderr


def test_characters_that_the_terminal_lacks(example):
    result = shell(f"info {example / 'ts254.mrc'}", PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "number", [errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.ENOSPC, errno.EACCES, errno.EIO]
)
def test_faults_of_paths_and_disks_are_the_users_and_say_what_to_do(capsys, number):
    assert report(OSError(number, os.strerror(number), "x.mrc"), debug=False) == 2
    assert capsys.readouterr().err.count(". ") == 1


def test_info_of_a_run_that_has_not_ended(tmp_path, capsys):
    with Ledger.create(tmp_path / "x.ome.zarr.partial", {"voxels": {"bin": 2}}, "f") as ledger:
        ledger.mark("prepared", {})
        ledger.mark("block/all/0", {})
    assert main(["info", "--json", str(tmp_path / "x.ome.zarr.partial")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["prepared"], told["blocks_done"], told["voxels"]) == (True, 1, {"bin": 2})


def test_export_writes_mrc_names_in_folders_that_exist(tmp_path, capsys):
    path = tmp_path / "t.ome.zarr"
    create_tomogram(
        path, shape_zyx=(8, 8, 8), voxel_angstrom=10.0, dtype="float32", chunk_zyx=(8, 8, 8), shard_zyx=(8, 8, 8)
    )
    finish_tomogram(path, {})
    for target, fault in [("x.ome.zarr", "ends in .mrc"), ("absent/x.mrc", "absent is not an existing folder")]:
        assert main(["export", str(path), str(tmp_path / target)]) == 2
        assert fault in capsys.readouterr().err
    assert main(["export", str(path), str(tmp_path / "x.mrc")]) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.ome.zarr", "x.mrc"]


def test_convert_overwrites_when_asked(tmp_path, capsys):
    target = tmp_path / "m.safetensors"
    for more in ([], ["--overwrite"]):
        assert main(["models", "convert", "default", str(target), *more]) == 0
    assert main(["models", "convert", "default", str(tmp_path / "absent" / "m.safetensors")]) == 2
    assert "is not an existing folder" in capsys.readouterr().err
