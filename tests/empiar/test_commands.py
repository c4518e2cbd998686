"""`empiar list` and `empiar fetch` as people run them, killed and started again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cryolithe_stream_cli.main import main

ROOT = Path(__file__).parents[2]
BIG = random.Random(2).randbytes(3_000_000)
PATH = "/files/10499/data/big.mrc"


@pytest.fixture
def served(archive, address):
    archive.files = {"10499/data/big.mrc": BIG, "10499/data/angles/a.tlt": b"-60\n0\n60\n", "10499/10499.xml": b"<e/>"}
    archive.entries["EMPIAR-10499"] = {
        "EMPIAR-10499": {
            "title": "Ribosomes\x1b[31m in cells", "dataset_size": "3.2 TB", "entry_doi": "10.6019/EMPIAR-10499",
            "imagesets": [{"name": "tilt series", "directory": "data", "pixel_width": 1.7, "data_format": "MRC"}],
        }
    }  # fmt: skip
    return archive


@pytest.fixture
def environment(address):
    return {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'cli'}",
        "COLUMNS": "120",
        "CRYOLITHE_EMPIAR_API": f"{address}/api",
        "CRYOLITHE_EMPIAR_FILES": f"{address}/files",
    }


@pytest.fixture
def begin(environment):
    """A function that starts `cryolithe-stream empiar …`."""
    running = []

    def start(*words):
        command = [sys.executable, "-m", "cryolithe_stream_cli", "empiar", *map(str, words)]
        running.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        )
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def run(environment, monkeypatch, capsys):
    """A function that runs `cryolithe-stream empiar …` to its end: exit code, standard output, standard error."""
    for name in ("COLUMNS", "CRYOLITHE_EMPIAR_API", "CRYOLITHE_EMPIAR_FILES"):
        monkeypatch.setenv(name, environment[name])

    def finished(*words):
        code = main(["empiar", *map(str, words)])
        return (code, *capsys.readouterr())

    return finished


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_list_says_what_an_entry_is(served, run):
    code, out, err = run("list", "empiar-10499")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "EMPIAR-10499: Ribosomes\N{REPLACEMENT CHARACTER}[31m in cells"
    assert lines[1] == "  3.2 TB, doi:10.6019/EMPIAR-10499"
    assert "1.7 Å/pixel" in out and "data/  1 file, about 2.9" in out
    assert lines[-1].startswith("3 files, about 2.9") and lines[-1].endswith(", in 3 folders")


def test_list_as_json(served, run):
    code, out, _ = run("list", "10499", "--json", "-", "--depth", 1, "--match", "data/**")
    facts = json.loads(out)
    assert code == 0 and not facts["complete"]
    assert facts["entry"]["image_sets"][0]["pixel_yx_angstrom"] == [1.7, 1.7]
    assert [(f["path"], f["files"], f["looked_into"]) for f in facts["folders"]] == [("", 0, True), ("data", 1, False)]


def test_list_is_bounded_and_does_without_the_database(served, run):
    served.behaviours["/api/entry/EMPIAR-10499/"] = ["status:403*"]
    code, out, err = run("list", "10499", "--folders", 1)
    assert code == 0 and "the server answers 403" in out.splitlines()[0]
    assert "more than 1 folders" in err


def test_list_shows_the_entry_where_there_are_no_files(served, run):
    served.files.clear()
    code, out, err = run("list", "10499")
    assert code == 2 and "1.7 Å/pixel" in out and err.startswith("no folders: EMPIAR has no files of entry 10499")
    assert err.count("\n") == 1


def test_what_is_wrong_is_one_line(served, run, tmp_path):
    for words, wanted, expected in (
        (("list", "EMD-1"), 2, "no EMPIAR entry"),
        (("list", "77777"), 2, "no files of entry 77777"),
        (("fetch", "10499", "--match", "*.eer"), 2, "no file of EMPIAR-10499 matches"),
        (("fetch", "10499", "--match", ""), 2, "is no pattern of paths"),
        (("fetch", "10499", "--connections", 17), 2, "--connections"),
        (("fetch", "10499", "--files-url", "ftp://x"), 2, "no address of a server"),
        (("fetch", "10499", "-o", __file__), 2, "is not a folder"),
        (("fetch", "10499", "--files-url", "http://127.0.0.1:9", "--attempts", 1), 1, "the connection failed"),
    ):
        code, out, err = run(*words)
        assert (code, out) == (wanted, ""), words
        assert expected in err and err.count("\n") == 1 and err.startswith("error: ")


def test_fetch_counts_in_its_last_line(served, run, tmp_path):
    served.behaviours["/files/10499/data/angles/a.tlt"] = ["status:403*"]
    code, out, err = run("fetch", "10499", "-o", tmp_path / "new" / "out")
    assert code == 1
    assert out.splitlines()[-1].startswith("incomplete: 2 fetched, 0 there already, 1 failed")
    assert "failed: data/angles/a.tlt: " in err and "the server answers 403" in err
    served.behaviours.clear()
    code, out, _ = run("fetch", "10499", "-o", tmp_path / "new" / "out", "--json", "-")
    facts = json.loads(out)
    assert code == 0 and facts["fetched"] == ["data/angles/a.tlt"] and len(facts["skipped"]) == 2
    assert (tmp_path / "new/out/data/big.mrc").read_bytes() == BIG


def test_a_dry_run_fetches_nothing(served, run, tmp_path):
    code, out, _ = run("fetch", "10499", "-o", tmp_path / "out", "--dry-run", "--limit", 2)
    assert code == 0 and out.splitlines()[-1].startswith("2 files, about 2.9") and not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_is_stopped_goes_on_where_it_was(served, begin, run, tmp_path, number):
    served.behaviours[PATH] = ["stall:1000000"]
    partial = tmp_path / "data" / "big.mrc.partial"
    process = begin("fetch", "10499", "-o", tmp_path, "--match", "*.mrc")
    until(lambda: partial.exists() and partial.stat().st_size == 1_000_000)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)  # though the server says nothing for 100 s
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert number == signal.SIGKILL or err.splitlines()[-1].startswith("error: interrupted; the same command continues")
    assert not (tmp_path / "data" / "big.mrc").exists() and partial.read_bytes() == BIG[:1_000_000]
    code, out, _ = run("fetch", "10499", "-o", tmp_path, "--match", "*.mrc")
    assert code == 0 and out.startswith("done: 1 fetched, 0 there already, 0 failed")
    assert (tmp_path / "data" / "big.mrc").read_bytes() == BIG and not partial.exists()
    assert served.asked(PATH)[-1]["Range"] == "bytes=1000000-"


def test_the_second_command_on_a_folder_is_refused(served, begin, run, tmp_path):
    served.behaviours[PATH] = ["stall:1000000"]
    first = begin("fetch", "10499", "-o", tmp_path, "--match", "*.mrc")
    until((tmp_path / "data" / "big.mrc.partial").exists)
    code, out, err = run("fetch", "10499", "-o", tmp_path)
    assert (code, out) == (2, "") and f"another run (process {first.pid}) is writing to {tmp_path}" in err


def test_a_reader_of_the_output_that_goes_does_not_matter(served, environment, tmp_path):
    command = f"{sys.executable} -m cryolithe_stream_cli empiar fetch 10499 -o {tmp_path} 2>&1 | head -1"
    subprocess.run(command, shell=True, env=environment, capture_output=True, timeout=60, check=False)
    assert (tmp_path / "data" / "big.mrc").read_bytes() == BIG
