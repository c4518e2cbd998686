"""The commands and the Python of docs/empiar.md, on a small archive of the same layout."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from cryolithe_stream_cli.main import main

TEXT = (Path(__file__).parents[2] / "docs" / "empiar.md").read_text()
COMMANDS = re.findall(r"^    cryolithe-stream (empiar .+)$", TEXT, flags=re.MULTILINE)
BATCHES = re.findall(r"^    cryolithe-stream (batch .+[^\\\n])$", TEXT, flags=re.MULTILINE)
PYTHON = "\n".join(line[4:] for line in TEXT.split("## One series")[1].splitlines() if line.startswith("    "))


@pytest.fixture
def public(archive, address, monkeypatch, tmp_path):
    """The archive, where commands that run in an empty folder look for EMPIAR."""
    for i in range(3):
        run = f"11830/data/chlamy_visual_proteomics/run{i}"
        archive.files |= {f"{run}/run{i}.st": bytes(5000 + i), f"{run}/AreTomo/run{i}_dose-filt.xf": b"1 0 0 1 0 0\n"}
    archive.files |= {"10499/data/tiltseries/a.mdoc": b"[ZValue = 0]\n", "10499/10499.xml": b"<entry/>"}
    monkeypatch.setenv("CRYOLITHE_EMPIAR_FILES", f"{address}/files")
    monkeypatch.setenv("CRYOLITHE_EMPIAR_API", f"{address}/api")
    monkeypatch.chdir(tmp_path)
    return archive


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_do_as_written(public, command, tmp_path):
    assert main(shlex.split(command)) == 0
    fetched = [path for path in tmp_path.rglob("*") if path.is_file() and path.name[0] != "."]
    assert bool(fetched) is (" fetch " in command and "--dry-run" not in command)


def test_python_does_as_written(public, server, capsys, tmp_path):
    exec(PYTHON.replace("Server()", "server"), {"server": server})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"data/chlamy_visual_proteomics/run{i}" for i in range(3)]
    assert lines[1].endswith("['run1.st', 'run1_dose-filt.xf'] ()")
    assert not [path for path in (tmp_path / "scratch").iterdir() if path.name[0] != "."]


def test_batches_do_as_written(archive, entry, address, monkeypatch, tmp_path, capsys):
    """In their order, on three series; but for the model, which takes longer."""
    archive.files |= {path: data for path, data in entry[1].items() if "p3" not in path and "p4" not in path}
    monkeypatch.setenv("CRYOLITHE_EMPIAR_FILES", f"{address}/files")
    monkeypatch.chdir(tmp_path)
    counts = []
    for command in BATCHES:
        words = shlex.split(command, comments=True)
        quick = ["--method", "fbp", "--cluster", "threads:1"] if words[1] == "run" else []
        assert main([*words, *quick]) == 0
        counts.append(capsys.readouterr().out.splitlines()[-1])
        if words[2] == "empiar:11830" and words[1] == "run":
            shutil.rmtree("tomograms")
    assert counts == [
        "3 done, 0 failed, 0 skipped",
        "3 series found, 0 skipped → 11830.yaml",
        "2 done, 0 failed, 0 skipped",
        "1 done, 0 failed, 2 skipped",
        "3 done, 0 failed, 0 begun, 0 waiting",
        "0 done, 0 failed, 3 skipped",
    ]
