"""What can go wrong while training leaves the last checkpoint and one clear line."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from train_support import Quiet, options, tiny, write_mrc, write_pair
from typer.testing import CliRunner

from cryolithe_stream.train import TrainingError, train_model
from cryolithe_stream.train.logbook import read_log
from cryolithe_stream_cli.main import app, main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> dict[str, object]:
    return {**tiny()["phantoms"], "cache": str(tmp_path_factory.mktemp("phantoms"))}


def test_numbers_that_are_no_longer_finite_stop_the_training(phantoms, tmp_path):
    o = options(phantoms=phantoms, optimiser={"learning_rate": 1e25, "warm_up": 0.5, "clip": 1e30}, loss="l2")
    with pytest.raises(TrainingError, match=r"step \d+ at learning rate .* the last checkpoint is kept") as caught:
        train_model(o, tmp_path, Quiet(), threads=1)
    assert caught.value.exit_code == 1
    assert not (tmp_path / "tiny.safetensors").exists()


@pytest.mark.parametrize("kept", [0, 100, 0.5, 0.999])
def test_a_damaged_specimen_is_named(phantoms, tmp_path, kept, capsys):
    cache = tmp_path / "cache"
    shutil.copytree(phantoms["cache"], cache)
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(tiny(steps=2, phantoms={**phantoms, "cache": str(cache)})))
    assert main(["train", str(file), "-o", str(tmp_path / "a"), "--threads", "1"]) == 0
    specimen = next(cache.glob("*.npz"))
    whole = specimen.read_bytes()
    specimen.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    capsys.readouterr()
    assert main(["train", str(file), "-o", str(tmp_path / "b"), "--threads", "1"]) == 2
    fault = capsys.readouterr().err.splitlines()[-1]
    assert fault.startswith(f"error: the specimen {specimen} cannot be read")


def test_no_name_of_a_folder_is_not_the_current_one(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(tiny()))
    assert main(["train", "tiny.yaml", "-o", ""]) == 2
    assert "--output is empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_a_disk_that_is_full_leaves_the_last_checkpoint(phantoms, tmp_path):
    given = tiny(phantoms=phantoms)
    file, out = tmp_path / "tiny.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(given))
    train_model(options(**{**given, "checkpoint_every": 3}), out, Quiet(), threads=1, minutes=1e-9)
    checkpoint = out / "checkpoint" / "latest.safetensors"
    before, most = checkpoint.read_bytes(), checkpoint.stat().st_size - 100
    found = subprocess.run(
        [sys.executable, "-m", "cryolithe_stream_cli", "train", str(file), "-o", str(out), "--threads", "1"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}", "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert found.returncode == 2, found.stderr
    assert "would hold a file larger than the limit" in found.stderr.splitlines()[-1]
    assert checkpoint.read_bytes() == before
    assert train_model(options(**given), out, Quiet(), threads=1).status == "done"
    assert [row["step"] for row in read_log(out / "log.csv")] == [2, 4, 6, 8, 10, 12]


def test_without_tensorboard_it_is_told_once_and_nothing_else_changes(phantoms, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    quiet = Quiet()
    train_model(options(phantoms=phantoms), tmp_path, quiet, threads=1)
    assert sum("TensorBoard is not installed" in line for line in quiet.messages) == 1
    assert not (tmp_path / "tensorboard").exists() and (tmp_path / "tiny.safetensors").exists()


def test_specimens_of_other_sizes_are_refused(phantoms, tmp_path, capsys):
    file = tmp_path / "a.yaml"
    train_model(options(phantoms=phantoms), tmp_path / "out", Quiet(), threads=1, minutes=1e-9)
    file.write_text(yaml.safe_dump(tiny(phantoms={**phantoms, "width": 40})))
    assert main(["train", str(file), "-o", str(tmp_path / "other"), "--threads", "1"]) == 2
    assert "the configuration asks for" in capsys.readouterr().err


def test_faults_of_the_command_line_are_one_line(tmp_path, capsys):
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(tiny()))
    out = ["-o", str(tmp_path / "out")]
    (tmp_path / "b.yaml").write_text("stepz: 1\nphantoms: {}\n")
    for words, part in (
        (["train", str(tmp_path / "none.yaml"), *out], "cannot be read"),
        (["train", str(tmp_path / "b.yaml"), *out], "stepz: there is no such key (did you mean 'steps'?)"),
        (["train", str(file), *out, "--minutes", "0"], "--minutes is 0, it must be above 0"),
        (["train", str(file), *out, "--device", "cuda:77"], "device 'cuda:77'"),
        (["train", str(file), "-o", str(file / "below")], "a.yaml"),
    ):
        assert main(words) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and part in told


def test_a_wrong_pair_is_told_before_anything_is_prepared(tmp_path, capsys):
    pair = write_pair(tmp_path / "data")
    pair["reference"] = str(write_mrc(tmp_path / "other.mrc", np.zeros((24, 40, 62)), 10.0))
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(tiny(phantoms=None, pairs=[pair])))
    assert main(["train", str(file), "-o", str(tmp_path / "out")]) == 2
    assert "has 40 rows and 62 columns" in capsys.readouterr().err
    assert not (tmp_path / "out" / "pairs").exists()


def test_help_names_every_flag():
    text = CliRunner().invoke(app, ["train", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
    assert all(flag in text for flag in ("--minutes", "--overwrite", "--device", "--threads", "--output"))
