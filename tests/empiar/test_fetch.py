"""Many files: trees within bounds, folders with one command at a time, groups on a bounded disk."""

from __future__ import annotations

import threading

import pytest

from cryolithe_stream.empiar import (
    Bounds,
    Client,
    Patterns,
    RemoteFile,
    Server,
    Tree,
    fetch,
    read_entry,
)
from cryolithe_stream.empiar.client import StoppedError
from cryolithe_stream.empiar.entry import parse_entry
from cryolithe_stream.empiar.fetch import locked
from cryolithe_stream.errors import InputError, OutputError, RemoteError
from tests.empiar.server import apache_page, apache_row
from tests.empiar.test_index import HOSTILE


def paths(files):
    return [file.path for file in files]


def stored(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name[0] != "."}


def test_a_tree_is_found_in_order(filled, client):
    assert paths(Tree(client, "10499").files()) == [
        "README.txt",
        *(f"data/run{i}/{name}" for i in range(3) for name in (f"run{i}.st", f"AreTomo/run{i}.tlt")),
    ]


def test_folders_that_cannot_match_are_not_asked_for(filled, client):
    found = list(Tree(client, "10499", Patterns.parse(["data/run1/*.st"])).files())
    assert paths(found) == ["data/run1/run1.st"]
    assert found[0].size.least <= 39_000 <= found[0].size.most
    asked = [path.removeprefix("/files/10499/") for _, path, _ in filled.requests]
    assert asked == ["", "data/", "data/run1/"]


def test_a_tree_ends_where_its_bounds_are(filled, client):
    with pytest.raises(RemoteError, match="more than 3 folders"):
        list(Tree(client, "10499", bounds=Bounds(folders=3)).files())
    with pytest.raises(RemoteError, match="more than 2 files"):
        list(Tree(client, "10499", bounds=Bounds(files=2)).files())
    shallow = list(Tree(client, "10499", bounds=Bounds(depth=1)).folders())
    assert [(f.path, f.n_folders, f.unread) for f in shallow] == [("", 1, False), ("data", 3, True)]


def test_a_folder_that_holds_itself_ends(archive, client):
    page = apache_page("/files/1/", apache_row("again/", "  - "))
    archive.pages = {"10499/" + "again/" * i: page for i in range(100)}
    told = []
    assert not list(Tree(client, "10499", refused=told.append).files())
    assert len(archive.requests) == 25 and "is the deepest" in told[0]


def test_an_endless_list_ends(archive, client, monkeypatch):
    monkeypatch.setattr("cryolithe_stream.empiar.tree._MOST_PAGE_BYTES", 5_000_000)
    archive.behaviours["/files/10499/"] = ["endless"]
    archive.files["10499/x"] = b""
    with pytest.raises(RemoteError, match="gives more than 5000000 bytes"):
        list(Tree(client, "10499").files())


def test_what_is_refused_is_told(archive, client):
    archive.pages["10499/"] = apache_page(
        "/files/10499/", apache_row("x", "1", "%2e%2e%2fx\x1b[2J") + apache_row("y", "1 ")
    )
    told = []
    assert paths(Tree(client, "10499", refused=told.append).files()) == ["y"]
    assert len(told) == 1 and "\x1b" not in told[0]


def test_nothing_that_a_server_names_lies_outside_the_folder(archive, client, tmp_path):
    rows = "".join(apache_row("x", "7 ", link) for link in HOSTILE) + apache_row("good.mrc", "7 ")
    archive.pages["10499/"] = apache_page("/files/10499/", rows)
    archive.files["10499/good.mrc"] = b"seven b"
    out = tmp_path / "a" / "b" / "out"
    outcome = fetch(client, list(Tree(client, "10499").files()), out)
    assert outcome.fetched == ("good.mrc",) and not outcome.failed
    assert [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file() and p.name[0] != "."] == [
        "a/b/out/good.mrc"
    ]


def test_what_is_no_list_is_said_so(archive, client):
    with pytest.raises(InputError, match="no files of entry 10499"):
        list(Tree(client, "10499").files())
    archive.pages["10499/"] = "<html>We are moving</html>"
    with pytest.raises(RemoteError, match="is no list of files"):
        list(Tree(client, "10499").files())


def test_an_entry_is_read(filled, client):
    entry = read_entry(client, "10499")
    assert (entry.title, entry.size, entry.doi) == ("In-cell ribosomes", "3.2 TB", "10.6019/EMPIAR-10499")
    (image_set,) = entry.image_sets
    assert image_set.directory == "data/tiltseries" and image_set.n_images == 65
    assert image_set.image_yx == (3710, 3838) and image_set.pixel_yx_angstrom == (1.7, 1.7)
    assert read_entry(client, "99999") is None


