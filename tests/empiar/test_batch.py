"""Entries of EMPIAR to finished tomograms, on a bounded part of the disk, whatever the server does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cryolithe_stream.batch import read_outcomes
from cryolithe_stream.batch.status import batch_status
from cryolithe_stream_cli.main import main
from tests.empiar import server as http
from tests.empiar.entry_support import NAMES, STACK_BYTES, TOP, TWO, asked, assert_clean, complete, raw, words

REPOSITORY = Path(__file__).resolve().parents[2]


class Watch:
    """The most bytes of raw files that were there while the block ran."""

    def __init__(self, out):
        self.out, self.most, self.over = out, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, sum(raw(self.out).values()))

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()


def test_an_entry_becomes_tomograms_on_a_disk_that_holds_two_series(public, clean, tmp_path, capsys):
    out = tmp_path / "out"
    with Watch(out) as watch:
        assert main(words(out)) == 0
    assert STACK_BYTES < watch.most <= TWO
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "5 done, 0 failed, 0 skipped"
    assert_clean(out, clean)
    assert raw(out) == {}
    source = read_outcomes(out)[NAMES[0]].source
    assert source["entry"] == "EMPIAR-11830"
    assert source["files"]["data/chlamy_visual_proteomics/p0/p0.st"] == [STACK_BYTES, "Sun, 13 Sep 2020 12:26:40 GMT"]
    public.requests.clear()
    assert main(words(out)) == 0
    assert not public.requests, "neither lists nor files are asked for again"
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "0 done, 0 failed, 5 skipped"
    assert "0 of 5 series to do, 5 are complete and not fetched again" in told.err
    assert main([*words(out, "--limit", "1"), "--thickness", "24"]) == 1
    assert "is another reconstruction: thickness was 20, is 24" in capsys.readouterr().err
    assert main(words(out, "--limit", "1")) == 0, "the record still tells how it was completed"
    assert not public.requests


@pytest.mark.timeout(300)
def test_a_batch_that_is_killed_goes_on_and_fetches_nothing_complete_again(public, clean, tmp_path):
    out = tmp_path / "out"
    public.behaviours[f"/files/{TOP}/p4/p4.st"] = ["stall:90000"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "cli")])}
    process = subprocess.Popen(
        [sys.executable, "-m", "cryolithe_stream_cli", *words(out)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while raw(out).get("p4.st.partial", 0) < 90_000 or not complete(out):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    there = complete(out)
    before = [asked(public, i) for i in range(5)]
    states = [one.state for one in batch_status(out)]
    assert states[4] == "fetching" and all(states[i] == "done" for i in there)
    with Watch(out) as watch:
        assert main(words(out)) == 0
    assert watch.most <= TWO
    assert_clean(out, clean)
    after = [asked(public, i) for i in range(5)]
    assert there and all(after[i] == before[i] for i in there)
    assert public.asked(f"/files/{TOP}/p4/p4.st")[-1]["Range"] == "bytes=90000-", "what came is not fetched again"
    assert raw(out) == {}


def test_what_is_wrong_with_one_series_stops_no_other(public, clean, tmp_path, capsys):
    out = tmp_path / "out"
    stack = f"/files/{TOP}/p1/p1.st"
    public.behaviours[stack] = ["cut:50000", "cut:0*"]
    del public.files[f"{TOP}/p2/AreTomo/p2_dose-filt.xf"]
    public.pages[f"{TOP}/p2/AreTomo/"] = http.apache_page(
        f"/files/{TOP}/p2/AreTomo/",
        "".join(http.apache_row(f"p2_dose-filt.{ending}", "225 ") for ending in ("tlt", "xf")),
    )
    public.files[f"{TOP}/p3/p3.st"] += bytes(2 * TWO)
    public.files[f"{TOP}/p4/AreTomo/p4_dose-filt.tlt"] = b"0\n1\n"
    assert main(words(out, disk=2 * TWO)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 done, 4 failed, 0 skipped"
    assert_clean(out, clean, [0])
    reasons = {name: outcome.reason for name, outcome in read_outcomes(out).items()}
    assert "p1.st: the server stopped before the end, 2 times in a row" in reasons[NAMES[1]]
    assert "p2_dose-filt.xf: the server answers 404" in reasons[NAMES[2]]
    needed = sum(len(data) for path, data in public.files.items() if "/p3/" in path)
    assert f"it needs {needed} bytes, the budget of disk is {2 * TWO}" in reasons[NAMES[3]]
    assert "has 2 angles" in reasons[NAMES[4]]
    assert asked(public, 2) == asked(public, 3) == 0, "nothing of what cannot be complete is fetched"
    left = raw(out)
    assert left["p1.st.partial"] == 50000 and not any(name.startswith(("p0", "p2", "p3", "p4")) for name in left)
    assert main(["batch", "status", str(out), "--json"]) == 0
    assert [one["state"] for one in json.loads(capsys.readouterr().out)] == ["done", *["failed"] * 4]
    public.behaviours.clear()
    assert main(["batch", "retry", str(out)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 done, 3 failed, 1 skipped"
    assert_clean(out, clean, [0, 1])
    assert public.asked(stack)[-1]["Range"] == "bytes=50000-"
    assert asked(public, 0) == 1


def test_a_server_that_is_gone_ends_the_batch_with_a_line(entry, tmp_path, capsys):
    archive, out = http.Archive(files=dict(entry[1])), tmp_path / "out"
    archive.behaviours[f"/files/{TOP}/p1/p1.st"] = ["stall:10"]
    server = http.Server(archive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()

    def shut():
        while not complete(out):
            time.sleep(0.02)
        server.shutdown()
        server.server_close()
        archive.released.set()

    closing = threading.Thread(target=shut)
    closing.start()
    assert main([*words(out), "--files-url", f"{server.url}/files"]) == 1
    closing.join()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1
    assert "the server is gone" in lines[0] and "2 times in a row" in lines[0] and "same command" in lines[0]
    assert {name: outcome.status for name, outcome in read_outcomes(out).items()} == {NAMES[0]: "done"}


@pytest.mark.timeout(60)
def test_ctrl_c_ends_a_batch_that_waits_for_the_server(public, tmp_path):
    public.behaviours[f"/files/{TOP}/p0/p0.st"] = ["stall:10"]
    timer = threading.Thread(target=_interrupt_when, args=(lambda: raw(tmp_path / "out").get("p0.st.partial"),))
    timer.start()
    assert main(words(tmp_path / "out", "--limit", "1")) == 130
    timer.join()


def _interrupt_when(condition):
    while not condition():
        time.sleep(0.02)
    time.sleep(1)
    signal.raise_signal(signal.SIGINT)
