"""Repair of tomograms in object stores: the same bytes again, one at a time, whatever fails on the way."""

from __future__ import annotations

import json
import signal
import time

import pytest
from fault_support import started, wait_until
from object_store_support import GIVEN, refused, run
from repair_support import MARK, again, cut, delete, empty, flip, put, shards
from run_support import options
from s3_support import SECRET, objects

from cryolithe_stream.errors import AccessError, InputError, OutputError
from cryolithe_stream.run import reconstruct_series, repair_tomogram, verify_tomogram
from cryolithe_stream.store import open_tomogram
from cryolithe_stream_cli.main import main


@pytest.mark.parametrize(
    "harms",
    [
        {0: flip, 1: cut},
        pytest.param({0: delete}, marks=pytest.mark.slow),
        {0: delete, 1: empty},
        pytest.param({0: empty, 1: flip}, marks=pytest.mark.slow),
        pytest.param({0: cut, 1: delete}, marks=pytest.mark.slow),
    ],
)
def test_what_is_damaged_is_put_in_its_place_and_nothing_else(whole, files, out, proxy, tmp_path, harms):
    for level, harm in harms.items():
        harm(files, out, shards(whole, level)[-1])
    found = verify_tomogram(out)
    assert sorted(damage.level for damage in found.damages) == sorted(harms)
    proxy.headers_seen.clear()
    assert not repair_tomogram(found, cluster="threads", workspace=tmp_path).damages
    assert objects(files, out[5:]) == whole
    assert not list(tmp_path.iterdir())
    written = [(path.partition("TS_01.ome.zarr/")[2], condition) for method, path, condition in proxy.headers_seen
               if method == "PUT"]  # fmt: skip
    assert written[0] == (MARK, "*")
    harmed = {shards(whole, level)[-1] for level in harms}
    assert harmed <= {name for name, _ in written[1:]}
    assert all("/c/" in name for name, _ in written[1:]), "the root metadata stay as they are"
    assert {name for name, _ in written if name.startswith("0/")} <= harmed
    removed = [path for method, path, _ in proxy.headers_seen if method == "DELETE"]
    assert [path.endswith(MARK) for path in removed] == [True]


def test_checksums_that_differ_are_recorded_in_one_write(whole, files, out, proxy, tmp_path):
    """As when another kind of machine computes other last bits: here it is the record that is another."""
    root = json.loads(whole["zarr.json"])
    checksums = root["attributes"]["cryolithe_stream"]["checksums"]
    checksums["blocks"][0] = checksums["levels"]["1"]["0/0/0"] = "crc32:00000000"
    put(files, out, "zarr.json", json.dumps(root).encode())
    proxy.headers_seen.clear()
    assert not again(out, tmp_path).damages
    assert objects(files, out[5:]) == whole
    written = [path for method, path, _ in proxy.headers_seen if method == "PUT"]
    assert [path.endswith("TS_01.ome.zarr/zarr.json") for path in written] == [False] * (len(written) - 1) + [True]