@pytest.mark.parametrize(
    ("found", "pixel"),
    [
        ('{"EMPIAR-1": {"title": null, "imagesets": [{"pixel_width": "1.35"}]}}', (1.35, 1.35)),
        ('{"EMPIAR-1": {"imagesets": [{"pixel_width": NaN, "pixel_height": "1e999"}, 5, null]}}', None),
        ('{"EMPIAR-1": {"imagesets": [{"pixel_width": [], "image_width": {}, "name": 3, "details": true}]}}', None),
        ('{"title": "bare", "imagesets": [{"pixel_width": 0}]}', None),
    ],
)
def test_what_depositors_leave_out_is_left_out(found, pixel):
    assert parse_entry(found.encode(), "1", "x").image_sets[0].pixel_yx_angstrom == pixel


@pytest.mark.parametrize("found", [b"", b"<html>", b"[1]", b"[" * 100_000, b"\xff"])
def test_what_is_no_entry_is_one_line(found):
    with pytest.raises(RemoteError, match="gives no"):
        parse_entry(found, "1", "https://x")


def test_files_are_fetched_and_not_again(filled, client, tmp_path):
    files = list(Tree(client, "10499").files())
    outcome = fetch(client, files, tmp_path / "out")
    assert outcome.fetched == tuple(paths(files)) and not outcome.failed and not outcome.skipped
    assert stored(tmp_path / "out") == {k.removeprefix("10499/"): v for k, v in filled.files.items()}
    (tmp_path / "out" / "README.txt").write_bytes(b"shorter")
    (tmp_path / "out" / "data/run0/run0.st").write_bytes(bytes(38_999))
    before = len(filled.requests)
    again = fetch(client, files, tmp_path / "out")
    assert again.fetched == ("data/run0/run0.st",) and len(again.skipped) == 6
    assert stored(tmp_path / "out")["data/run0/run0.st"] == filled.files["10499/data/run0/run0.st"]
    gets = [path for method, path, _ in filled.requests[before:] if method == "GET"]
    assert gets == ["/files/10499/data/run0/run0.st"]
    filled.head_allowed = False
    assert len(fetch(client, files, tmp_path / "out").skipped) == 7


def test_one_file_that_fails_does_not_stop_the_others(filled, client, tmp_path):
    filled.behaviours["/files/10499/data/run1/run1.st"] = ["503*"]
    outcome = fetch(client, list(Tree(client, "10499").files()), tmp_path)
    assert len(outcome.fetched) == 6
    ((path, why),) = outcome.failed
    assert path == "data/run1/run1.st" and "answers 503" in why


@pytest.mark.parametrize("connections", [1, 3])
def test_no_more_connections_than_allowed(filled, client, tmp_path, connections):
    for path in list(filled.files):
        filled.behaviours[f"/files/{path}"] = ["drip:0.00001"] if path.endswith(".tlt") else []
    fetch(client, list(Tree(client, "10499").files()), tmp_path, connections=connections)
    assert filled.most_at_once <= connections
    for wrong in (0, 17):
        with pytest.raises(InputError, match="connections"):
            fetch(client, [], tmp_path, connections=wrong)


def test_one_folder_is_one_commands(filled, client, tmp_path):
    with locked(tmp_path), pytest.raises(OutputError, match="another run"):
        fetch(client, list(Tree(client, "10499").files()), tmp_path)


def test_a_stop_in_mid_download_keeps_what_came(filled, server, tmp_path):
    slow = Client(Server(server.api_url, server.files_url, timeout_s=5))
    filled.behaviours["/files/10499/data/run0/run0.st"] = ["drip:0.001"]
    file = RemoteFile("run0.st", f"{server.folder_url('10499')}data/run0/run0.st", None)
    timer = threading.Timer(0.5, slow.stop.set)
    timer.start()
    with pytest.raises(StoppedError):
        fetch(slow, [file], tmp_path)
    kept = (tmp_path / "run0.st.partial").read_bytes()
    assert kept and filled.files["10499/data/run0/run0.st"].startswith(kept)
    assert fetch(Client(server), [file], tmp_path).fetched == ("run0.st",)
    assert (tmp_path / "run0.st").read_bytes() == filled.files["10499/data/run0/run0.st"]
