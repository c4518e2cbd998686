"""Groups of files, one after another on a bounded disk."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from cryolithe_stream.empiar import Client, Group, GroupStream, Patterns, RemoteFile, Tree, group_by_folder
from cryolithe_stream.empiar.client import StoppedError
from cryolithe_stream.errors import InputError, OutputError, ServerLostError


def stored(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name[0] != "."}


def groups_of(client):
    return group_by_folder(Tree(client, "10499", Patterns.parse(["data/"])).files(), 2)


def test_groups_are_series(filled, client):
    assert [(group.name, len(group.files)) for group in groups_of(client)] == [(f"data/run{i}", 2) for i in range(3)]


def test_series_stream_through_a_disk_that_holds_two(filled, client, tmp_path):
    most, seen = 0, []
    with GroupStream(client, groups_of(client), tmp_path / "scratch", budget_bytes=80_000) as stream:
        for fetched in stream:
            with fetched:
                time.sleep(0.2)
                most = max(most, sum(map(len, stored(tmp_path / "scratch").values())))
                name = fetched.group.name
                assert not fetched.failed
                assert fetched.paths[0].read_bytes() == filled.files[f"10499/{name}/{name[-4:]}.st"]
                seen.append(fetched.group.name)
            assert not any(path.exists() for path in fetched.paths)
    assert seen == ["data/run0", "data/run1", "data/run2"]
    assert 39_900 < most <= 80_000  # one was there, and the next one beside it
    assert stored(tmp_path / "scratch") == {}


def test_the_next_group_comes_while_one_is_worked_on(filled, client, tmp_path):
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=80_000) as stream, next(stream):
        deadline = time.monotonic() + 5
        while not (tmp_path / "s/data/run1/run1.st").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (tmp_path / "s/data/run1/run1.st").exists()
        time.sleep(0.1)
        assert not (tmp_path / "s/data/run2").exists()


def test_groups_that_are_not_released_are_not_waited_for_by_their_holder(filled, client, tmp_path):
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=50_000) as stream:
        next(stream)
        with pytest.raises(InputError, match="does not fit into 50000 beside those in use"):
            next(stream)


def test_another_thread_may_release_a_group(filled, client, tmp_path):
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=50_000) as stream:
        taken = []
        worker = threading.Thread(target=lambda: (taken.append(next(stream)), time.sleep(0.3), taken[0].release()))
        worker.start()
        while not taken:
            time.sleep(0.01)
        assert next(stream).group.name == "data/run1"
        worker.join()


def test_a_group_larger_than_the_budget_comes_without_files_and_others_go_on(filled, client, tmp_path):
    filled.files["10499/data/run1/run1.st"] = bytes(90_000)
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=80_000) as stream:
        found = []
        for fetched in stream:
            with fetched:
                found.append((fetched.group.name, len(fetched.paths), fetched.failed))
    reason = "it needs 90900 bytes, the budget of disk is 80000"
    assert found == [("data/run0", 2, ()), ("data/run1", 0, (("data/run1", reason),)), ("data/run2", 2, ())]
    assert not filled.asked("/files/10499/data/run1/run1.st")


def test_a_file_that_two_groups_have_stays_while_one_is_in_use(filled, client, tmp_path):
    first, second, _ = groups_of(client)
    shared = next(file for file in first.files if file.path.endswith(".tlt"))
    groups = [first, Group("b", (*second.files, shared))]
    with GroupStream(client, groups, tmp_path / "s", budget_bytes=90_000) as stream:
        one, two = next(stream), next(stream)
        one.release()
        assert not (tmp_path / "s/data/run0/run0.st").exists()
        assert all(path.exists() for path in two.paths) and len(two.paths) == 3
        two.release()
        assert stored(tmp_path / "s") == {}
    assert len(filled.asked("/files/10499/" + shared.path)) == 1


def test_groups_that_are_kept_leave_less_for_others(filled, client, tmp_path):
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=80_000) as stream:
        reasons = []
        for fetched in stream:
            reasons += [reason for _, reason in fetched.failed]
            fetched.keep()
    assert reasons == ["it needs 39900 bytes, the budget of disk is 80000, of which 79800 are kept"]
    assert len(stored(tmp_path / "s")) == 4


def test_threads_take_groups_by_name(filled, client, tmp_path):
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=130_000) as stream:
        taken = [stream.take(f"data/run{i}") for i in (2, 0, 1)]
        assert [fetched.paths[0].name for fetched in taken] == ["run2.st", "run0.st", "run1.st"]
        assert all(file.size.exact and file.modified.endswith("GMT") for file in taken[0].group.files)
        with pytest.raises(InputError, match="no group data/run1 comes any more"):
            stream.take("data/run1")


def test_a_group_that_is_set_aside_stays_until_its_room_is_needed(filled, client, server, tmp_path):
    with GroupStream(client, list(groups_of(client))[:2], tmp_path / "s", budget_bytes=80_000) as stream:
        next(stream).set_aside()
        next(stream).release()
        assert sorted(stored(tmp_path / "s")) == ["data/run0/AreTomo/run0.tlt", "data/run0/run0.st"]
    with GroupStream(Client(server), groups_of(Client(server)), tmp_path / "s", budget_bytes=80_000) as stream:
        next(stream).set_aside()
        with next(stream), next(stream):
            assert not (tmp_path / "s/data/run0").exists()
    assert len(filled.asked("/files/10499/data/run0/run0.st")) == 1


def test_a_server_that_is_gone_ends_the_stream_and_one_that_refuses_a_file_does_not(filled, client, server, tmp_path):
    filled.behaviours["/files/10499/data/run0/run0.st"] = ["cut:100*"]
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=80_000) as stream:
        fetched = next(stream)
        assert "the server stopped before the end, 4 times in a row" in fetched.failed[0][1]
    gone = Client(replace(server, files_url="http://127.0.0.1:9/files"))
    group = Group("a", (RemoteFile("a.st", "http://127.0.0.1:9/files/a.st"),))
    with (
        GroupStream(gone, [group], tmp_path / "s", budget_bytes=80_000) as stream,
        pytest.raises(ServerLostError, match=r"the server is gone: \S+:9/files/: the connection failed, 4"),
    ):
        stream.take("a")


def test_a_thread_that_waits_is_woken_when_the_stream_is_halted(filled, client, tmp_path):
    filled.behaviours["/files/10499/data/run0/run0.st"] = ["stall:10"]
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=80_000) as stream:
        timer = threading.Timer(0.2, stream.halt)
        timer.start()
        with pytest.raises(StoppedError):
            stream.take("data/run2")


def test_a_series_that_fails_is_told_and_the_next_one_comes(filled, client, tmp_path):
    filled.behaviours["/files/10499/data/run0/run0.st"] = ["status:404*"]
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=80_000) as stream:
        with next(stream) as first:
            assert [path for path, _ in first.failed] == ["data/run0/run0.st"]
            assert [path.name for path in first.paths] == ["run0.tlt"]
        assert not next(stream).failed


def test_a_stream_that_was_stopped_goes_on_with_what_is_there(filled, client, server, tmp_path):
    with GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=130_000) as stream:
        next(stream)
        next(stream)
    assert {"data/run0/run0.st", "data/run1/run1.st"} <= set(stored(tmp_path / "s"))
    filled.requests.clear()
    client = Client(server)
    with GroupStream(client, list(groups_of(client))[1:], tmp_path / "s", budget_bytes=50_000) as stream:
        with next(stream) as fetched:
            assert fetched.group.name == "data/run1"
            assert not filled.asked("/files/10499/data/run1/run1.st")
            assert not (tmp_path / "s/data/run0/run0.st").exists()  # its room was needed
        client.stop.set()


def test_a_stream_deletes_in_a_folder_of_its_own_only(filled, client, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    with (
        pytest.raises(OutputError, match="holds other files"),
        GroupStream(client, groups_of(client), tmp_path, budget_bytes=80_000),
    ):
        pass
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.timeout(60)
def test_an_error_of_the_caller_ends_the_stream_soon(filled, server, tmp_path):
    filled.behaviours["/files/10499/data/run1/run1.st"] = ["503:100", "503:100"]
    client = Client(replace(server, longest_pause_s=100.0))
    with (
        pytest.raises(ZeroDivisionError),
        GroupStream(client, groups_of(client), tmp_path / "s", budget_bytes=80_000) as stream,
    ):
        next(stream)
        raise ZeroDivisionError
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("empiar")]


def test_a_group_that_comes_twice_is_refused(filled, client, tmp_path):
    group = next(groups_of(client))
    with GroupStream(client, [group, Group(group.name, group.files)], tmp_path / "s", budget_bytes=90_000) as stream:
        next(stream)
        with pytest.raises(InputError, match="comes twice"):
            next(stream)