def test_the_command_repairs_a_series_in_the_bucket_too(made, files, out, tmp_path, capsys, monkeypatch):
    """Its stack is fetched into the folder of the repair, which is the current one, and goes with it."""
    series, _ = made
    monkeypatch.chdir(tmp_path)
    raw = f"{out.rpartition('/')[0]}/raw"
    for path in series.values():
        files.put_file(str(path), f"{raw[5:]}/{path.name}")
    reconstruct_series(options(out, stack=f"{raw}/ts.mrc", angles=f"{raw}/ts.tlt", **GIVEN))
    before = objects(files, out[5:])
    for level in (0, 1):
        cut(files, out, shards(before, level)[0])
    assert main(["verify", out]) == 1
    assert main(["verify", out, "--repair", "--cluster", "threads:2"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == f"whole: {out}" and f"{out}: 2 pieces are made again" in told.err
    assert objects(files, out[5:]) == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fault", "said", "exits"),
    [
        (500, "answers 500", 1),
        pytest.param(503, "answers 503", 1, marks=pytest.mark.slow),
        pytest.param(403, "no permission", 2, marks=pytest.mark.slow),
        pytest.param(0, "cannot be reached", 1, marks=pytest.mark.slow),
    ],
)
def test_a_server_that_fails_half_way_and_again(whole, files, out, proxy, tmp_path, capsys, fault, said, exits):
    damaged = shards(whole, 0)[:-1]
    for name in damaged:
        delete(files, out, name)
    command = ["verify", out, "--repair", "--cluster", "threads", "--workspace", str(tmp_path)]
    proxy.fail(fault, after=1)
    code, line = refused(command, capsys)
    assert (code, said in line, out in line, SECRET in line) == (exits, True, True, False), line
    proxy.fault = None
    left = objects(files, out[5:])
    assert {name: left[name] for name in left if name != MARK} == {
        name: whole[name] for name in left if name != MARK
    }, "what is there is whole"
    assert open_tomogram(out).finished
    (folder,) = tmp_path.iterdir()
    assert not any(path.is_dir() for path in folder.iterdir()), "the projections are gone"
    assert main(command) == 0
    assert objects(files, out[5:]) == whole and not list(tmp_path.iterdir())


def test_a_bucket_without_the_right_to_write(whole, files, out, proxy, tmp_path):
    flip(files, out, shards(whole, 0)[0])
    damaged = objects(files, out[5:])
    proxy.forbidden = ("PUT", "DELETE")
    with pytest.raises(AccessError, match="no permission"):
        again(out, tmp_path)
    assert objects(files, out[5:]) == damaged and not list(tmp_path.iterdir())
    proxy.forbidden = ("DELETE",)
    with pytest.raises(AccessError, match="no permission"):
        again(out, tmp_path)
    assert objects(files, out[5:]).keys() - whole.keys() == {MARK}, "repaired, but its mark stays"
    proxy.forbidden = ()
    assert main(["verify", out, "--repair", "--workspace", str(tmp_path)]) == 0
    assert objects(files, out[5:]) == whole and not list(tmp_path.iterdir())


def test_web_servers_and_workspaces_of_local_tomograms_are_refused_before_work(made, tmp_path, capsys):
    _, local = made
    for place in ("https://127.0.0.1:9/t.ome.zarr", f"http://me:{SECRET}@127.0.0.1:9/t.ome.zarr"):
        code, line = refused(["verify", str(local), place, "--repair"], capsys)
        assert (code, "a web server is only read from" in line, SECRET in line) == (2, True, False), line
    code, line = refused(["verify", str(local), "--repair", "--workspace", str(tmp_path)], capsys)
    assert (code, "--workspace is for tomograms in object stores" in line) == (2, True), line


@pytest.mark.slow
def test_killed_and_started_again(whole, files, out, proxy, tmp_path):
    for name in shards(whole, 0):
        delete(files, out, name)
    command = ["verify", out, "--repair", "--cluster", "threads", "--workspace", tmp_path]
    proxy.headers_seen.clear()

    def n_written() -> int:
        return sum(method == "PUT" and "/0/c/" in path for method, path, _ in list(proxy.headers_seen))

    with started(*command) as process:
        wait_until(n_written, process)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    time.sleep(0.5)  # the proxy may be passing an object on
    left = objects(files, out[5:])
    assert MARK in left and all(left[name] == whole[name] for name in left if name != MARK)
    assert open_tomogram(out).finished
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if verify_tomogram(out).damages:
        with pytest.raises(OutputError, match="under repair since"):
            again(out, elsewhere)
    assert main(list(map(str, command))) == 0
    assert objects(files, out[5:]) == whole and list(tmp_path.iterdir()) == [elsewhere]


@pytest.mark.slow
def test_halves_of_version_04_by_worker_processes(made, files, out, tmp_path):
    series, _ = made
    run(out, tmp_path, series, ome_zarr="0.4", halves=True)
    for name in ("", "_odd", "_even"):
        address = out.replace("TS_01", f"TS_01{name}")
        before = objects(files, address[5:])
        numbered = [key for key in before if key[:2] in ("0/", "1/") and key[-1].isdigit()]
        for key, harm in zip((numbered[0], numbered[1], numbered[-1]), (delete, flip, empty), strict=True):
            harm(files, address, key)
        left = again(address, tmp_path, cluster="local:2")
        assert not left.damages
        assert objects(files, address[5:]) == before
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_stack_that_changed_or_went_leaves_no_claim(made, files, out, tmp_path):
    series, _ = made
    raw = f"{out.rpartition('/')[0]}/raw"
    files.put_file(str(series["stack"]), f"{raw[5:]}/ts.mrc")
    reconstruct_series(options(out, stack=f"{raw}/ts.mrc", angles=series["angles"], workspace=tmp_path, **GIVEN))
    delete(files, out, shards(objects(files, out[5:]), 0)[0])
    before = objects(files, out[5:])
    flip(files, f"{raw}", "ts.mrc")
    with pytest.raises(InputError, match="has changed since it was made"):
        again(out, tmp_path)
    delete(files, raw, "ts.mrc")
    with pytest.raises(InputError, match="does not exist"):
        again(out, tmp_path)
    assert objects(files, out[5:]) == before and not list(tmp_path.iterdir())
