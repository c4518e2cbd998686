"""Folders as each program and archive leaves them: what belongs together is found."""

from __future__ import annotations

import shutil

import pytest
from batch_trees import DATA, angles, names, reasons, relative, series, sparse_stack, stack, transforms
from relion_support import COLUMNS, write_project

from cryolithe_stream.batch import discover_series, find_recipe


def test_etomo_folders_one_for_each_series_and_several_in_one(tmp_path):
    for name in ("TS_01", "TS_2", "TS_10"):
        series(tmp_path / "grid1" / name, name)
        stack(tmp_path / "grid1" / name / f"{name}_ali.mrc")
    series(tmp_path / "all", "A")
    series(tmp_path / "all", "B")
    found = discover_series(tmp_path)
    assert found.recipe.name == "etomo"
    assert names(found) == ["all/A", "all/B", "grid1/TS_01", "grid1/TS_2", "grid1/TS_10"]
    assert relative(found, "grid1/TS_01") == {
        "stack": "grid1/TS_01/TS_01.st",
        "angles": "grid1/TS_01/TS_01.tlt",
        "alignment": "grid1/TS_01/TS_01.xf",
    }
    assert reasons(found)["grid1/TS_2/TS_2_ali.mrc"] == "another stack of its series is taken"


def test_a_real_etomo_folder_tells_views_left_out_and_pixel_size(tmp_path):
    """TS_001 of etomofiles: its .edf leaves view 40 out and has the pixel size, which the header lacks."""
    shutil.copytree(DATA / "etomofiles-0.1.2" / "TS_001", tmp_path / "TS_001")
    stack(tmp_path / "TS_001" / "TS_001.st", (40, 6, 8), pixel=0)
    (entry,) = discover_series(tmp_path).found
    assert entry.facts.left_out == "40"
    assert entry.facts.pixel_angstrom == pytest.approx(6.192)
    assert entry.facts.pixel_from == "etomo's .edf"
    assert entry.series.alignment == tmp_path / "TS_001"
    inside = discover_series(tmp_path / "TS_001").found
    assert [(one.series.name, one.facts.left_out) for one in inside] == [("TS_001", "40")]


def test_real_command_files_of_etomo_with_raw_and_aligned_stack(tmp_path):
    folder = tmp_path / "mka2018-10-01-1"
    folder.mkdir()
    source = DATA / "cryoet_alignment-0.2.0" / "convert" / "imod_1"
    for name in ("newst.com", "tilt.com"):
        shutil.copy(source / name, folder / name)
    for suffix in (".tlt", ".xf", ".xtilt"):
        shutil.copy(source / f"tilt_1{suffix}", folder / f"mka2018-10-01-1{suffix}")
    sparse_stack(folder / "mka2018-10-01-1_ali.mrc", (59, 958, 928), 5.4)
    (aligned,) = discover_series(tmp_path).found
    assert aligned.series.stack.name == "mka2018-10-01-1_ali.mrc"
    assert aligned.series.name == "mka2018-10-01-1"
    sparse_stack(folder / "mka2018-10-01-1.mrc", (59, 3832, 3708))
    (raw,) = discover_series(tmp_path).found
    assert raw.series.stack.name == "mka2018-10-01-1.mrc"
    assert raw.facts.shape_vyx == (59, 3832, 3708)
    assert raw.series.alignment == folder


def test_imod_projects_of_two_axes(tmp_path, shared):
    """IMOD's own test project, copied for the test only: both axes are known, and what stops them is told by name."""
    source = shared / "data" / "alignments" / "imod-outputs" / "BB"
    if not source.is_dir():
        pytest.skip(f"no files of IMOD at {source}")
    for letter in "ab":
        sparse_stack(tmp_path / "BB" / f"BB{letter}.st", (61, 512, 512))
        for name in (
            f"BB{letter}.tlt",
            f"BB{letter}.xf",
            f"BB{letter}.xtilt",
            f"BB{letter}local.xf",
            f"tilt{letter}.com",
        ):
            shutil.copyfile(source / name, tmp_path / "BB" / name)
    found = discover_series(tmp_path)
    assert names(found) == []
    assert all("XAXISTILT" in reasons(found)[f"BB/BB{letter}.st"] for letter in "ab"), reasons(found)


