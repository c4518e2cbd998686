"""Entries of EMPIAR to finished tomograms, on a bounded part of the disk, whatever the server does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cryolithe_stream.batch import read_outcomes
from cryolithe_stream_cli.main import main
from tests.empiar import server as http
from tests.run.run_support import fingerprint_of_files, write_series

REPOSITORY = Path(__file__).resolve().parents[2]
TOP = "11830/data/chlamy_visual_proteomics"
NAMES = [f"data/chlamy_visual_proteomics/p{i}" for i in range(5)]
OPTIONS = ("--method", "fbp", "--thickness", "20", "--cluster", "threads:1")
TRANSFORMS = b"1.0 0.0 0.0 1.0 0.5 -0.5\n" * 9
STACK_BYTES = 1024 + 9 * 60 * 64 * 4
TWO = 2 * (STACK_BYTES + 600)


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """Files of five series as EMPIAR-11830 has them, by their paths, and a folder of them."""
    folder, files = tmp_path_factory.mktemp("entry"), {}
    for i in range(5):
        made = write_series(folder / f"s{i}", n_tilts=9, shape_yx=(60, 64), seed=i)
        angles, stack = made["angles"].read_bytes(), made["stack"].read_bytes()
        files |= {
            f"{TOP}/p{i}/p{i}.st": stack,
            f"{TOP}/p{i}/p{i}.rawtlt": angles,
            f"{TOP}/p{i}/AreTomo/p{i}_dose-filt.tlt": angles,
            f"{TOP}/p{i}/AreTomo/p{i}_dose-filt.xf": TRANSFORMS,
        }
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder / "11830", files


@pytest.fixture(scope="module")
def clean(entry, tmp_path_factory):
    """The tomograms of a batch of the same files, here."""
    out = tmp_path_factory.mktemp("clean")
    assert main(["batch", "run", str(entry[0]), "-o", str(out), *OPTIONS]) == 0
    return {name: fingerprint_of_files(out / f"{name}.ome.zarr") for name in NAMES}


@pytest.fixture
def public(archive, address, entry, monkeypatch):
    archive.files |= entry[1]
    monkeypatch.setenv("CRYOLITHE_EMPIAR_FILES", f"{address}/files")
    return archive


def words(out, *more, source="empiar:11830", disk=TWO):
    return ["batch", "run", source, "-o", str(out), *OPTIONS, "--disk", str(disk), "--attempts", "2", *more]


def raw(out):
    """Raw files that are on the disk, whole or not, with their sizes."""
    found = {}
    for folder, _, names in os.walk(out / ".cryolithe-batch" / "raw"):
        for name in names:
            if not name.startswith(".") and not name.endswith(".json"):
                with suppress(FileNotFoundError):
                    found[name] = (Path(folder) / name).stat().st_size
    return found


def asked(archive, i, method="GET"):
    return len(archive.asked(f"/files/{TOP}/p{i}/p{i}.st", method))


def assert_clean(out, clean, numbers=range(5)):
    for i in numbers:
        assert fingerprint_of_files(out / f"{NAMES[i]}.ome.zarr") == clean[NAMES[i]], NAMES[i]


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
    assert "is another reconstruction" in capsys.readouterr().err


@pytest.mark.timeout(120)
def test_a_batch_that_is_killed_goes_on_and_fetches_nothing_complete_again(public, clean, tmp_path):
    out = tmp_path / "out"
    public.behaviours[f"/files/{TOP}/p4/p4.st"] = ["stall:90000"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "cli")])}
    process = subprocess.Popen(
        [sys.executable, "-m", "cryolithe_stream_cli", *words(out)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while raw(out).get("p4.st.partial", 0) < 90_000 or not complete(out):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    there = complete(out)
    before = [asked(public, i) for i in range(5)]
    assert main(["batch", "status", str(out)]) == 0
    with Watch(out) as watch:
        assert main(words(out)) == 0
    assert watch.most <= TWO
    assert_clean(out, clean)
    after = [asked(public, i) for i in range(5)]
    assert there and all(after[i] == before[i] for i in there)
    assert public.asked(f"/files/{TOP}/p4/p4.st")[-1]["Range"] == "bytes=90000-", "what came is not fetched again"
    assert raw(out) == {}


def complete(out):
    return [i for i in range(5) if (out / f"{NAMES[i]}.ome.zarr").exists()]


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


def test_a_plan_lists_and_its_manifest_may_be_edited(public, clean, tmp_path, capsys):
    page = f"/files/{TOP}/"
    rows = "".join(http.apache_row(f"p{i}/", "  - ") for i in range(5))
    evil = http.apache_row("x", "1", "../../../x.st") + http.apache_row("y", "1", "..%2fy.st")
    public.pages[f"{TOP}/"] = http.apache_page(page, rows + evil)
    manifest, out = tmp_path / "m.yaml", tmp_path / "out"
    assert main(["batch", "plan", "empiar:11830", "-o", str(manifest), "--limit", "2", "--no-halves"]) == 0
    told = capsys.readouterr()
    assert "..%2fy.st" in told.err and "left out" in told.err
    assert "2 series found, 0 skipped" in told.out and "to fetch; no file was read yet" in told.out
    assert not [path for _, path, _ in public.requests if not path.endswith("/")], "nothing is fetched"
    text = manifest.read_text()
    assert "source: empiar:11830" in text and ".." not in text
    own = tmp_path / "own.tlt"
    own.write_bytes(public.files[f"{TOP}/p0/p0.rawtlt"])
    angles = "angles: data/chlamy_visual_proteomics/p0/AreTomo/p0_dose-filt.tlt"
    assert angles in text
    for path in ("../../../../x.tlt", "data/..", "data//x"):
        manifest.write_text(text.replace(angles, f"angles: {path}"))
        assert main(words(out, source=str(manifest))) == 2
        assert "is no path in the entry" in capsys.readouterr().err
    manifest.write_text(text.replace(angles, f"angles: {own}").replace(f"name: {NAMES[1]}", "name: second"))
    assert main(words(out, "--keep-raw", "--scratch", str(tmp_path / "raw"), source=str(manifest))) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 done, 0 failed, 0 skipped"
    assert_clean(out, clean, [0])
    assert fingerprint_of_files(out / "second.ome.zarr") == clean[NAMES[1]]
    kept = {path.name for path in (tmp_path / "raw").rglob("*.st")}
    assert kept == {"p0.st", "p1.st"} and own.exists()
    assert main(["batch", "retry", str(out)]) == 0
    assert {path.name for path in (tmp_path / "raw").rglob("*.st")} == kept
    manifest.write_text(manifest.read_text().replace(": second", ": third"))
    assert main(words(out, "--keep-raw", "--scratch", str(tmp_path / "raw"), source=str(manifest))) == 0
    assert asked(public, 1) == 1, "kept files serve again"


def test_ctrl_c_ends_a_batch_that_waits_for_the_server(public, tmp_path):
    public.behaviours[f"/files/{TOP}/p0/p0.st"] = ["stall:10"]
    timer = threading.Thread(target=_interrupt_when, args=(lambda: raw(tmp_path / "out").get("p0.st.partial"),))
    timer.start()
    began = time.monotonic()
    assert main(words(tmp_path / "out", "--limit", "1")) == 130
    assert time.monotonic() - began < 20
    timer.join()


def _interrupt_when(condition):
    while not condition():
        time.sleep(0.02)
    time.sleep(1)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("more", "part"),
    [
        (["--disk", "1GB"], "--disk is for entries"),
        (["--match", "x"], "--match is for entries"),
        (["--keep-raw"], "--keep-raw is for entries"),
    ],
)
def test_options_of_entries_are_refused_for_folders(entry, tmp_path, capsys, more, part):
    assert main(["batch", "run", str(entry[0]), "-o", str(tmp_path / "out"), *more]) == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "disk", "part"),
    [
        ("empiar:", 1, "is no EMPIAR entry"),
        ("empiar:11830", "much", "a size is a number"),
        ("empiar:99999", 1, "has no"),
    ],
)
def test_what_is_no_entry_or_no_size_is_told(public, tmp_path, capsys, source, disk, part):
    assert main(words(tmp_path / "out", source=source, disk=disk)) == 2
    told = capsys.readouterr().err
    assert part in told and len(told.splitlines()) == 1
