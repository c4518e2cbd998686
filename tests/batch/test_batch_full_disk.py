"""The disk of the outputs fills up during a batch: no tomogram is half there, and the same command makes the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fault_support import few, fill, hashes, started, wait_until

from cryolithe_stream.batch import read_outcomes
from cryolithe_stream_cli.main import main

NAMES = ("TS_00", "TS_01", "TS_02", "TS_03")
OPTIONS = ("--method", "fbp", "--thickness", "70", "--cluster", "threads:2")


@pytest.mark.timeout(280)
def test_what_is_finished_stays_and_the_rest_follows_when_there_is_room(
    tmp_path: Path, mounted: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        few(tmp_path / "in" / name)
    clean, out = tmp_path / "clean", mounted("size=200m") / "out"
    assert main(["batch", "run", str(tmp_path / "in"), "-o", str(clean), *OPTIONS]) == 0
    words = ["batch", "run", str(tmp_path / "in"), "-o", str(out), *OPTIONS]
    with started(*words) as first:
        wait_until(lambda: sum(path.exists() for path in finished(out).values()) >= 1, first)
        filler = fill(out.parent)
        _, told = first.communicate(timeout=100)
    there = {name: hashes(path) for name, path in finished(out).items() if path.exists()}
    assert 1 <= len(there) < len(NAMES)
    assert first.returncode in (1, 2), told  # 2 where not even the record could be written
    assert "Traceback" not in told
    assert len([line for line in told.splitlines() if line.startswith("error:")]) == first.returncode - 1
    assert "the disk is full" in told
    reasons = [outcome.reason for outcome in read_outcomes(out).values() if not outcome.is_complete]
    assert all("the disk is full" in reason or "GB free" in reason for reason in reasons)
    filler.unlink()
    capsys.readouterr()
    assert main(words) == 0
    n = len(there)
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(NAMES) - n} done, 0 failed, {n} skipped"
    wanted = {name: hashes(path) for name, path in finished(clean).items()}
    assert {name: hashes(path) for name, path in finished(out).items()} == wanted
    assert all(wanted[name] == found != {} for name, found in there.items())


def finished(out: Path) -> dict[str, Path]:
    """Where each series' tomogram stands when it is complete."""
    return {name: out / name / "ts.ome.zarr" for name in NAMES}
