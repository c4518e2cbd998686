"""What the doctor says of real workers, and of each thing that may be wrong with one."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cluster_support import program, scheduler
from distributed.protocol.pickle import dumps

from cryolithe_stream.run.doctor import crowded, judge
from cryolithe_stream.run.probe import make_probe


@pytest.fixture(scope="module")
def here():
    return make_probe(str(Path.cwd()))()


@pytest.fixture
def worker(here):
    """This machine as a sound worker."""
    return {**copy.deepcopy(here), "slots": 1, "memory_limit_bytes": 2 << 30, "gpu_resource": len(here["cuda"])}


def test_a_sound_worker(worker, here):
    assert judge("0", worker, here) == []
    assert crowded({"0": worker}) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"error": "OSError: gone"}, "could not be examined (OSError: gone)"),
        ({"gpu_resource": 1, "cuda": []}, "declares a GPU and torch sees none"),
        ({"gpu_resource": 0, "cuda": [{"name": "A", "memory_bytes": 1}] * 2}, "sees 2 GPUs and declares none"),
        ({"memory_limit_bytes": 300 << 20}, "may use 300 MiB, a worker takes 640 MiB"),
        ({"temporary_free_bytes": 5 << 20}, "has 5 MiB free"),
        ({"sees_folder": False}, "does not see the folder"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(worker, here, change, what):
    (fault,) = judge("7", {**worker, **change}, here)
    assert what in fault.what
    assert (fault.worker, bool(fault.fix)) == ("7", True)


@pytest.mark.parametrize(
    ("package", "version", "wrong"),
    [
        ("python", "3.10.9", True),
        ("torch", None, True),
        ("torch", "0.1.0", True),
        ("distributed", "2020.1.1", True),
        ("cryolithe-stream", None, True),
        ("zarr", "same.9", False),
    ],
)
def test_versions_that_matter(worker, here, package, version, wrong):
    if version == "same.9":
        version = ".".join(here["versions"][package].split(".")[:2]) + ".999"
    worker["versions"][package] = version
    faults = judge("0", worker, here)
    assert len(faults) == wrong
    assert all(package in fault.what for fault in faults)


def test_machines_that_are_crowded(worker):
    many = {str(i): {**worker, "slots": 999, "memory_limit_bytes": worker["memory_bytes"]} for i in range(2)}
    assert ["tasks at once" in f.what for f in crowded(many)] == [False, True]


def test_the_probe_runs_where_this_package_is_not_installed():
    code = "import sys, pickle; sys.modules['cryolithe_stream'] = None; print(pickle.load(sys.stdin.buffer)()['cores'])"
    sent = dumps(make_probe("/"))
    found = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, timeout=100, check=True)
    assert int(found.stdout) == make_probe("/")()["cores"]


def test_local_workers_are_well_and_a_table_says_so():
    found = program("doctor", "--cluster", "local:1")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "1 worker: nothing is wrong" in found.stdout


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the GPU that the worker declares")
def test_a_worker_that_declares_a_gpu_it_has_not(tmp_path):
    with scheduler(tmp_path, "--nthreads 1 --name liar --resources GPU=1") as file:
        target = tmp_path / "found.json"
        found = program("doctor", "--cluster", f"file:{file}", "--json", str(target))
    assert found.returncode == 1
    assert "wrong: worker liar: it declares a GPU and torch sees none" in found.stdout
    assert [fault["worker"] for fault in json.loads(target.read_text())["faults"]] == ["liar"]


def test_a_cluster_without_workers_is_wrong_after_a_while(tmp_path):
    with scheduler(tmp_path) as file:
        found = program("doctor", "--cluster", f"file:{file}", "--wait", "1")
    assert (found.returncode, "wrong: no worker came within 1 s." in found.stdout) == (1, True)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--cluster", "lokal"], "did you mean 'local'?"),
        (["--json", "/nonexistent/x.json"], "/nonexistent is not an existing folder"),
        (["--json", "/"], "is a folder"),
        (["--workers", "3"], "which is written local:N"),
    ],
)
def test_what_the_doctor_refuses(capsys, words, part):
    from cryolithe_stream_cli.main import main

    assert main(["doctor", *words]) == 2
    assert part in capsys.readouterr().err
