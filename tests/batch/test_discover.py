"""What is taken, what is left out and why, wherever it comes from."""

from __future__ import annotations

import shutil

import numpy as np
from batch_trees import DATA, angles, names, reasons, relative, series, stack, transforms

from cryolithe_stream.batch import discover_series, find_recipe
from cryolithe_stream.errors import CryolitheWarning
from cryolithe_stream.read import read_tilt_series


def test_stacks_beside_each_other_with_reference_and_metadata(tmp_path):
    series(tmp_path, "a", aligned=False, suffix=".mrc")
    stack(tmp_path / "a_reference.mrc", ispg=1)
    stack(tmp_path / "b.mrc", (33, 4, 4), pixel=0)
    shutil.copy(DATA / "mdocfile-0.2.3" / "tilt_series.mdoc", tmp_path / "b.mrc.mdoc")
    found = discover_series(tmp_path)
    assert found.recipe.name == "folder"
    assert relative(found, "a") == {"stack": "a.mrc", "angles": "a.tlt", "reference": "a_reference.mrc"}


def test_what_plan_found_is_what_run_reads(tmp_path):
    series(tmp_path / "g" / "TS", "TS")
    (entry,) = discover_series(tmp_path).found
    one = entry.series
    read = read_tilt_series(one.stack, angles=one.angles, alignment=one.alignment, mdoc=one.mdoc)
    assert read.stack.shape == entry.facts.shape_vyx
    assert read.provenance["angles"] == entry.facts.angles_from


def test_reasons_of_what_is_left_out(tmp_path):
    (tmp_path / "zero.st").write_bytes(b"")
    (tmp_path / "short.st").write_bytes(stack(tmp_path / "short.st").read_bytes()[:-100])
    (tmp_path / "text.mrc").write_text("no stack" * 200)
    stack(tmp_path / "single.mrc", (1, 6, 8))
    stack(tmp_path / "volume.mrc", ispg=1)
    stack(tmp_path / "axes.mrc", ispg=4)
    stack(tmp_path / "volumes.mrc", ispg=401)
    stack(tmp_path / "bare.mrc")
    series(tmp_path, "wrong")
    angles(tmp_path / "wrong.tlt", 4)
    series(tmp_path, "flat")
    np.savetxt(tmp_path / "flat.tlt", np.zeros(5))
    series(tmp_path, "bad")
    (tmp_path / "bad.xf").write_text("1 0 0 nonsense\n")
    found = discover_series(tmp_path, find_recipe("folder"))
    told = reasons(found)
    assert names(found) == []
    for path, part in {
        "zero.st": "it is empty",
        "short.st": "is truncated",
        "text.mrc": "is not an MRC file",
        "single.mrc": "a single image",
        "volume.mrc": "it may be a volume",
        "axes.mrc": "a volume, not a tilt series",
        "volumes.mrc": "a stack of volumes",
        "bare.mrc": "no tilt angles",
        "wrong.st": "4 angles",
        "flat.st": "for all 5 views",
        "bad.st": "nonsense",
    }.items():
        assert part in told[path], told
        assert str(tmp_path) not in told[path]
    assert len(told) == 11


def test_what_another_recipe_would_find_is_told(tmp_path):
    for name in ("a", "b"):
        series(tmp_path / "x", name, suffix=".mrc")
    stack(tmp_path / "P.mrc")
    angles(tmp_path / "P_Imod" / "P_st.tlt")
    transforms(tmp_path / "P_Imod" / "P_st.xf")
    found = discover_series(tmp_path)
    assert (found.recipe.name, names(found)) == ("etomo", ["x/a", "x/b"])
    assert reasons(found)["P.mrc"].endswith("(the recipe aretomo finds it)")


def test_halves_and_metadata_that_cannot_be_used_stop_no_series(tmp_path):
    series(tmp_path, "a", suffix=".mrc")
    stack(tmp_path / "a_ODD.mrc")
    stack(tmp_path / "a_EVN.mrc", (4, 6, 8))
    stack(tmp_path / "a_reference.mrc", ispg=401)
    (tmp_path / "a.mrc.mdoc").write_text("nothing")
    (entry,) = discover_series(tmp_path, find_recipe("folder")).found
    assert set(entry.series.files()) == {"stack", "angles", "alignment"}
    notes = " ".join(entry.facts.notes)
    assert "halves are not used" in notes
    assert "its reference is not used" in notes
    assert "mdoc" in notes


def test_options_of_all_series_decide_what_can_be_read(tmp_path):
    series(tmp_path, "a")
    stack(tmp_path / "a.st", pixel=0)
    assert names(discover_series(tmp_path)) == []
    (entry,) = discover_series(tmp_path, options={"pixel_size": 3.5, "exclude": [2]}).found
    assert (entry.facts.pixel_angstrom, entry.facts.pixel_from, entry.facts.left_out) == (3.5, "given", "2")


def test_splitting_the_tilts_takes_the_place_of_half_stacks(tmp_path):
    series(tmp_path, "a", suffix=".mrc")
    stack(tmp_path / "a_ODD.mrc")
    stack(tmp_path / "a_EVN.mrc")
    (entry,) = discover_series(tmp_path, find_recipe("folder")).found
    assert entry.series.odd is not None
    (split,) = discover_series(tmp_path, find_recipe("folder"), {"halves": True}).found
    assert (split.series.odd, split.series.even) == (None, None)
    assert "splits its tilts" in split.facts.notes[0]


def test_no_warning_leaves_the_search(tmp_path, recwarn):
    series(tmp_path, "a", aligned=False)
    transforms(tmp_path / "a.xf")
    (entry,) = discover_series(tmp_path, find_recipe("folder")).found
    assert not [warning for warning in recwarn if issubclass(warning.category, CryolitheWarning)]
    assert entry.series.alignment is not None
