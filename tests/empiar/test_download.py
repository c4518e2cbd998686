"""One file from a server that misbehaves: whole in the end, or not there under its name."""

from __future__ import annotations

import random
import time

import pytest

from cryolithe_stream.empiar import Client, NoProgress, RemoteFile, Server, Size
from cryolithe_stream.empiar.download import download
from cryolithe_stream.errors import RemoteError
from tests.empiar.conftest import DATA

PATH = "/files/10499/a.mrc"


def ranges(archive):
    return [headers.get("Range") for headers in archive.asked(PATH)]


def only_the_file(folder):
    assert [path.name for path in folder.iterdir()] == ["a.mrc"]
    assert (folder / "a.mrc").read_bytes() == DATA
    return True


def test_a_file_comes_as_it_is(archive, loaded, tmp_path):
    assert loaded() == len(DATA)
    assert only_the_file(tmp_path)
    headers = archive.asked(PATH)[0]
    assert headers["User-Agent"].startswith("cryolithe-stream/") and headers["Accept-Encoding"] == "identity"


def test_an_empty_file_is_a_file(archive, loaded, tmp_path):
    archive.files["10499/a.mrc"] = b""
    assert loaded() == 0
    assert (tmp_path / "a.mrc").read_bytes() == b""


@pytest.mark.parametrize("etags", [True, False])
def test_a_cut_connection_is_taken_up_where_it_was_cut(archive, loaded, tmp_path, etags):
    archive.etags = etags
    archive.behaviours[PATH] = ["cut:100000", "cut:50000"]
    assert loaded() == len(DATA)
    assert only_the_file(tmp_path)
    assert ranges(archive) == [None, "bytes=100000-", "bytes=150000-"]
    condition = archive.asked(PATH)[1]["If-Range"]
    assert condition.startswith('"') if etags else condition.endswith("GMT")


