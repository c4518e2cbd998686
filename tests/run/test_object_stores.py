"""Runs into an object store and from addresses: the same bytes, whatever fails on the way, and no secret shown."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from run_support import fingerprint_of_files, options, write_series
from s3_support import SECRET, objects, process_with_port
from test_resume import environment, marks

from cryolithe_stream.errors import AccessError, CryolitheError, FormatError, InputError, MissingFileError, OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import RunOptions, plan_run, reconstruct_series, verify_tomogram
from cryolithe_stream.store import open_ome_zarr, open_tomogram, place_of
from cryolithe_stream_cli.main import main

GIVEN = {"method": "fbp", "thickness": 20}
SHAPE_YX = (60, 130)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[dict[str, Any], Path]:
    """A series, and its tomogram in a local folder."""
    folder = tmp_path_factory.mktemp("made")
    series = write_series(folder / "in", n_tilts=9, shape_yx=SHAPE_YX)
    reconstruct_series(options(folder / "t.ome.zarr", **series, **GIVEN))
    return series, folder / "t.ome.zarr"


def voxels(files, out: str) -> dict[str, bytes]:
    return {name: data for name, data in objects(files, out[5:]).items() if "/c/" in name}


def run(out: str, folder: Path, series, **given):
    return reconstruct_series(options(out, **{**series, **GIVEN, "workspace": folder, **given}))


def refused(arguments: list[str], capsys) -> tuple[int, str]:
    """The exit code of a command, and its one line of standard error that is an error."""
    code = main(arguments)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, lines
    return code, lines[0]


def arguments(series, out: str, folder: Path, *more: str) -> list[str]:
    given = ["run", str(series["stack"]), "--angles", str(series["angles"]), "--method", "fbp", "--thickness", "20"]
    return [*given, "--cluster", "threads", "--workspace", str(folder), "-o", out, *more]


def test_a_bucket_gets_what_a_folder_gets(made, files, out, proxy, tmp_path):
    series, local = made
    result = run(out, tmp_path, series)
    assert (result.status, [str(path) for path in result.outputs]) == ("done", [out])
    assert voxels(files, out) == fingerprint_of_files(local)
    names = {str(path.relative_to(local)) for path in local.rglob("*") if path.is_file()}
    assert set(objects(files, out[5:])) == names, "nothing else is left below the name"
    assert not list(tmp_path.iterdir()), "the workspace goes when the run is over"
    written = [path for method, path, _ in proxy.headers_seen if method == "PUT"]
    assert written[-1].endswith("TS_01.ome.zarr/zarr.json"), "what makes it an image comes last"
    assert not any(path.endswith("TS_01.ome.zarr/zarr.json") for path in written[:-1])
    conditions = [path for _, path, condition in proxy.headers_seen if condition == "*"]
    assert [path.rpartition("/")[2] for path in conditions] == ["owner.json"]
    assert run(out, tmp_path, series).status == "already complete"
    found = verify_tomogram(out)
    assert not found.damages and found.n_checked >= 5
    whole = Box.whole((20, *SHAPE_YX))
    assert (open_ome_zarr(out).read_box(whole) == open_tomogram(local).read_box(whole)).all()


@pytest.mark.slow
def test_version_04_and_halves(made, files, out, tmp_path):
    series, _ = made
    run(out, tmp_path, series, ome_zarr="0.4", halves=True)
    local = tmp_path / "t.ome.zarr"
    reconstruct_series(options(local, **series, **GIVEN, ome_zarr="0.4", halves=True))
    for name in ("", "_odd", "_even"):
        remote, here = out.replace("TS_01", f"TS_01{name}"), tmp_path / f"t{name}.ome.zarr"
        kept = {str(p.relative_to(here)): p.read_bytes() for p in here.rglob("*") if p.is_file()}
        there = objects(files, remote[5:])
        assert set(there) == set(kept)
        assert {k for k in kept if there[k] != kept[k]} == {".zattrs"}
        assert open_tomogram(remote).finished


@pytest.mark.slow
def test_other_reconstructions_are_refused_and_replaced_with_overwrite(made, files, out, proxy, tmp_path):
    series, local = made
    run(out, tmp_path, series, thickness=16)
    with pytest.raises(OutputError, match="thickness was 16, is 20"):
        run(out, tmp_path, series)
    proxy.headers_seen.clear()
    assert run(out, tmp_path, series, overwrite=True).status == "done"
    assert voxels(files, out) == fingerprint_of_files(local)
    removed = [path for method, path, _ in proxy.headers_seen if method == "DELETE"]
    assert removed[0].endswith("TS_01.ome.zarr/zarr.json"), "what makes the old one an image goes first"


@pytest.mark.parametrize("place", ["notes.txt", "0/c/0/0/0", "zarr.json"])
def test_what_is_not_ours_is_refused_and_stays(made, files, out, tmp_path, place):
    series, _ = made
    files.pipe_file(f"{out[5:]}/{place}", b"{}")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="not written by cryolithe-stream"):
            run(out, tmp_path, series, overwrite=overwrite)
    assert objects(files, out[5:]) == {place: b"{}"}


@pytest.mark.slow
def test_a_foreign_object_in_a_tomogram_of_ours_stops_its_replacement(made, files, out, tmp_path):
    series, _ = made
    run(out, tmp_path, series, thickness=16)
    files.pipe_file(f"{out[5:]}/labels/zarr.json", b"{}")
    before = objects(files, out[5:])
    with pytest.raises(OutputError, match="1 objects below"):
        run(out, tmp_path, series, overwrite=True)
    after = objects(files, out[5:])
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("fault", "said", "exits"),
    [
        (500, "answers 500", 1),
        pytest.param(403, "no permission", 2, marks=pytest.mark.slow),
        pytest.param(0, "cannot be reached", 1, marks=pytest.mark.slow),
    ],
)
def test_a_server_that_fails_half_way_leaves_nothing_that_opens(
    made, files, out, proxy, tmp_path, capsys, fault, said, exits
):
    series, local = made
    proxy.fail(fault, after=3)
    code, line = refused(arguments(series, out, tmp_path), capsys)
    assert (code, said in line, out in line) == (exits, True, True), line
    assert SECRET not in line and "key-id-17" not in line
    proxy.fault = None
    wanted = fingerprint_of_files(local)
    n_blocks = sum(name.startswith("0/c/") for name in wanted)
    assert 1 <= len(voxels(files, out)) < n_blocks
    with pytest.raises((FormatError, MissingFileError)):
        open_ome_zarr(out)
    kept = marks(tmp_path / "TS_01.ome.zarr")
    assert kept > 2, "the blocks that were written are marked"
    proxy.headers_seen.clear()
    assert main(arguments(series, out, tmp_path)) == 0
    assert voxels(files, out) == wanted
    again = {path for method, path, _ in proxy.headers_seen if method == "PUT" and "/0/c/" in path}
    assert 0 < len(again) < n_blocks, "only what was missing, though a task of the first run may still try to write it"


@pytest.mark.slow
def test_killed_and_started_again_it_is_the_same(made, files, out, tmp_path):
    series, local = made
    given = arguments(series, out, tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "cryolithe_stream_cli", *given], env=environment(), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and marks(tmp_path / "TS_01.ome.zarr") < 4 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL, "the run ended before it was killed"
    with pytest.raises(FormatError):
        open_tomogram(out)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(OutputError, match="another run is writing"):
        run(out, elsewhere, series)
    assert not list(elsewhere.iterdir())
    assert main(given) == 0
    assert voxels(files, out) == fingerprint_of_files(local)


@pytest.mark.slow
def test_a_run_whose_workspace_is_lost_begins_anew_with_overwrite(made, files, out, proxy, tmp_path, capsys):
    series, local = made
    proxy.fail(500, after=2)
    refused(arguments(series, out, tmp_path), capsys)
    proxy.fault = None
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code, line = refused(arguments(series, out, elsewhere), capsys)
    assert (code, "--overwrite" in line) == (2, True)
    assert main(arguments(series, out, elsewhere, "--overwrite")) == 0
    assert voxels(files, out) == fingerprint_of_files(local)


def test_a_run_that_was_taken_over_does_not_publish(made, files, out, tmp_path, monkeypatch):
    series, _ = made

    class Rival:
        """Takes the output over when the pyramid begins."""

        def phase(self, name, total, unit):
            if name.startswith("pyramid"):
                mark = {"cryolithe_stream": {"owner": "rival", "since": "now"}}
                files.pipe_file(f"{out[5:]}/.cryolithe-stream/owner.json", json.dumps(mark).encode())

        def advance(self, n, voxels=0):
            pass

        def message(self, text):
            pass

    with pytest.raises(OutputError, match="taken"):
        reconstruct_series(options(out, **series, **GIVEN, workspace=tmp_path), Rival())
    assert not files.exists(f"{out[5:]}/zarr.json")


def test_series_in_a_bucket_and_on_a_web_server(made, files, out, tmp_path, capsys):
    series, local = made
    raw = f"{out.rpartition('/')[0]}/raw"
    for path in series.values():
        files.put_file(str(path), f"{raw[5:]}/{path.name}")
    given = {"stack": f"{raw}/ts.mrc", "angles": f"{raw}/ts.tlt", **GIVEN}
    assert plan_run(options(tmp_path / "a.ome.zarr", **given)).summary()["stack"] == f"{raw}/ts.mrc"
    assert not list(tmp_path.iterdir())
    reconstruct_series(options(tmp_path / "a.ome.zarr", **given))
    assert fingerprint_of_files(tmp_path / "a.ome.zarr") == fingerprint_of_files(local)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.zarr"]
    attributes = open_tomogram(tmp_path / "a.ome.zarr").attributes
    assert attributes["options"]["stack"] == attributes["input"]["stack"]["path"] == f"{raw}/ts.mrc"
    assert reconstruct_series(options(tmp_path / "a.ome.zarr", **given)).status == "already complete"

    support = Path(__file__).parents[1] / "web_support.py"
    with process_with_port([sys.executable, str(support), str(local.parent)], log=tmp_path / "log") as (_, address):
        web = address.replace("http://", f"http://me:{SECRET}@") + "/in"
        given = {"stack": f"{web}/ts.mrc?signature={SECRET}", "angles": f"{web}/ts.tlt", **GIVEN}
        reconstruct_series(options(tmp_path / "b.ome.zarr", **given))
        assert fingerprint_of_files(tmp_path / "b.ome.zarr") == fingerprint_of_files(local)
        text = (tmp_path / "b.ome.zarr" / "zarr.json").read_text()
        assert SECRET not in text and f"{address}/in/ts.mrc" in text
        assert not verify_tomogram(f"{address}/t.ome.zarr").damages
        assert main(["verify", f"{address}/t.ome.zarr"]) == 0
        assert main(["export", f"{address}/t.ome.zarr", str(tmp_path / "t.mrc")]) == 0
        assert main(["evaluate", f"{address}/t.ome.zarr", "--truth", str(local), "--json", "-"]) == 0
        assert main(["info", f"{address}/t.ome.zarr"]) == 0
        capsys.readouterr()
        for bad, said in (("gone.mrc", "does not exist"), (f"../private/ts.mrc?s={SECRET}", "no address")):
            code, line = refused(["run", f"{web}/{bad}", "-o", str(tmp_path / "c.ome.zarr")], capsys)
            assert (code, said in line, SECRET in line) == (2, True, False), line
        code, line = refused(["run", f"{address}/private/ts.mrc?s={SECRET}", "-o", str(tmp_path / "c.zarr")], capsys)
        assert (code, "no permission" in line, SECRET in line) == (2, True, False), line


def test_input_that_changed_on_the_server_is_not_taken_for_the_same(made, files, out, tmp_path):
    series, _ = made
    raw = f"{out.rpartition('/')[0]}/raw"
    files.put_file(str(series["stack"]), f"{raw[5:]}/ts.mrc")
    given = {"stack": f"{raw}/ts.mrc", "angles": series["angles"], **GIVEN}
    reconstruct_series(options(tmp_path / "a.ome.zarr", **given))
    other = write_series(tmp_path / "other", n_tilts=9, shape_yx=SHAPE_YX, seed=5)
    files.put_file(str(other["stack"]), f"{raw[5:]}/ts.mrc")
    with pytest.raises(OutputError, match="content changed"):
        reconstruct_series(options(tmp_path / "a.ome.zarr", **given))


@pytest.mark.parametrize(
    ("place", "kind", "said"),
    [
        ("s3://no-such-bucket-here/a/t.ome.zarr", AccessError, "no such bucket"),
        ("gs://bucket/t.ome.zarr", InputError, "gs:// is not known"),
        (f"s3://key:{SECRET}@bucket/t.ome.zarr", InputError, "a password"),
        ("s3://bucket/a/../t.ome.zarr", InputError, "no address"),
        ("s3://bucket/a*/t.ome.zarr", InputError, "characters"),
        ("s3:///t.ome.zarr", InputError, "no address"),
        ("https://host/t.ome.zarr", InputError, "to a local folder or to s3://"),
        ("s3://bucket/t.mrc", InputError, "OME-Zarr only"),
    ],
)
def test_places_that_cannot_be_are_told_by_name(made, files, tmp_path, place, kind, said):
    series, _ = made
    with pytest.raises(kind, match=said) as caught:
        run(place, tmp_path, series)
    assert SECRET not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_no_credentials_and_anonymous_access(files, tmp_path):
    out = "s3://public-bucket/t.ome.zarr"
    files.mkdir("public-bucket", acl="public-read")
    files.pipe_file(f"{out[5:]}/zarr.json", b"{}", ACL="public-read")
    lacking = {key: value for key, value in environment().items() if "ACCESS_KEY" not in key}
    lacking |= {"AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_CONFIG_FILE": "none", "AWS_EC2_METADATA_DISABLED": "true"}
    for more, said in (({}, "no usable credentials"), ({"FSSPEC_S3_ANON": "true"}, "is not a tomogram")):
        asked = subprocess.run(
            [sys.executable, "-m", "cryolithe_stream_cli", "info", out],
            env={**lacking, **more},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (asked.returncode, said in asked.stderr) == (2, True), asked.stderr


def test_options_record_no_password_and_workspaces_are_for_object_stores(tmp_path):
    told = RunOptions(stack=f"https://me:{SECRET}@host/a/ts.mrc?sig={SECRET}", output="t.ome.zarr")
    assert told.to_json()["stack"] == "https://host/a/ts.mrc"
    assert SECRET not in repr(told) and SECRET not in str(place_of(f"https://a:{SECRET}@b/c#{SECRET}"))
    with pytest.raises(CryolitheError, match="workspace: is for outputs in object stores"):
        RunOptions(stack="ts.mrc", output="t.ome.zarr", workspace=tmp_path)
    with pytest.raises(InputError) as caught:
        RunOptions(stack="ts.mrc", output=f"https://me:{SECRET}@host/t.ome.zarr")
    assert SECRET not in str(caught.value)


@pytest.mark.slow
def test_worker_processes_write_too(made, files, out, tmp_path):
    series, local = made
    assert main(arguments(series, out, tmp_path, "--cluster", "local:2")) == 0
    assert not verify_tomogram(out).damages
    whole = Box.whole((20, *SHAPE_YX))
    assert (open_tomogram(out).read_box(whole) == open_tomogram(local).read_box(whole)).all()


@pytest.mark.slow
def test_a_download_that_was_cut_is_kept_for_the_next_run(made, files, out, proxy, tmp_path, capsys):
    series, local = made
    raw = f"{out.rpartition('/')[0]}/raw"
    files.put_file(str(series["stack"]), f"{raw[5:]}/ts.mrc")
    target = tmp_path / "a.ome.zarr"

    class Cuts:
        """The server fails when the preparation begins, after the stack was fetched."""

        def phase(self, name, total, unit):
            if name.startswith("preparing"):
                raise KeyboardInterrupt

        def advance(self, n, voxels=0):
            pass

        def message(self, text):
            pass

    given = {"stack": f"{raw}/ts.mrc", "angles": series["angles"], **GIVEN}
    with pytest.raises(KeyboardInterrupt):
        reconstruct_series(options(target, **given), Cuts())
    proxy.headers_seen.clear()
    assert reconstruct_series(options(target, **given)).status == "done"
    assert fingerprint_of_files(target) == fingerprint_of_files(local)
    reads = [path for method, path, _ in proxy.headers_seen if method == "GET" and path.endswith("ts.mrc")]
    assert len(reads) == 1, "the header, not the stack"
