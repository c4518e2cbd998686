"""Folders that resist: loops of links, odd names, thousands of files, what may not be read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch_trees import angles, series, stack, transforms

from cryolithe_stream.batch import discover_series, find_recipe, read_manifest
from cryolithe_stream.batch.manifest import Manifest
from cryolithe_stream.batch.tree import walk
from cryolithe_stream.errors import InputError, MissingFileError

ROOT = Path(__file__).parents[2]


def names(found):
    return [entry.series.name for entry in found.found]


def reasons(found):
    return {entry.path: entry.reason for entry in found.skipped}


def test_links_do_not_lead_out_and_loops_end(tmp_path):
    outside = series(tmp_path / "outside", "X")
    source = tmp_path / "source"
    real = series(source / "TS", "TS")
    (source / "loop").symlink_to(source)
    (source / "TS" / "up").symlink_to("..")
    (source / "self").symlink_to("self")
    (source / "gone.st").symlink_to("nowhere.st")
    (source / "out").symlink_to(tmp_path / "outside")
    (source / "X.st").symlink_to(outside)
    (source / "again").mkdir()
    (source / "again" / "TS2.st").symlink_to(real)
    angles(source / "again" / "TS2.tlt")
    transforms(source / "again" / "TS2.xf")
    found = discover_series(source)
    assert len(names(found)) == 1
    assert reasons(found) == {
        "again/TS2.st": "the same file as TS/TS.st",
        "X.st": "a link that leads out of the source",
        "gone.st": "a link that leads nowhere",
        "out": "a link that leads out of the source",
        "self": "a link that leads nowhere",
    }


def test_angles_and_transforms_behind_links_that_lead_out_are_not_read(tmp_path):
    """Without its transforms a raw stack would be taken as aligned."""
    series(tmp_path / "outside", "TS")
    source = tmp_path / "source"
    stack(source / "TS.st")
    angles(source / "TS.tlt")
    (source / "TS.xf").symlink_to(tmp_path / "outside" / "TS.xf")
    found = discover_series(source, find_recipe("folder"))
    assert names(found) == []
    assert reasons(found) == {
        "TS.st": "TS.xf, which belongs to it, is a link that leads out of the source",
        "TS.xf": "a link that leads out of the source",
    }


def test_a_source_that_is_a_link_is_its_target(tmp_path):
    series(tmp_path / "real" / "TS", "TS")
    (tmp_path / "link").symlink_to("real")
    assert discover_series(tmp_path / "link").source == tmp_path / "real"


ODD = (
    "line\nbreak",
    "$HOME",
    "`id`",
    "a b",
    "-o",
    "~",
    "*",
    "{series}",
    "ü" * 90,
    "tab\tx",
    "'quote\"",
    "\u202eevil",
    "%s",
)


def test_odd_names_make_safe_series_whose_manifest_comes_back(tmp_path):
    for name in ODD:
        series(tmp_path / "d", name)
    found = discover_series(tmp_path)
    assert len(found.found) == len(ODD)
    Manifest.of(found, {}).write(tmp_path / "m.yaml")
    manifest = read_manifest(tmp_path / "m.yaml")
    assert {one.stack.stem for one in manifest.series} == set(ODD)
    for one in manifest.series:
        output = manifest.run_options(one, tmp_path / "out").output
        assert output.is_relative_to(tmp_path / "out")
        assert output.name.isprintable()
        output.mkdir(parents=True)


def test_a_home_in_a_name_is_a_name(tmp_path):
    for name in ("~", "~root", "~nobody.x"):
        series(tmp_path / "source", name)
    found = discover_series(tmp_path / "source")
    Manifest.of(found, {}).write(tmp_path / "m.yaml")
    assert all(one.stack.is_file() for one in read_manifest(tmp_path / "m.yaml").series)


def test_a_source_whose_name_is_no_text(tmp_path):
    source = tmp_path / os.fsdecode(b"bad\xff")
    series(source, "a")
    with pytest.raises(InputError, match="is no text"):
        discover_series(source)


def test_names_that_differ_by_case_alone_become_apart(tmp_path):
    for name in ("TS_1", "ts_1", "Ts_1"):
        series(tmp_path, name)
    found = discover_series(tmp_path)
    assert len({name.casefold() for name in names(found)}) == 3


def test_names_of_no_text_are_told_and_passed_over(tmp_path):
    stack(tmp_path / os.fsdecode(b"bad\xff.st"))
    series(tmp_path, "good")
    found = discover_series(tmp_path)
    assert names(found) == ["good"]
    assert reasons(found) == {"bad\\xff.st": "its name is no text (UTF-8)"}


def test_pipes_devices_and_our_own_outputs_are_passed_over(tmp_path):
    os.mkfifo(tmp_path / "pipe.st")
    for place in ("out.ome.zarr", "out.ome.zarr.partial", ".hidden"):
        series(tmp_path / place, "x")
    series(tmp_path, "a")
    found = discover_series(tmp_path)
    assert names(found) == ["a"]
    assert found.skipped == ()


def test_a_source_that_is_none(tmp_path):
    with pytest.raises(MissingFileError):
        discover_series(tmp_path / "nowhere")
    with pytest.raises(InputError, match="is no folder"):
        discover_series(stack(tmp_path / "a.st"))


def test_folders_that_may_not_be_read_are_told(tmp_path):
    series(tmp_path / "open" / "TS", "TS")
    closed = tmp_path / "closed"
    series(closed, "X")
    closed.chmod(0)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from cryolithe_stream.batch.tree import walk\n"
        "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
        "print(walk(Path(sys.argv[1])).skipped)\n"
    )
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o555)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        ran = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=environment, timeout=60
        )
    finally:
        closed.chmod(0o755)
    assert ran.stdout == "[Skipped(path='closed', reason='the folder cannot be read (Permission denied)')]\n", (
        ran.stderr
    )


def test_the_order_does_not_depend_on_the_disk(tmp_path):
    for number in (3, 1, 10, 2):
        series(tmp_path / f"TS_{number}", f"TS_{number}")
    tree = walk(tmp_path)
    assert tree.paths() == sorted(tree.paths(), key=lambda path: path.split("/"))
    assert names(discover_series(tmp_path)) == ["TS_1", "TS_2", "TS_3", "TS_10"]


def test_deep_folders_are_no_trouble(tmp_path):
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
    series(folder, "TS")
    found = discover_series(tmp_path)
    assert len(found.found) == 1
    Manifest.of(found, {}).write(tmp_path / "m.yaml")
    assert len(read_manifest(tmp_path / "m.yaml").series) == 1


def test_many_alike_are_told_together(tmp_path):
    for number in range(12):
        stack(tmp_path / "frames" / f"f{number}.mrc", (1, 2, 2))
    found = discover_series(tmp_path, find_recipe("folder"))
    assert reasons(found) == {"frames/": "12 files, each: a single image, not a tilt series"}


def test_thousands_of_files_take_seconds(tmp_path):
    template = series(tmp_path, "T")
    blob, tilts, lines = (path.read_bytes() for path in (template, tmp_path / "T.tlt", tmp_path / "T.xf"))
    for number in range(400):
        folder = tmp_path / "data" / f"TS_{number}"
        folder.mkdir(parents=True)
        for suffix, content in ((".st", blob), (".tlt", tilts), (".xf", lines)):
            (folder / f"TS_{number}{suffix}").write_bytes(content)
        for frame in range(10):
            (folder / f"frame_{frame}.eer").touch()
    began = time.process_time()
    found = discover_series(tmp_path / "data")
    assert len(found.found) == 400
    assert time.process_time() - began < 10
