"""Entries of EMPIAR in batches: plans and their manifests, what goes on and what does not, what is refused."""

from __future__ import annotations

import os
import shutil

import pytest

from cryolithe_stream.batch import BatchRecord, Orders, Streaming, read_manifest
from cryolithe_stream.batch.status import batch_status
from cryolithe_stream.empiar import Server
from cryolithe_stream_cli.main import main
from tests.empiar import server as http
from tests.empiar.entry_support import NAMES, OPTIONS, STACK_BYTES, TOP, asked, assert_clean, raw, words
from tests.run.run_support import fingerprint_of_files


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


class StopsAtTheFirstBlock:
    """A progress that interrupts the batch when voxels are there."""

    def phase(self, name, total, unit):
        pass

    def advance(self, n, voxels=0):
        if voxels:
            raise KeyboardInterrupt

    def message(self, text):
        pass


def test_an_unfinished_series_goes_on_with_the_same_stack_only(public, clean, tmp_path, capsys):
    out, stack = tmp_path / "out", f"{TOP}/p0/p0.st"
    assert main(["batch", "plan", "empiar:11830", "-o", str(tmp_path / "m.yaml"), "--limit", "1", *OPTIONS]) == 0
    server = Server(files_url=os.environ["CRYOLITHE_EMPIAR_FILES"])
    orders = Orders(
        read_manifest(tmp_path / "m.yaml"), {}, streaming=Streaming(out / ".cryolithe-batch" / "raw", server=server)
    )
    with BatchRecord.open(out) as record, pytest.raises(KeyboardInterrupt):
        orders.keep(out)
        orders.run(out, record, at_once=1, progress=StopsAtTheFirstBlock())
    assert batch_status(out)[0].state == "begun"
    assert raw(out)["p0.st"] == STACK_BYTES, "what an interrupted series needs stays"
    was = public.files[stack]
    public.files[stack] = was[:2000] + bytes(4) + was[2004:]
    shutil.rmtree(out / ".cryolithe-batch" / "raw")
    assert main(["batch", "retry", str(out)]) == 1
    assert "the stack's content changed" in capsys.readouterr().err
    public.files[stack] = was
    shutil.rmtree(out / ".cryolithe-batch" / "raw")
    assert main(["batch", "retry", str(out)]) == 0
    assert_clean(out, clean, [0])


def test_lists_are_asked_for_again_when_that_is_wanted(public, tmp_path, capsys):
    only = ("--match", "data/*/p0/", "--limit", "1")
    public.behaviours[f"/files/{TOP}/p0/p0.st"] = ["status:404*"]
    assert main(words(tmp_path / "out", *only)) == 1
    lists = [path for _, path, _ in public.requests if path.endswith("/")]
    assert f"/files/{TOP}/p0/" in lists and f"/files/{TOP}/p1/" not in lists
    public.requests.clear()
    assert main(words(tmp_path / "out", *only)) == 1
    assert [path for _, path, _ in public.requests if path.endswith("/")] == ["/files/"], "whether it is still there"
    public.requests.clear()
    assert main(words(tmp_path / "out", *only, "--relist")) == 1
    assert [path for _, path, _ in public.requests if path.endswith("/")] == [*lists[:-1], "/files/"]
    capsys.readouterr()
