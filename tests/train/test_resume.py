"""A training that is stopped, killed or interrupted ends as if it had not been."""

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
import yaml
from safetensors.numpy import load_file
from train_support import Quiet, options, tiny

from cryolithe_stream.errors import DamagedStoreError, OutputError
from cryolithe_stream.train import Trained, train_model
from cryolithe_stream.train.logbook import read_log
from cryolithe_stream.train.stream import Memo, made_ahead

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "cryolithe_stream_cli", "train"]


def environment(**more: str) -> dict[str, str]:
    path = f"{ROOT}{os.pathsep}{ROOT / 'cli'}"
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory) -> str:
    """A folder of specimens that the trainings here share."""
    return str(tmp_path_factory.mktemp("phantoms"))


def small(phantoms: str, **given):
    return tiny(**{"phantoms": {**tiny()["phantoms"], "cache": phantoms}, **given})


def run(folder: Path, phantoms: str, teller: Quiet | None = None, given=None, **how) -> Trained:
    return train_model(options(**small(phantoms, **(given or {}))), folder, teller or Quiet(), threads=1, **how)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, phantoms) -> Path:
    """A training of 12 steps that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(folder, phantoms).status == "done"
    return folder


def weights(folder: Path) -> dict[str, np.ndarray]:
    state = load_file(folder / "checkpoint" / "latest.safetensors")
    return {**state, **{f"model.{k}": v for k, v in load_file(folder / "tiny.safetensors").items()}}


def lines(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "minutes"} for row in read_log(folder / "log.csv")]


def same(folder: Path, whole: Path) -> None:
    found, wanted = weights(folder), weights(whole)
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name], err_msg=name)
    assert lines(folder) == lines(whole)


def test_what_a_training_leaves(whole):
    names = {path.name for path in whole.iterdir()}
    assert {"tiny.safetensors", "model-card.md", "log.csv", "curve.png", "tensorboard", "checkpoint"} <= names
    assert list((whole / "tensorboard").iterdir())
    assert [row["step"] for row in lines(whole)] == [2, 4, 6, 8, 10, 12]
    assert [row["step"] for row in lines(whole) if "snr_db" in row] == [6, 12]
    card = (whole / "model-card.md").read_text()
    assert "| 9001@-5dB |" in card and "seed 3" in card
    from cryolithe_stream.network import load_model

    model = load_model(whole / "tiny.safetensors")
    assert model.pixel_range_angstrom == (6.0, 25.0) and model.contrast == "dark" and model.oversample == 2
    assert model.card["validation"].keys() == {"9001@-5dB", "9001@5dB"}
    assert str(whole) not in json.dumps(model.card) and "cache" in json.dumps(model.card)


def test_the_same_command_says_that_it_is_complete(whole, phantoms):
    before = (whole / "tiny.safetensors").stat().st_mtime_ns
    assert run(whole, phantoms).status == "already complete"
    assert (whole / "tiny.safetensors").stat().st_mtime_ns == before


def test_a_training_in_many_short_pieces(whole, phantoms, tmp_path):
    steps = []
    while (result := run(tmp_path, phantoms, minutes=1e-9)).status == "out of time":
        steps.append(result.step)
    assert steps == list(range(1, 12))
    same(tmp_path, whole)


def test_a_training_that_is_killed_again_and_again(whole, phantoms, tmp_path):
    file, out = tmp_path / "tiny.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(small(phantoms)))
    rng, kills = np.random.default_rng(8), 0
    for _ in range(3):
        with subprocess.Popen(
            [*PROGRAM, str(file), "-o", str(out), "--threads", "1"], env=environment(), stderr=subprocess.DEVNULL
        ) as process:
            seen, deadline = _marks(out), time.monotonic() + 200
            while process.poll() is None and _marks(out) == seen and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.08))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                kills += 1
            process.wait()
    assert kills >= 2
    run(out, phantoms)
    same(out, whole)
    assert not list((out / "checkpoint").glob(".*"))


def _marks(out: Path) -> int:
    """Bytes of the log and the checkpoint's time: something that moves while steps are taken."""
    paths = (out / "log.csv", out / "checkpoint" / "latest.safetensors")
    return sum(p.stat().st_mtime_ns for p in paths if p.exists())


def test_an_interruption_keeps_the_step_that_it_met(whole, phantoms, tmp_path):
    file, out = tmp_path / "tiny.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(small(phantoms, steps=100_000, checkpoint_every=100_000)))
    with subprocess.Popen(
        [*PROGRAM, str(file), "-o", str(out), "--threads", "1"], env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        while not (out / "log.csv").exists() or len((out / "log.csv").read_text().splitlines()) < 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        told = process.communicate(timeout=200)[1]
    assert process.returncode == 130
    assert told.splitlines()[-1] == "error: interrupted; the same command continues where it stopped"
    step = int(read_log(out / "log.csv")[-1]["step"])
    result = run(out, phantoms, given={"steps": 100_000, "checkpoint_every": 100_000}, minutes=1e-9)
    assert result.status == "out of time" and step < result.step < step + 50


def test_another_configuration_is_refused_with_the_keys_that_differ(whole, phantoms, tmp_path):
    run(tmp_path, phantoms, minutes=1e-9)
    with pytest.raises(OutputError, match=r"another training: batch was 2, is 3; optimiser.clip was 1.0, is 0.5"):
        run(tmp_path, phantoms, given={"batch": 3, "optimiser": {"clip": 0.5}})
    run(tmp_path, phantoms, given={"checkpoint_every": 5}, minutes=1e-9)
    run(tmp_path, phantoms, overwrite=True, given={"checkpoint_every": 5})
    assert lines(tmp_path) == lines(whole)


def test_a_folder_of_something_else_is_left_alone(phantoms, tmp_path):
    (tmp_path / "log.csv").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match=r"holds log.csv, which is of no training"):
            run(tmp_path, phantoms, overwrite=overwrite)
    assert (tmp_path / "log.csv").read_text() == "mine"


def test_a_damaged_checkpoint_is_told(phantoms, tmp_path):
    run(tmp_path, phantoms, minutes=1e-9)
    file = tmp_path / "checkpoint" / "latest.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DamagedStoreError, match="no intact checkpoint"):
        run(tmp_path, phantoms)


def test_two_trainings_do_not_share_a_folder(phantoms, tmp_path):
    from cryolithe_stream.store.lock import WriterLock

    lock = WriterLock.acquire(tmp_path / "lock")
    try:
        with pytest.raises(OutputError, match="another run"):
            run(tmp_path, phantoms)
    finally:
        lock.release()


def test_examples_made_ahead_come_in_order_and_end():
    assert list(made_ahead(lambda i: i * i, iter(range(20)), 5, 3, 1)) == [i * i for i in range(20)]


def test_a_memo_makes_each_value_once_until_it_is_forgotten():
    made: list[int] = []
    memo = Memo(lambda i: made.append(i) or i, 2)
    assert [memo(i) for i in (1, 2, 1, 3, 1, 2)] == [1, 2, 1, 3, 1, 2]
    assert made == [1, 2, 3, 2]


def test_a_memo_tells_every_caller_of_a_fault():
    def fail(number: int) -> int:
        raise OSError(number)

    memo = Memo(fail, 2)
    for _ in range(2):
        with pytest.raises(OSError, match="3"):
            memo(3)
