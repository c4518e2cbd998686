"""`simulate --cluster`: the bytes of one process, whatever becomes of workers and client."""

from __future__ import annotations

import signal
import subprocess
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
from fault_support import started, wait_until, workers_of

from cryolithe_stream.errors import CryolitheError, InputError, MemoryBudgetError
from cryolithe_stream.run import Crew
from cryolithe_stream.simulate import SimulateOptions, read_manifest, series, simulate
from cryolithe_stream_cli.main import main

SIZE = ("--size", "24,32,40", "--tilts", "-60,60,10", "--seed", "5")
LARGER = ("--size", "64,96,96", "--tilts", "-60,60,6", "--seed", "5")
"""Series that take about a second each."""


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def made(folder: Path) -> list[Path]:
    """The series that bear their names."""
    return sorted(folder.glob("sim_*"))


@pytest.fixture(scope="module")
def larger(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What five of the larger series are when nothing disturbs them."""
    out = tmp_path_factory.mktemp("larger") / "set"
    assert main(["simulate", str(out), *LARGER, "--count", "5"]) == 0
    return content(out)


def test_the_bytes_are_the_same_wherever_series_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names that are relative reach workers too
    places = [(2.2 * (i % 12), 2.2 * (i // 12 % 12), 2.2 * (i // 144)) for i in range(12 * 12 * 6)]
    atoms = [f"ATOM  {i:5d}  CA  GLY A{i:4d}    {x:8.3f}{y:8.3f}{z:8.3f}" for i, (x, y, z) in enumerate(places)]
    Path("brick.pdb").write_text("\n".join(f"{atom}  1.00 20.00           C" for atom in atoms) + "\nEND\n")
    words = [*SIZE, "--count", "3", "--templates", "brick.pdb", "--particles", "both", "--crowding", "0.05"]
    words += ["--pixel-size", "8,12", "--defocus", "2,3", "--dose", "80", "--noise", "poisson", "--clean"]
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert main(["simulate", "here", *words]) == 0
    finally:
        torch.set_num_threads(threads)
    wanted = content(tmp_path / "here")
    assert len(wanted) > 30
    assert b"brick" in wanted["sim_00005/sim_00005_particles.tsv"]
    for cluster in ("threads:2", "local:2"):
        out = cluster.replace(":", "")
        assert main(["simulate", out, *words, "--cluster", cluster]) == 0
        assert content(tmp_path / out) == wanted


def test_nothing_is_opened_when_all_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, nobody = tmp_path / "set", "tcp://127.0.0.1:9"
    words = ["simulate", str(out), *SIZE, "--cluster"]
    assert main([*words, nobody]) == 2
    assert "no Dask scheduler answers" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "threads:1"]) == 0
    before = content(out)
    capsys.readouterr()
    assert main([*words, nobody]) == 0
    assert capsys.readouterr().out == f"kept: {out}/sim_00005\n"
    assert content(out) == before


def test_a_series_that_fails_is_named_and_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = series.write_images

    def fail(work: Path, name: str, *arguments: object, **options: object) -> None:
        write(work, name, *arguments, **options)
        if name == "sim_00008":
            raise InputError("the specimen is odd", fix="Take another")

    words = ["simulate", str(tmp_path), *SIZE, "--count", "6", "--cluster", "threads:2"]
    with monkeypatch.context() as patch:
        patch.setattr(series, "write_images", fail)
        assert main(words) == 2
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == "error: sim_00008: the specimen is odd. Take another."
    kept = made(tmp_path)
    assert [folder.name for folder in kept] == [entry.name for entry in read_manifest(tmp_path).series]
    assert sorted(told.out.splitlines()) == [f"made: {folder}" for folder in kept]
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.yaml", *(folder.name for folder in kept)}
    assert main(words) == 0
    assert capsys.readouterr().out.count("kept:") == len(kept)
    assert len(made(tmp_path)) == 6


def test_a_fault_in_a_worker_process_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dose = ["--noise", "poisson", "--dose", "1e12", "--no-damage"]
    assert main(["simulate", str(tmp_path / "set"), *SIZE, *dose, "--count", "2", "--cluster", "local:2"]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("dashboard")]
    assert len(lines) == 1
    assert lines[0].startswith("error: sim_0000") and "electrons a pixel, the limit is 1e+12" in lines[0]
    assert not (tmp_path / "set").exists()


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path, larger: dict[str, bytes]) -> None:
    out = tmp_path / "set"
    with started("simulate", out, *LARGER, "--count", 5, "--cluster", "local:2") as process:
        wait_until(lambda: list(out.glob("..*.creating/*")), process)
        workers_of(psutil.Process(process.pid))[0].send_signal(signal.SIGKILL)
        _, told = process.communicate(timeout=200)
    assert process.returncode == 0, told
    assert content(out) == larger


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_client_that_is_stopped_goes_on_with_the_same_command(
    tmp_path: Path, larger: dict[str, bytes], how: signal.Signals
) -> None:
    out = tmp_path / "set"
    with started("simulate", out, *LARGER, "--count", 5, "--cluster", "local:2") as process:
        wait_until(lambda: made(out), process)
        workers = workers_of(psutil.Process(process.pid))
        process.send_signal(how)
        process.wait(timeout=60)
    if how is signal.SIGTERM:
        assert process.returncode == 130
        assert not list(out.glob(".*")), "one that can clears up"
    entries = {entry.name for entry in read_manifest(out).series} if (out / "manifest.yaml").exists() else set()
    stamps = {path: path.stat().st_ino for path in made(out) if path.name in entries}
    psutil.wait_procs(workers, timeout=60)  # they see that their scheduler is gone
    assert main(["simulate", str(out), *LARGER, "--count", "5"]) == 0
    assert content(out) == larger
    assert all(path.stat().st_ino == inode for path, inode in stamps.items())


@pytest.mark.slow
def test_a_series_that_kills_its_workers_is_told_in_one_line() -> None:
    crew, die = Crew("local:1"), partial(subprocess.run, shell=True)
    with pytest.raises(CryolitheError, match="a series failed 3 times, the last time with KilledWorker"):
        list(crew.map(die, ["sleep 2; kill -9 $PPID"], what="a series"))


def test_a_worker_must_have_room_for_a_specimen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", str(tmp_path / "set"), "--cluster", "slurm:cores=1,memory=600MB", "--size", "200,200,200"]
    assert main(words) == 2
    assert "voxels takes up to 0.7 GiB, 0.4 GiB are free for it" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    many = Crew("threads:4096")
    with pytest.raises(MemoryBudgetError, match="fewer workers"):
        simulate(SimulateOptions(output=tmp_path / "set"), workers=many)
    assert many.room_bytes() * 4096 <= psutil.virtual_memory().total


def test_words_that_are_no_cluster_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, config = tmp_path / "set", tmp_path / "options.yaml"
    config.write_text("cluster: locl:2\n")
    for words, part in (
        (["--cluster", "nowhere"], "a cluster is local[:N]"),
        (["--workers", "3"], "which is written local:N"),
        (["--config", str(config)], "did you mean 'local'"),
    ):
        assert main(["simulate", str(out), *SIZE, *words]) == 2
        told = capsys.readouterr().err
        assert told.count("\n") == 1 and part in told
    assert not out.exists()