@pytest.mark.parametrize("folder", ["TS", "TS_imod"])
def test_projects_of_two_axes_give_two_series(tmp_path, folder):
    for letter in "ab":
        series(tmp_path / folder, f"TS{letter}")
        (tmp_path / folder / f"tilt{letter}.com").write_text(
            f"$tilt -StandardInput\nInputProjections TS{letter}.ali\nTILTFILE TS{letter}.tlt\nEXCLUDELIST 2\n"
        )
    found = discover_series(tmp_path)
    base = "" if folder == "TS" else "TS_imod/"
    assert names(found) == [f"{base}TSa", f"{base}TSb"]
    assert [entry.facts.left_out for entry in found.found] == ["2", "2"]


def aretomo3(folder, name):
    """A stack of AreTomo3 with its halves and tomogram, and a real .aln of 61 views."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA / "alnfile-0.1.1" / "global_no_local.aln", folder / f"{name}.aln")
    for ending in ("", "_EVN", "_ODD"):
        sparse_stack(folder / f"{name}{ending}.mrc", (61, 4096, 4096))
    stack(folder / f"{name}_Vol.mrc", ispg=1)
    stack(folder / f"{name}_CTF.mrc")


def test_aretomo3_with_halves(tmp_path):
    aretomo3(tmp_path / "out", "Position_1")
    aretomo3(tmp_path / "out", "Position_2")
    found = discover_series(tmp_path)
    assert found.recipe.name == "aretomo"
    assert names(found) == ["out/Position_1", "out/Position_2"]
    assert relative(found, "out/Position_1") == {
        "stack": "out/Position_1.mrc",
        "alignment": "out/Position_1.aln",
        "odd": "out/Position_1_ODD.mrc",
        "even": "out/Position_1_EVN.mrc",
    }
    assert reasons(found) == {
        "out/Position_1_CTF.mrc": "spectra of the contrast transfer",
        "out/Position_1_Vol.mrc": "a reconstruction",
        "out/Position_2_CTF.mrc": "spectra of the contrast transfer",
        "out/Position_2_Vol.mrc": "a reconstruction",
    }


def test_aretomo_alignment_of_another_stack_is_told(tmp_path):
    aretomo3(tmp_path, "Position_1")
    sparse_stack(tmp_path / "Position_1.mrc", (60, 4096, 4096))
    found = discover_series(tmp_path)
    assert names(found) == []
    assert "is for 61 views" in reasons(found)["Position_1.mrc"]
    assert str(tmp_path) not in reasons(found)["Position_1.mrc"]


def test_aretomo_alignment_for_imod(tmp_path):
    stack(tmp_path / "P.mrc")
    angles(tmp_path / "P_Imod" / "P_st.tlt")
    transforms(tmp_path / "P_Imod" / "P_st.xf")
    (entry,) = discover_series(tmp_path, find_recipe("aretomo")).found
    assert entry.facts.angles_from.endswith("P_st.tlt")


def test_warp_stacks_need_an_alignment_beside_them(tmp_path):
    """A real stack of Warp's size with the .xf and .tlt that its alignment was imported from."""
    for name in ("00254", "00255"):
        folder = tmp_path / "warp_tiltseries" / "tiltstack" / name
        sparse_stack(folder / f"{name}.st", (41, 652, 630), 10.0)
        angles(folder / f"{name}.rawtlt", 41)
        (tmp_path / "warp_tiltseries" / f"{name}.xml").write_text("<TiltSeries/>")
    for suffix in (".xf", ".tlt"):
        shutil.copy(
            DATA / "empiar-10499-ts254" / f"00254{suffix}", tmp_path / "warp_tiltseries" / "tiltstack" / "00254"
        )
    found = discover_series(tmp_path, find_recipe("warp"))
    assert names(found) == ["warp_tiltseries/00254"]
    assert relative(found, "warp_tiltseries/00254")["angles"].endswith("00254.tlt")
    assert any("mirror image (along z) of Warp's" in note for note in found.found[0].facts.notes)
    assert "warp_tiltseries/00255.xml: Angles" in reasons(found)["warp_tiltseries/tiltstack/00255/00255.st"]