def test_a_server_without_ranges_is_asked_anew(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["cut:100000", "norange"]
    assert loaded() == len(DATA)
    assert only_the_file(tmp_path)


def test_a_file_that_changes_between_attempts_is_one_version(archive, client, file, tmp_path):
    archive.behaviours[PATH] = ["cut:100000"]

    class Changes(NoProgress):
        def arrived(self, n_bytes):
            archive.files["10499/a.mrc"] = DATA[::-1]
            archive.dates[PATH] = 1_600_000_060

    download(client, file, tmp_path / "a.mrc", Changes())
    assert (tmp_path / "a.mrc").read_bytes() == DATA[::-1]


def test_machines_that_tag_a_file_differently_share_its_ranges(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["cut:100000", "othertag", "othertag"]
    assert loaded() == len(DATA)
    assert only_the_file(tmp_path)
    assert ranges(archive) == [None, "bytes=100000-", "bytes=100000-"]
    assert archive.asked(PATH)[2]["If-Range"].endswith("GMT")


def test_another_tag_from_a_server_without_ranges_starts_anew(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["cut:100000", "othertag", "norange"]
    assert loaded() == len(DATA)
    assert only_the_file(tmp_path)


def test_progress_gives_all_attempts_again_and_starting_anew_does_not(archive, loaded, tmp_path):
    archive.files["10499/a.mrc"] = big = random.Random(3).randbytes(5 << 20)
    archive.behaviours[PATH] = [word for _ in range(4) for word in (f"cut:{1 << 20}", "503", "503")]
    loaded()
    assert (tmp_path / "a.mrc").read_bytes() == big
    (tmp_path / "a.mrc").unlink()
    archive.behaviours[PATH] = [f"cut:{2 << 20}"] + ["norange-cut"] * 99
    with pytest.raises(RemoteError, match="4 times in a row"):
        loaded()
    assert len(archive.behaviours[PATH]) > 90


def test_busy_servers_are_given_the_time_that_they_ask_for(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["503:1", "status:429"]
    loaded()
    assert only_the_file(tmp_path)
    assert archive.times[1] - archive.times[0] >= 1.0


@pytest.mark.timeout(60)
def test_the_time_that_a_server_may_ask_for_is_bounded(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["503:86400", "503:not a number"]
    began = time.monotonic()
    loaded()
    assert time.monotonic() - began >= 1.5


def test_patience_ends(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["503*"]
    with pytest.raises(RemoteError, match="the server answers 503, 4 times in a row"):
        loaded()
    assert len(archive.asked(PATH)) == 4 and not list(tmp_path.iterdir())


def test_pauses_double(archive, file, server, tmp_path):
    archive.behaviours[PATH] = ["503*"]
    client = Client(Server(server.api_url, server.files_url, attempts=5, first_pause_s=0.1, longest_pause_s=9))
    with pytest.raises(RemoteError):
        download(client, file, tmp_path / "a.mrc", NoProgress())
    pauses = [b - a for a, b in zip(archive.times[:-1], archive.times[1:], strict=True)]
    assert pauses[1] >= 0.2 and pauses[2] >= 0.4 and pauses[3] >= 0.8


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusals_are_final(archive, loaded, tmp_path, status):
    archive.behaviours[PATH] = [f"status:{status}*"]
    with pytest.raises(RemoteError, match=f"the server answers {status}"):
        loaded()
    assert len(archive.asked(PATH)) == 1 and not list(tmp_path.iterdir())


def test_more_announced_than_sent_is_no_whole_file(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["lie:400000*"]
    with pytest.raises(RemoteError, match=r"fewer bytes than it announced|stopped before the end"):
        loaded()
    assert not (tmp_path / "a.mrc").exists()


@pytest.mark.parametrize("size", [Size(300_000, 300_000), Size.parse("293", "K")])
def test_less_announced_than_listed_is_no_whole_file(archive, loaded, file, tmp_path, size):
    archive.behaviours[PATH] = ["lie:1000*"]
    with pytest.raises(RemoteError, match=r"1000 bytes are sent, but .* listed"):
        loaded(RemoteFile(file.path, file.url, size))
    assert not list(tmp_path.iterdir())
    archive.behaviours.clear()
    loaded(RemoteFile(file.path, file.url, size))
    assert only_the_file(tmp_path)


def test_bodies_in_chunks_are_checked_against_the_list(archive, loaded, file, tmp_path):
    archive.behaviours[PATH] = ["chunked:100000", "chunked"]
    loaded(RemoteFile(file.path, file.url, Size(300_000, 300_000)))
    assert only_the_file(tmp_path)
    assert ranges(archive)[1] == "bytes=100000-"
    archive.behaviours[PATH] = ["chunked"]
    with pytest.raises(RemoteError, match="more comes than the 1000 bytes announced"):
        loaded(RemoteFile(file.path, file.url, Size(1000, 1000)))


@pytest.mark.parametrize("word", ["oldhttp", "chunked"])
def test_a_length_that_nobody_tells_is_refused(archive, loaded, tmp_path, word):
    archive.behaviours[PATH] = [word]
    with pytest.raises(RemoteError, match="does not say how long"):
        loaded()
    assert not list(tmp_path.iterdir())


def test_what_is_packed_is_refused(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["gzip"]
    with pytest.raises(RemoteError, match="packs what it sends"):
        loaded()


def test_a_part_that_nobody_asked_for_is_not_taken(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["plain206"]
    loaded()
    assert only_the_file(tmp_path)


def test_parts_of_another_version_are_not_joined(archive, client, file, tmp_path):
    archive.behaviours[PATH] = ["cut:100000", "blind"]
    other = DATA[::-1]

    class Changes(NoProgress):
        def arrived(self, n_bytes):
            archive.files["10499/a.mrc"] = other

    download(client, file, tmp_path / "a.mrc", Changes())
    assert (tmp_path / "a.mrc").read_bytes() == other


def test_another_part_than_asked_for_is_not_joined(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["cut:100000", "shifted"]
    loaded()
    assert only_the_file(tmp_path)
    assert ranges(archive) == [None, "bytes=100000-", None]


@pytest.mark.timeout(60)
def test_a_drip_and_silence_are_given_up(archive, loaded, tmp_path):
    archive.behaviours[PATH] = ["drip:0.05", "silent:100", "cut:200000"]  # four hours, and 100 s
    loaded()
    assert only_the_file(tmp_path)


def test_redirects_within_the_server_are_followed_and_others_not(archive, loaded, address, tmp_path):
    archive.files["10499/b.mrc"] = DATA
    archive.behaviours[PATH] = ["redirect:/files/10499/b.mrc"]
    loaded()
    assert only_the_file(tmp_path)
    for target in ("http://127.0.0.2:1/x", "https://evil.example/x", "file:///etc/passwd", "//[bad"):
        archive.behaviours[PATH] = [f"redirect:{target}"]
        with pytest.raises(RemoteError, match=r"another server|cannot be asked for"):
            loaded()
    archive.behaviours[PATH] = [f"redirect:{address}{PATH}*"]
    with pytest.raises(RemoteError, match="without end"):
        loaded()


def test_nobody_at_the_address_is_one_line(tmp_path):
    client = Client(Server("http://127.0.0.1:9", "http://127.0.0.1:9", attempts=2, first_pause_s=0.01))
    with pytest.raises(RemoteError, match="the connection failed, 2 times in a row"):
        download(client, RemoteFile("a", "http://127.0.0.1:9/a", None), tmp_path / "a", NoProgress())
    assert not list(tmp_path.iterdir())
