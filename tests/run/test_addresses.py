"""Series and credentials at addresses: fetched once, the same voxels, and no password shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from object_store_support import GIVEN, SHAPE_YX, refused, run
from run_support import fingerprint_of_files, options, write_series
from s3_support import SECRET, process_with_port
from test_resume import environment

from cryolithe_stream.errors import AccessError, CryolitheError, FormatError, InputError, OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import RunOptions, plan_run, reconstruct_series, verify_tomogram
from cryolithe_stream.store import box_checksum, create_tomogram, open_tomogram, place_of, write_box
from cryolithe_stream_cli.main import main


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


def test_an_empty_shard_on_a_web_server_is_damage_not_a_fault_of_the_server(tmp_path):
    """Its index is asked for as the last bytes, which an empty file has none of: 416."""
    image, shape = tmp_path / "t.ome.zarr", (20, 20, 20)
    create_tomogram(
        image, shape_zyx=shape, voxel_angstrom=10, dtype="float32", chunk_zyx=(8, 8, 8), shard_zyx=(32, 32, 32)
    )
    write_box(image, Box.whole(shape), np.ones(shape, np.float32))
    (image / "0/c/0/0/0").write_bytes(b"")
    support = Path(__file__).parents[1] / "web_support.py"
    with (
        process_with_port([sys.executable, str(support), str(tmp_path)], log=tmp_path / "log") as (_, address),
        pytest.raises(FormatError, match="cannot be read"),
    ):
        box_checksum(f"{address}/t.ome.zarr", Box.whole(shape))


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
