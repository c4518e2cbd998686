"""Two processes train as one with twice the batch does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from safetensors.numpy import load_file
from train_support import Quiet, options, tiny

from cryolithe_stream.train import train_model
from cryolithe_stream.train.logbook import read_log

ROOT = Path(__file__).parents[2]
AGREE = """
import torch
from cryolithe_stream.train.ranks import ranks_of
with ranks_of(torch.device("cpu")) as ranks:
    same, other = torch.ones(3), torch.full((3,), float(ranks.rank))
    parts = [torch.ones(2) * (ranks.rank + 1), torch.ones(2, 2)]
    ranks.sum(parts)
    assert parts[0].tolist() == [3, 3] and parts[1].tolist() == [[2, 2], [2, 2]]
    print(ranks.world, ranks.agree([same]), ranks.agree([same, other]))
"""


def two_processes(words: list[str]) -> list[tuple[str, str]]:
    """What two processes that find each other on loopback print, and what they tell on standard error."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    path = f"{ROOT}{os.pathsep}{ROOT / 'cli'}"
    started = []
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        environment = {**os.environ, **place, "MASTER_PORT": str(port), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        started.append(
            subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
    told = [process.communicate(timeout=200) for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    return [(out.decode(), error.decode()) for out, error in told]


def test_sums_and_agreement_of_two_processes():
    assert [out for out, _ in two_processes(["-c", AGREE])] == ["2 True False\n"] * 2


def test_two_processes_make_the_steps_of_one_with_twice_the_batch(tmp_path):
    phantoms = {**tiny()["phantoms"], "cache": str(tmp_path / "phantoms")}
    one = options(phantoms=phantoms, batch=4)
    train_model(one, tmp_path / "one", Quiet(), threads=1)
    file = tmp_path / "two.yaml"
    file.write_text(yaml.safe_dump(tiny(batch=2)))
    words = ["-m", "cryolithe_stream_cli", "train", str(file), "-o", str(tmp_path / "two"), "--threads", "1"]
    told = two_processes([*words, "--cluster", "threads:1", "--dashboard", "127.0.0.1:0"])
    assert ["dashboard: " in error for _, error in told] == [True, False], "one of them opens the cluster"
    found, wanted = (load_file(tmp_path / name / "checkpoint" / "latest.safetensors") for name in ("two", "one"))
    for name in (name for name in wanted if name.startswith(("weights", "average"))):
        assert np.abs(found[name] - wanted[name]).max() < 1e-4 * np.abs(wanted[name]).max(), name
    losses = [[row["loss"] for row in read_log(tmp_path / name / "log.csv")] for name in ("two", "one")]
    np.testing.assert_allclose(*losses, rtol=1e-4)