def test_warp_stacks_by_the_xml_above_them(tmp_path):
    """A real XML; its LevelAngleX is told first, and is all that stops it."""
    text = (DATA / "warpylib-1.1.2" / "TS_1.xml").read_text(encoding="utf-8")
    stack = sparse_stack_of(tmp_path / "tiltstack" / "TS_1" / "TS_1.st", (41, 1024, 1440))
    (tmp_path / "TS_1.xml").write_text(text, encoding="utf-8")
    assert "LevelAngleX" in reasons(discover_series(tmp_path))[stack]
    (tmp_path / "TS_1.xml").write_text(text.replace('LevelAngleX="1.457031"', 'LevelAngleX="0"'), encoding="utf-8")
    found = discover_series(tmp_path)
    assert (found.recipe.name, names(found)) == ("warp", ["TS_1"])
    assert relative(found, "TS_1") == {"stack": stack, "alignment": "TS_1.xml"}
    assert found.found[0].facts.angles_from.endswith("TS_1.xml (of opposite sign)")


def sparse_stack_of(path, shape):
    """A stack of real size; its path from the source."""
    path.parent.mkdir(parents=True)
    sparse_stack(path, shape, 3.336)
    return "/".join(path.parts[-3:])


def test_a_raw_stack_whose_alignment_is_not_read_is_not_taken_as_aligned(tmp_path):
    folder = tmp_path / "tiltstack" / "TS_1"
    stack(folder / "TS_1.st")
    angles(folder / "TS_1.rawtlt")
    found = discover_series(tmp_path)
    assert names(found) == []
    assert "(.xml) is not above" in reasons(found)["tiltstack/TS_1/TS_1.st"]
    assert names(discover_series(tmp_path, find_recipe("folder"))) == ["tiltstack/TS_1"]


def test_relion5_projects(tmp_path):
    """A series whose stack lies in external/ is found by it, one without by its star file, with the halves it names."""
    for name in ("TS_01", "TS_03"):
        star = write_project(tmp_path, name=name)
        assert star.is_file()
    series(tmp_path / "AlignTiltSeries" / "job005" / "external" / "TS_01", "TS_01", suffix=".mrc")
    found = discover_series(tmp_path)
    assert found.recipe.name == "relion5"
    assert names(found) == ["job005/TS_01", "job005/TS_03"]
    assert relative(found, "job005/TS_01")["stack"].endswith("external/TS_01/TS_01.mrc")
    path = "AlignTiltSeries/job005/tilt_series/TS_03.star"
    assert relative(found, "job005/TS_03") == {"stack": path, "odd": path, "even": path}
    facts = found.found[1].facts
    assert (facts.shape_vyx, facts.pixel_angstrom) == ((5, 6, 8), 2.5)
    assert facts.alignment_from.endswith(path)
    assert reasons(found)["AlignTiltSeries/job005/tilt_series/TS_01.star"] == "another stack of its series is taken"


