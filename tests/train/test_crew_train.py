"""`train --cluster`: specimens made by workers are those made here, and so are the weights."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from train_support import PHANTOMS, Quiet, options, tiny

from cryolithe_stream.errors import InputError, MemoryBudgetError
from cryolithe_stream.run import Crew
from cryolithe_stream.train import train_model
from cryolithe_stream.train.data_options import PhantomOptions
from cryolithe_stream.train.loop import Loop
from cryolithe_stream.train.phantoms import SpecimenCache
from cryolithe_stream_cli.main import main

NOBODY = "tcp://127.0.0.1:9"


class Noted:
    """A mapper in this process that notes what it does."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.room, self.notes = room, list[object]()

    def room_bytes(self) -> int:
        return self.room

    def map(self, function: Callable[[Any], Any], items: Sequence[Any], *, what: str) -> Generator[Any, None, None]:
        self.notes.append((what, *items))
        try:
            yield from map(function, items)
        finally:
            self.notes.append("closed")


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_specimens_and_weights_are_the_same_with_workers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, words = tmp_path / "tiny.yaml", ["--threads", "1"]
    file.write_text(yaml.safe_dump(tiny()))
    assert main(["train", str(file), "-o", str(tmp_path / "here"), *words]) == 0
    assert main(["train", str(file), "-o", str(tmp_path / "there"), *words, "--cluster", "local:2"]) == 0
    specimens, found = content(tmp_path / "here" / "phantoms"), content(tmp_path / "there" / "phantoms")
    assert found == specimens and len(found) == 3
    wanted, weights = (load_file(tmp_path / name / "tiny.safetensors") for name in ("here", "there"))
    for name in wanted:
        np.testing.assert_array_equal(weights[name], wanted[name], err_msg=name)
    capsys.readouterr()
    assert main(["train", str(file), "-o", str(tmp_path / "there"), *words, "--cluster", NOBODY]) == 0
    assert "already complete" in capsys.readouterr().out, "nothing is opened when all is there"


def test_only_what_is_missing_is_made_and_workers_have_gone_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, run = Noted(), Loop.run

    def noted(self: Loop) -> Any:
        workers.notes.append("steps")
        return run(self)

    monkeypatch.setattr(Loop, "run", noted)
    cache = tmp_path / "phantoms"
    SpecimenCache(cache, PhantomOptions(**PHANTOMS)).make(1001)
    o = options(phantoms={**PHANTOMS, "cache": str(cache)})
    train_model(o, tmp_path / "out", Quiet(), threads=1, minutes=1e-9, workers=workers)
    assert workers.notes == [("a specimen", 1000, 9001), "closed", "steps"]


def test_a_specimen_that_two_workers_make_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    caches = [SpecimenCache(Path(name), PhantomOptions(**PHANTOMS)) for name in ("one", "both")]
    caches[0].make(1000)
    assert list(Crew("threads:2").map(caches[1].make, [1000, 1000], what="a specimen")) == [None, None]
    assert content(tmp_path / "both") == content(tmp_path / "one")


def test_what_is_wrong_is_told_before_anything_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        MemoryBudgetError, match=r"24 x 16 x 32 voxels takes up to .* 0\.1 GiB are free.*phantoms\.depths"
    ):
        train_model(options(), tmp_path / "out", Quiet(), threads=1, workers=Noted(100 << 20))
    assert not (tmp_path / "out" / "phantoms").exists()
    SpecimenCache(tmp_path / "out" / "phantoms", PhantomOptions(**{**PHANTOMS, "width": 40})).make(9001)
    workers = Noted()
    with pytest.raises(InputError, match="configuration asks for"):
        train_model(options(), tmp_path / "out", Quiet(), threads=1, workers=workers)
    assert not workers.notes
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump(tiny()))
    for given, part in ((NOBODY, "no Dask scheduler answers"), ("nowhere", "a cluster is local[:N]")):
        assert main(["train", str(file), "-o", str(tmp_path / "other"), "--cluster", given]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and part in told


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_specimen_stays_below_its_projected_peak() -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": str(here.parents[1]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(here / "specimen_peak.py")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    projected, measured = map(int, done.stdout.split())
    assert measured <= projected <= 1.4 * measured
