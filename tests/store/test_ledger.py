from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import DamagedStoreError, MissingFileError, OutputError
from cryolithe_stream.store import Ledger, is_ours, read_ledger

PLAN = {"blocks": [1, 2, 3], "shard": [64, 64, 64]}

MARKER = """
import sys
from cryolithe_stream.store import Ledger
ledger = Ledger.open(sys.argv[1])
start = len(ledger.done())
for i in range(start, 100000):
    ledger.mark(f"block {i}", {"checksum": f"{i:08x}", "text": "x" * (i % 50)})
    print(i, flush=True)
"""

HOLDER = """
import os, sys, time
from cryolithe_stream.store import Ledger
ledger = Ledger.open(sys.argv[1])
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""


def start(script, path):
    return subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True)


def test_marks_and_plan_are_there_after_reopening(tmp_path):
    with Ledger.create(tmp_path / "l", PLAN, "f1") as ledger:
        ledger.mark("block 1", {"n": 1})
        ledger.mark("block 2", {"n": 2, "text": "zwei\nlines Å"})
        ledger.mark("block 1", {"n": 3})
    with Ledger.open(tmp_path / "l") as ledger:
        assert ledger.plan == PLAN
        assert ledger.fingerprint == "f1"
        assert ledger.done() == {"block 1": {"n": 3}, "block 2": {"n": 2, "text": "zwei\nlines Å"}}


@pytest.mark.parametrize("seed", range(3))
def test_sigkill_loses_no_acknowledged_mark(tmp_path, seed):
    Ledger.create(tmp_path / "l", PLAN, "f").close()
    acknowledged = -1
    for _ in range(2):
        with start(MARKER, tmp_path / "l") as child:
            first = int(child.stdout.readline())
            time.sleep(0.02 + 0.03 * seed)
            child.send_signal(signal.SIGKILL)
            lines = [first, *map(int, child.stdout.read().split())]
        acknowledged = max(acknowledged, *lines)
        done = read_ledger(tmp_path / "l").done
        assert len(done) in (acknowledged + 1, acknowledged + 2)  # the last may be marked and not yet printed
        assert all(done[f"block {i}"] == {"checksum": f"{i:08x}", "text": "x" * (i % 50)} for i in range(len(done)))


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 200), garbage=st.binary(max_size=40))
def test_a_torn_end_is_ignored_and_marking_goes_on(tmp_path_factory, cut, garbage):
    path = tmp_path_factory.mktemp("l")
    with Ledger.create(path, PLAN, "f") as ledger:
        for i in range(3):
            ledger.mark(f"block {i}", {"i": i})
    journal = path / "journal.txt"
    content = journal.read_bytes()
    kept = content[: max(0, len(content) - cut)]
    whole = kept.count(b"\n")
    journal.write_bytes(kept + garbage.replace(b"\n", b""))
    with Ledger.open(path) as ledger:
        assert ledger.done() == {f"block {i}": {"i": i} for i in range(whole)}
        ledger.mark("next", {})
    assert read_ledger(path).done == {**{f"block {i}": {"i": i} for i in range(whole)}, "next": {}}


def test_a_damaged_line_in_the_middle_is_ignored(tmp_path):
    with Ledger.create(tmp_path / "l", PLAN, "f") as ledger:
        for i in range(3):
            ledger.mark(f"block {i}", {"i": i})
    journal = tmp_path / "l" / "journal.txt"
    journal.write_bytes(journal.read_bytes().replace(b'"block 1"', b'"block 7"'))
    assert set(read_ledger(tmp_path / "l").done) == {"block 0", "block 2"}


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path):
    path = tmp_path / "l"
    Ledger.create(path, PLAN, "f").close()
    child = start(HOLDER, path)
    grandchild = int(child.stdout.readline())
    try:
        with pytest.raises(OutputError, match=f"another run \\(process {child.pid}\\)"):
            Ledger.open(path)
        child.send_signal(signal.SIGKILL)
        child.wait()
        os.kill(grandchild, 0)  # a forked worker outlives its parent and does not hold the lock
        Ledger.open(path).close()
    finally:
        os.kill(grandchild, signal.SIGKILL)
        child.stdout.close()


def test_one_process_cannot_hold_it_twice(tmp_path):
    first = Ledger.create(tmp_path / "l", PLAN, "f")
    with pytest.raises(OutputError, match="another run"):
        Ledger.open(tmp_path / "l")
    first.mark("a", {})
    first.close()
    with Ledger.open(tmp_path / "l") as second:
        assert second.done() == {"a": {}}


def test_create_needs_a_fresh_folder(tmp_path):
    Ledger.create(tmp_path / "l", PLAN, "f").close()
    with pytest.raises(OutputError, match="holds a ledger already"):
        Ledger.create(tmp_path / "l", PLAN, "f")
    Ledger.open(tmp_path / "l").close()  # the refused creation does not keep the lock


def test_an_interrupted_creation_starts_again_without_old_marks(tmp_path):
    path = tmp_path / "l"
    with Ledger.create(path, PLAN, "f") as ledger:
        ledger.mark("old", {})
    (path / "plan.json").unlink()
    assert not Ledger.exists(path)
    assert is_ours(path)
    (path / "notes.txt").write_text("x")
    assert not is_ours(path)
    with pytest.raises(MissingFileError):
        Ledger.open(path)
    with pytest.raises(MissingFileError):
        read_ledger(path)
    with Ledger.create(path, PLAN, "g") as ledger:
        assert ledger.done() == {}
    assert not list(path.glob("*.partial"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", json.dumps({"plan": {}}).encode()])
def test_an_unreadable_plan_is_reported_and_the_lock_given_back(tmp_path, content):
    path = tmp_path / "l"
    Ledger.create(path, PLAN, "f").close()
    (path / "plan.json").write_bytes(content)
    for _ in range(2):
        with pytest.raises(DamagedStoreError, match="plan"):
            Ledger.open(path)