def test_relion5_series_without_images_of_halves_or_without_images(tmp_path):
    plain = write_project(tmp_path, name="TS_1", columns=[c for c in COLUMNS if not c.endswith(("Even", "Odd"))])
    gone = write_project(tmp_path, name="TS_2")
    for file in (tmp_path / "MotionCorr").rglob("TS_2_*.mrc"):
        file.unlink()
    found = discover_series(tmp_path, find_recipe("relion5"))
    assert relative(found, "job005/TS_1") == {"stack": str(plain.relative_to(tmp_path))}
    assert "odd and even halves are not used" in found.found[0].facts.notes[0]
    assert reasons(found)[str(gone.relative_to(tmp_path))].startswith("5 of 5 images of")


def test_a_real_relion5_project_without_its_images(shared):
    source = shared / "data" / "alignments" / "relion5-empiar-10164"
    if not source.is_dir():
        pytest.skip(f"no project of RELION at {source}")
    found = discover_series(source)
    assert found.recipe.name == "relion5"
    assert names(found) == []
    assert len(reasons(found)) == 5
    assert all("are not there, the first is MotionCorr/job002/" in reason for reason in reasons(found).values())


def test_downloads_of_the_portal(tmp_path):
    run = tmp_path / "10000" / "TS_026"
    stack(run / "TiltSeries" / "100" / "TS_026.mrc")
    angles(run / "TiltSeries" / "100" / "TS_026.rawtlt")
    transforms(run / "Alignments" / "101" / "TS_026.xf")
    found = discover_series(tmp_path)
    assert found.recipe.name == "cryoet-portal"
    assert names(found) == ["10000/TS_026-100"]
    assert found.found[0].facts.angles_from.endswith("TS_026.rawtlt")
    transforms(run / "Alignments" / "102" / "TS_026.xf")
    twice = discover_series(tmp_path, find_recipe("cryoet-portal"))
    assert reasons(twice) == {"10000/TS_026/TiltSeries/100/TS_026.mrc": "there is not one .xf or .aln in Alignments"}


def empiar11830(root, name):
    folder = root / "chlamy_visual_proteomics" / name
    for ending in ("", "_EVN", "_ODD", "_dose-filt"):
        stack(folder / f"{name}{ending}.st", pixel=1.96)
    angles(folder / f"{name}.rawtlt")
    angles(folder / "AreTomo" / f"{name}_dose-filt.tlt")
    transforms(folder / "AreTomo" / f"{name}_dose-filt.xf")


def test_the_archive_with_halves_wins_over_what_is_found_without_alignment(tmp_path):
    for number in range(3):
        empiar11830(tmp_path, f"01082023_Position_{number}")
    found = discover_series(tmp_path)
    assert found.recipe.name == "empiar-11830"
    assert found.tried["folder"] == 3
    assert names(found)[0] == "chlamy_visual_proteomics/01082023_Position_0"
    files = relative(found, names(found)[0])
    assert files["alignment"].endswith("AreTomo/01082023_Position_0_dose-filt.xf")
    assert files["odd"].endswith("_ODD.st")


def test_other_archives(tmp_path):
    folder = tmp_path / "ribosomes" / "Tomograms" / "05"
    stack(folder / "IS002_291013_005.mrcs")
    angles(folder / "angle_5.rawtlt")
    found = discover_series(tmp_path, find_recipe("empiar-10045"))
    assert names(found) == ["ribosomes/Tomograms/IS002_291013_005"]
    angles(folder / "angle_6.rawtlt")
    twice = discover_series(tmp_path, find_recipe("empiar-10045"))
    assert "ambiguous: 2 files could be its angles" in reasons(twice)["ribosomes/Tomograms/05/IS002_291013_005.mrcs"]
    (tmp_path / "mdoc").mkdir()
    (tmp_path / "mdoc" / "TS_01.mrc.mdoc").write_text("x")
    for recipe in ("empiar-10643", "empiar-12262"):
        assert names(discover_series(tmp_path, find_recipe(recipe))) == []
    assert reasons(discover_series(tmp_path, find_recipe("empiar-10164")))["mdoc/TS_01.mrc.mdoc"].startswith(
        "the entry holds movies"
    )
