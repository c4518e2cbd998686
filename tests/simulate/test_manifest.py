"""The manifest: it comes back as it was written, and a hostile one is refused."""

from __future__ import annotations

import pytest
import yaml

from cryolithe_stream.errors import FormatError, MissingFileError
from cryolithe_stream.simulate.manifest import MANIFEST, Files, Manifest, SeriesEntry, read_manifest


def entry(name="sim_00001", **changes):
    files = {key: f"{name}/{key}" for key in ("stack", "odd", "even", "angles", "truth", "truth_mrc")}
    content = {
        "name": name,
        "seed": 1,
        "files": Files(**files),
        "pixel_angstrom": 7.35,
        "shape_tyx": (3, 20, 30),
        "volume_zyx": (16, 20, 30),
        "tilts_deg": [-10.0, 0.0, 10.0],
        "noise": "gaussian",
        "snr_db": -5.0,
        "noise_sigma": 1.25,
        "defocus_um": [2.0, 2.5, 3.1],
        "holds": {"membranes": 2, "1bxn": 7},
    }
    return SeriesEntry(**{**content, **changes})


def manifest(folder, *entries):
    return Manifest(
        fingerprint="ab12", options={"snr": -5.0, "gold": None}, templates={}, series=list(entries), folder=folder
    )


def test_comes_back_as_written_without_tags_or_aliases(tmp_path):
    same = [1.0, 2.0, 3.0]
    made = manifest(tmp_path, entry("b"), entry("a", tilts_deg=same, defocus_um=same))
    made.write()
    text = (tmp_path / MANIFEST).read_text()
    assert not any(mark in text for mark in ("!", "&", "*"))
    assert str(tmp_path) not in text
    found = read_manifest(tmp_path)
    assert found.series == made.series
    assert found.entry("a").files.stack == "a/stack"
    assert found.entry("c") is None
    assert found.path(found.entry("a").files.truth) == tmp_path / "a" / "truth"
    assert read_manifest(tmp_path / MANIFEST) == found
    assert [e.name for e in found.with_entry(entry("aa")).series] == ["a", "aa", "b"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "a/../../b", "a\\..\\b", "c:/x", "", "a\0b"])
def test_paths_that_lead_out_are_refused(tmp_path, path):
    manifest(tmp_path, entry()).write()
    content = yaml.safe_load((tmp_path / MANIFEST).read_text())
    content["series"][0]["files"]["stack"] = path
    (tmp_path / MANIFEST).write_text(yaml.safe_dump(content))
    with pytest.raises(FormatError, match="stack"):
        read_manifest(tmp_path)


def test_links_that_lead_out_are_refused(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "sim_00001").symlink_to(tmp_path)
    manifest(folder, entry()).write()
    with pytest.raises(FormatError, match="leads out"):
        read_manifest(folder)


BOMB = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "- a list",
        "1: number",
        "format_version: 2",
        "{unclosed",
        "!!python/object/apply:os.system ['true']",
        "a: !!python/name:os.system",
        BOMB,
        "a: " + "[" * 5000 + "]" * 5000,
        "options: {}\nfolder: /",
        "\x00\x01",
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(FormatError):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": -1},
        {"name": "../x"},
        {"pixel_angstrom": float("nan")},
        {"tilts_deg": [1.0]},
        {"defocus_um": [2.0]},
        {"extra": 1},
        {"holds": {"x": -1}},
        {"noise": "loud"},
    ],
)
def test_entries_of_the_wrong_form_are_refused(tmp_path, change):
    manifest(tmp_path, entry()).write()
    content = yaml.safe_load((tmp_path / MANIFEST).read_text())
    content["series"][0] |= change
    (tmp_path / MANIFEST).write_text(yaml.safe_dump(content))
    with pytest.raises(FormatError, match="is no manifest"):
        read_manifest(tmp_path)


def test_two_series_of_one_name_and_missing_files_are_refused(tmp_path):
    with pytest.raises(MissingFileError):
        read_manifest(tmp_path)
    manifest(tmp_path, entry()).write()
    content = yaml.safe_load((tmp_path / MANIFEST).read_text())
    content["series"] *= 2
    (tmp_path / MANIFEST).write_text(yaml.safe_dump(content))
    with pytest.raises(FormatError):
        read_manifest(tmp_path)
