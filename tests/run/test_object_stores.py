"""Runs into an object store: the same bytes as in a folder, whatever fails on the way, and no secret shown."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest
from object_store_support import GIVEN, SHAPE_YX, arguments, refused, run, voxels
from run_support import fingerprint_of_files, options
from s3_support import SECRET, objects
from test_resume import environment, marks

from cryolithe_stream.errors import FormatError, MissingFileError, OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series, verify_tomogram
from cryolithe_stream.store import claim_output, open_ome_zarr, open_tomogram, place_of
from cryolithe_stream_cli.main import main


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


@pytest.mark.slow
def test_worker_processes_write_too(made, files, out, tmp_path):
    series, local = made
    assert main(arguments(series, out, tmp_path, "--cluster", "local:2")) == 0
    assert not verify_tomogram(out).damages
    whole = Box.whole((20, *SHAPE_YX))
    assert (open_tomogram(out).read_box(whole) == open_tomogram(local).read_box(whole)).all()


def test_a_server_that_knows_no_conditions_still_tells_runs_apart(files, out, proxy):
    proxy.knows_conditions = False
    place = place_of(out)
    claim_output(place, "first", overwrite=False)
    claim_output(place, "first", overwrite=False)
    with pytest.raises(OutputError, match="another run is writing"):
        claim_output(place, "second", overwrite=False)
