"""Entries of EMPIAR by the names in their lists: the same series as under a folder of the same names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from batch_trees import DATA, angles, names, reasons, relative, series, stack, transforms

from cryolithe_stream.batch import Manifest, discover_series, find_recipe, read_manifest
from cryolithe_stream.batch.archive import entry_source, is_entry, moved, to_fetch, tree_of
from cryolithe_stream.batch.tree import Tree, walk
from cryolithe_stream.empiar import RemoteFile, RemoteFolder, Size
from cryolithe_stream.errors import InputError

SOURCE = Path("empiar:10499")


def listed(folder: Path, source: Path = SOURCE) -> Tree:
    """The tree that the lists of an entry with the same files give."""
    here = walk(folder)

    def files(at: str):
        for name in sorted(here.files[at]):
            path = f"{at}/{name}" if at else name
            size = (folder / path).stat().st_size
            yield RemoteFile(path, "https://x/" + path, Size(size, size))

    folders = [RemoteFolder(at, tuple(files(at)), len(below)) for at, below in here.folders.items()]
    return tree_of(source, folders)


def of_11830(folder: Path) -> Path:
    for name in ("a", "b"):
        at = folder / "data" / name
        stack(at / f"{name}.st")
        stack(at / f"{name}_ODD.st")
        stack(at / f"{name}_EVN.st")
        angles(at / f"{name}.rawtlt")
        angles(at / "AreTomo" / f"{name}_dose-filt.tlt")
        transforms(at / "AreTomo" / f"{name}_dose-filt.xf")
    return folder


def of_etomo(folder: Path) -> Path:
    """A real etomo folder, whose .edf leaves view 40 out, and one with transforms alone."""
    shutil.copytree(DATA / "etomofiles-0.1.2" / "TS_001", folder / "TS_001")
    stack(folder / "TS_001" / "TS_001.st", (40, 6, 8), pixel=0)
    (folder / "TS_001" / "TS_001_full_rec.mrc").write_bytes(b"no stack")
    series(folder / "TS_2", "TS_2")
    return folder


def of_stacks(folder: Path) -> Path:
    series(folder, "x", suffix=".mrc")
    series(folder / "y", "y", aligned=False)
    shutil.copy(DATA / "mdocfile-0.2.3" / "tilt_series.mdoc", folder / "x.mrc.mdoc")
    return folder


def of_two_axes(folder: Path) -> Path:
    for letter in "ab":
        series(folder / "TS", f"TS{letter}")
        (folder / "TS" / f"tilt{letter}.com").write_text(
            f"$tilt -StandardInput\nInputProjections TS{letter}.ali\nTILTFILE TS{letter}.tlt\nEXCLUDELIST 2\n"
        )
    return folder


def of_aretomo(folder: Path) -> Path:
    stack(folder / "P.mrc")
    angles(folder / "P_Imod" / "P_st.tlt")
    transforms(folder / "P_Imod" / "P_st.xf")
    return folder


def of_portal(folder: Path) -> Path:
    run = folder / "10000" / "TS_026"
    stack(run / "TiltSeries" / "100" / "TS_026.mrc")
    angles(run / "TiltSeries" / "100" / "TS_026.rawtlt")
    transforms(run / "Alignments" / "101" / "TS_026.xf")
    return folder


LAYOUTS = pytest.mark.parametrize("make", [of_11830, of_etomo, of_stacks, of_two_axes, of_aretomo, of_portal])


@LAYOUTS
def test_lists_give_the_series_that_the_folder_gives(tmp_path, make):
    here = discover_series(make(tmp_path))
    there = discover_series(listed(tmp_path))
    assert names(there) == names(here) and names(here)
    assert there.recipe == here.recipe
    for name in names(here):
        found = relative(there, name)
        assert {role: path for role, path in relative(here, name).items() if role != "mdoc"}.items() <= found.items()


@LAYOUTS
def test_what_is_fetched_of_a_series_is_all_that_reading_it_finds(tmp_path, make):
    """The series, alone with its files in another folder, is read from the same files."""
    here = {entry.series.name: entry.facts for entry in discover_series(make(tmp_path / "all")).found}
    tree = listed(tmp_path / "all")
    for entry in discover_series(tree).found:
        alone = tmp_path / "alone" / entry.series.name
        for path in to_fetch(entry.series, SOURCE):
            (alone / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / "all" / path, alone / path)
        one = moved(entry.series, SOURCE, alone)
        (again,) = discover_series(alone).found
        facts = here[entry.series.name]
        assert one.stack == again.series.stack
        assert again.facts.shape_vyx == facts.shape_vyx and again.facts.left_out == facts.left_out
        for wanted, found in (
            (facts.angles_from, again.facts.angles_from),
            (facts.alignment_from, again.facts.alignment_from),
        ):
            assert wanted.removeprefix(str(tmp_path / "all")) == found.removeprefix(str(alone))


def test_a_recipe_that_bears_the_number_of_the_entry_is_taken(tmp_path):
    series(tmp_path, "TS_01", aligned=False)
    assert discover_series(listed(tmp_path, Path("empiar:10643"))).recipe.name == "empiar-10643"
    assert discover_series(listed(tmp_path)).recipe.name == "folder"
    assert discover_series(listed(tmp_path, Path("empiar:10643")), find_recipe("folder")).recipe.name == "folder"


def test_half_stacks_are_left_out_where_none_are_wanted(tmp_path):
    for tree in (listed(of_11830(tmp_path)), tmp_path):
        assert "odd" in relative(discover_series(tree), "data/a")
        assert not {"odd", "even"} & set(relative(discover_series(tree, options={"halves": False}), "data/a"))


def test_what_no_angles_belong_to_is_told(tmp_path):
    stack(tmp_path / "bare.mrc")
    stack(tmp_path / "with.mrc")
    angles(tmp_path / "with.tlt")
    found = discover_series(listed(tmp_path))
    assert names(found) == ["with"]
    assert "its header is not read from afar" in reasons(found)["bare.mrc"]


def test_a_manifest_of_an_entry_comes_back_as_it_was(tmp_path):
    found = discover_series(listed(of_etomo(tmp_path / "in")))
    Manifest.of(found, {"method": "fbp"}).write(tmp_path / "m.yaml")
    back = read_manifest(tmp_path / "m.yaml")
    assert back == Manifest.of(found, {"method": "fbp"})
    wanted = [f"TS_2/TS_2{ending}" for ending in (".st", ".tlt", ".xf")]
    assert [to_fetch(one, back.source) for one in back.series][1] == wanted
    assert "TS_001/TS_001.edf" in to_fetch(back.series[0], back.source)


@pytest.mark.parametrize("text", ["empiar:11830", "EMPIAR:EMPIAR-11830", "empiar:10.6019/EMPIAR-11830"])
def test_forms_of_a_source(text):
    assert is_entry(text) and entry_source(text) == Path("empiar:11830")


def test_what_is_no_entry():
    assert not is_entry("empiar") and not is_entry("/data/empiar:1")
    with pytest.raises(InputError, match="no EMPIAR entry"):
        entry_source("empiar:../x")
