"""Recipes: those that ship are right, users' own are read, and wrong ones are told of at once."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from batch_trees import series
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.batch.discover import discover_series
from cryolithe_stream.batch.patterns import StackPattern, filled, pattern_fault
from cryolithe_stream.batch.recipes import find_recipe, recipe_names
from cryolithe_stream.errors import FormatError, InputError, MissingFileError

ROOT = Path(__file__).parents[2]
SHIPPED = {
    *("aretomo", "cryoet-portal", "etomo", "folder", "relion5", "warp"),
    *("empiar-10045", "empiar-10164", "empiar-10643", "empiar-11830", "empiar-12262"),
}


def test_every_shipped_recipe_is_read_and_found_by_name():
    assert set(recipe_names()) == SHIPPED
    for name in SHIPPED:
        recipe = find_recipe(name)
        assert recipe.name == name
        assert recipe.about
        assert recipe.layouts


def test_recipes_of_archives_say_where_their_layout_is_known_from():
    for path in (ROOT / "cryolithe_stream" / "batch" / "recipes").glob("empiar-*.yaml"):
        comments = " ".join(line for line in path.read_text().splitlines() if line.startswith("#"))
        assert re.search(r"scripts?", comments), path


def test_a_name_that_no_recipe_has():
    with pytest.raises(InputError, match="did you mean 'etomo'"):
        find_recipe("etmo")
    with pytest.raises(MissingFileError):
        find_recipe("nowhere.yaml")


def test_a_recipe_of_ones_own(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "cryolithe_stream: recipe 1\nabout: ours\nseries:\n"
        "  - {stack: 'day_{day}/{series}.st', name: '{day}-{series}', angles: 'day_{day}/{series}.tlt',"
        " alignment: 'day_{day}/{series}.xf', options: {invert: true}}\n"
    )
    series(tmp_path / "data" / "x" / "day_3", "A1")
    found = discover_series(tmp_path / "data", find_recipe(str(mine)))
    assert [entry.series.name for entry in found.found] == ["x/3-A1"]
    assert found.found[0].series.options == {"invert": True}
    assert found.recipe.name == "mine"


WRONG = """\
cryolithe_stream: recipe 2
colour: red
choose: often
ignore: [a]
series:
  - {stack: '../{series}.st', angle: x}
  - {stack: '{series}.st', angles: '{serie}.tlt', options: {thicknes: 3, stack: a.st}}
  - {angles: '[x].tlt'}
  - 3
"""


def test_every_fault_of_a_recipe_is_told_at_once(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG)
    with pytest.raises(FormatError) as caught:
        find_recipe(str(path))
    for part in (
        "cryolithe_stream: recipe 1",
        "colour: no entry has this name",
        "choose: is none of first, last, by-name",
        "ignore: is no list",
        "series[1].stack: '../{series}.st' leads out",
        "series[1].angle: no entry has this name (did you mean 'angles'?)",
        "series[2].angles: the stack has no {serie}",
        "series[2].options.thicknes: no option has this name (did you mean 'thickness'?)",
        "series[2].options.stack: belongs to one series",
        "series[3].stack: is missing",
        "series[3].angles: '[x].tlt' knows only",
        "series[4]: has no names with values",
    ):
        assert part in str(caught.value)


PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1, max_size=12)


@given(PARTS, st.lists(PARTS, max_size=3))
def test_a_pattern_finds_what_it_was_filled_with_at_any_depth(name, folders):
    pattern = "{series}/{series}.st"
    path = "/".join([*folders, filled(pattern, {"series": name})])
    match = StackPattern.of(pattern).match(path)
    assert match is not None
    assert (match.base, match.values) == ("/".join(folders), {"series": name})
    assert match.placed(filled(pattern, match.values)) == path


@given(st.text(max_size=30))
def test_texts_are_patterns_or_are_told_of(text):
    if not pattern_fault(text):
        StackPattern.of(text).match("a/b.st")


def test_the_wheel_holds_the_recipes(tmp_path):
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        held = {Path(name).stem for name in wheel.namelist() if "/batch/recipes/" in name}
    assert held == SHIPPED
