"""Files that are not whole yet: what of them is kept, and what is not trusted."""

from __future__ import annotations

import json
import subprocess
import threading
from dataclasses import replace

import pytest

from cryolithe_stream.empiar import Client, NoProgress, RemoteFile, Size, fetch
from cryolithe_stream.empiar.client import StoppedError
from cryolithe_stream.empiar.download import download
from cryolithe_stream.errors import OutputError
from tests.empiar.conftest import DATA

PATH = "/files/10499/a.mrc"


def only_the_file(folder):
    assert [path.name for path in folder.iterdir()] == ["a.mrc"]
    assert (folder / "a.mrc").read_bytes() == DATA
    return True


@pytest.mark.parametrize(
    "state", ["", "{", "[]", "null", '{"url": 1}', '{"url": "x", "size": "y", "etag": 1, "modified": 2}', "[" * 9999]
)
def test_a_partial_file_of_unknown_version_is_not_continued(loaded, tmp_path, state):
    (tmp_path / "a.mrc.partial").write_bytes(b"rubbish")
    (tmp_path / "a.mrc.partial.json").write_text(state)
    loaded()
    assert only_the_file(tmp_path)


def test_a_partial_file_of_another_size_than_listed_is_not_continued(archive, client, file, tmp_path):
    version = {"url": file.url, "size": 100, "etag": "", "modified": ""}
    (tmp_path / "a.mrc.partial").write_bytes(b"x" * 100)
    (tmp_path / "a.mrc.partial.json").write_text(json.dumps(version))
    download(client, RemoteFile("a.mrc", file.url, Size(300_000, 300_000)), tmp_path / "a.mrc", NoProgress())
    assert only_the_file(tmp_path)


def test_links_in_the_place_of_partial_files_are_not_written_through(loaded, tmp_path):
    outside = tmp_path.parent / "outside"
    outside.write_bytes(b"precious")
    (tmp_path / "a.mrc.partial").symlink_to(outside)
    with pytest.raises(OutputError):
        loaded()
    assert outside.read_bytes() == b"precious"


@pytest.mark.timeout(60)
def test_work_that_is_stopped_stops_in_a_pause_and_keeps_what_came(archive, server, file, tmp_path):
    archive.behaviours[PATH] = ["cut:100000", "503:100", "503:100"]
    client = Client(replace(server, longest_pause_s=100.0))
    threading.Timer(0.3, client.stop.set).start()
    with pytest.raises(StoppedError):
        download(client, file, tmp_path / "a.mrc", NoProgress())
    assert (tmp_path / "a.mrc.partial").read_bytes() == DATA[:100_000]


def test_a_full_disk_leaves_nothing_half_written(archive, client, file, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs more rights")
    try:
        listed = RemoteFile("a.mrc", file.url, Size(300_000, 300_000))
        with pytest.raises(OutputError, match=r"the files need .* are free"):
            fetch(Client(client.server), [listed], disk)
        assert not archive.requests
        with pytest.raises(OutputError, match=r"has 300000 bytes, and \d+ are free"):
            fetch(Client(client.server), [file], disk)
        archive.behaviours[PATH] = ["chunked"]
        with pytest.raises(OutputError, match="the disk is full"):
            download(client, listed, disk / "a.mrc", NoProgress())
        assert [path.name for path in disk.iterdir()] == [".cryolithe-empiar.lock"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
