"""The manifest: it comes back as it was written, people may edit it, and everything wrong is told at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.batch import Manifest, Series, read_manifest
from cryolithe_stream.batch.names import clashes, safe_name
from cryolithe_stream.batch.tree import Skipped
from cryolithe_stream.errors import FormatError, InputError, MissingFileError, OutputError


def write(folder: Path, text: str) -> Path:
    path = folder / "manifest.yaml"
    path.write_text(text)
    return path


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=12)
PATHS = TEXTS.filter(lambda text: text not in (".", "..") and not text.startswith("~"))
OPTIONS = st.fixed_dictionaries(
    {}, optional={"thickness": st.integers(1, 999), "pixel_size": st.floats(0.1, 99), "method": st.just("fbp")}
)
SERIES = st.builds(
    lambda name, files, options: Series(
        safe_name(name), **{role: Path("/data") / file for role, file in files.items()}, options=options
    ),
    TEXTS,
    st.fixed_dictionaries({"stack": PATHS}, optional={"angles": PATHS, "alignment": PATHS, "reference": PATHS}),
    OPTIONS,
)


@given(st.lists(SERIES, min_size=1, max_size=5), OPTIONS, st.lists(st.builds(Skipped, TEXTS, TEXTS), max_size=3))
def test_comes_back_as_written(tmp_path_factory, series, options, skipped):
    if clashes({one.name: False for one in series}) or len({one.name for one in series}) < len(series):
        return
    if any(one.stack in (one.angles, one.alignment) for one in series):
        return
    made = Manifest(Path("/data"), "etomo", tuple(series), options, tuple(skipped))
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    made.write(path)
    assert read_manifest(path) == made
    assert not re.search(r"^\s*(- )?\w+: [&*!]", path.read_text(), re.MULTILINE)


def test_paths_start_at_the_source_and_the_source_at_the_file(tmp_path):
    path = write(
        tmp_path,
        "cryolithe_stream: manifest 1\nsource: data\nrecipe: etomo\nseries:\n"
        "- {name: grid/TS, stack: a.st, odd: /x/o.st, even: ../e.st, reference: r.mrc, options: {pixel-size: 2}}\n",
    )
    manifest = read_manifest(path)
    series = manifest.series[0]
    assert series.stack == tmp_path / "data" / "a.st"
    assert (series.odd, series.even) == (Path("/x/o.st"), tmp_path / "data" / ".." / "e.st")
    options = manifest.run_options(series, Path("/out"))
    assert options.output == Path("/out/grid/TS.ome.zarr")
    assert options.pixel_size == 2.0
    assert options.stack == series.stack


def test_options_of_a_series_win_over_those_of_all(tmp_path):
    path = write(
        tmp_path,
        "cryolithe_stream: manifest 1\nsource: .\noptions: {thickness: 200, bin: 2}\nseries:\n"
        "- {name: a, stack: a.st, options: {thickness: 90}}\n- {name: b, stack: b.st}\n",
    )
    manifest = read_manifest(path)
    a, b = (manifest.run_options(series, Path("out")) for series in manifest.series)
    assert (a.thickness, a.bin, b.thickness, b.bin) == (90, 2, 200, 2)


WRONG = """\
cryolithe_stream: manifest 1
source: data
recipes: etomo
options: {thicknes: 3}
series:
- {name: ../a, stack: a.st}
- {name: /abs, stack: a.st}
- {name: 7, stack: a.st}
- {name: "n\\0l", stack: a.st}
- {name: grid/TS, stack: a.st, tilts: x}
- {name: GRID/ts, stack: b.st}
- {name: grid/TS.ome.zarr/b, stack: c.st}
- {name: twice, stack: c.st}
- {name: twice, stack: c.st}
- {name: none}
- {name: path, stack: "a\\0b"}
- 5
"""


def test_every_fault_is_told_at_once(tmp_path):
    with pytest.raises(InputError) as caught:
        read_manifest(write(tmp_path, WRONG))
    for part in (
        "recipes: no entry has this name (did you mean 'recipe'?)",
        "options: thicknes: no option has this name (did you mean 'thickness'?)",
        "series[1].name: '../a' leads out of its folder",
        "series[2].name: '/abs' is an absolute path",
        "series[3].name: is 7, not text",
        "series[4].name: 'n\\x00l' holds a character that is not printable",
        "grid/TS.tilts: no entry has this name",
        "GRID/ts: its tomogram would stand where that of grid/TS does",
        "grid/TS.ome.zarr/b: its tomogram would stand where that of grid/TS does",
        "twice: two series have this name",
        "none.stack: is missing",
        "path.stack: is no path",
        "series[12]: has no names with values",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("{thickness: many}", "a: an option is wrong: thickness: got 'many'"),
        ("{odd: x.st}", "a: options.odd: is an entry of the series itself"),
        ("{output: /etc/x.ome.zarr}", "a: options.output: is an entry of the series itself"),
        ("[1]", "a.options: has no names with values"),
    ],
)
def test_options_of_a_series_that_no_run_takes(tmp_path, options, part):
    text = f"cryolithe_stream: manifest 1\nsource: .\nseries:\n- {{name: a, stack: a.st, options: {options}}}\n"
    with pytest.raises(InputError, match=re.escape(part)):
        read_manifest(write(tmp_path, text))


def test_one_half_alone_is_a_fault_of_its_series(tmp_path):
    text = "cryolithe_stream: manifest 1\nsource: .\nseries:\n- {name: a, stack: a.st, odd: o.st}\n"
    with pytest.raises(InputError, match="a: an option is wrong: even: odd was given without it"):
        read_manifest(write(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "cryolithe_stream: manifest 2\n",
        "cryolithe_stream: recipe 1\nseries: []\n",
        "a: &a [x]\nb: *a\n",
        "!!python/object/apply:os.system ['true']",
        "cryolithe_stream: " + "[" * 400,
    ],
)
def test_other_files_are_no_manifest(tmp_path, text):
    with pytest.raises(FormatError):
        read_manifest(write(tmp_path, text))


def test_a_manifest_without_series_or_file(tmp_path):
    with pytest.raises(InputError, match="series: is no list of series"):
        read_manifest(write(tmp_path, "cryolithe_stream: manifest 1\nsource: .\nseries: []\n"))
    with pytest.raises(MissingFileError):
        read_manifest(tmp_path / "none.yaml")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["name", "stack", "options", "odd", "x"]), inner, max_size=4)
        ),
    )
)
def test_whatever_stands_in_it_only_our_errors_come(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    content = {"cryolithe_stream": "manifest 1", "source": value, "options": value, "series": [value], "skipped": value}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError):
        read_manifest(path)


def test_a_manifest_is_not_replaced_unless_asked(tmp_path):
    made = Manifest(tmp_path, "etomo", (Series("a", tmp_path / "a.st"),))
    path = tmp_path / "m.yaml"
    made.write(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="--overwrite"):
        made.write(path)
    made.write(path, overwrite=True)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.yaml"]
    with pytest.raises(OutputError, match="is no folder"):
        made.write(tmp_path / "no" / "m.yaml")
    with pytest.raises(OutputError, match="Name a file"):
        made.write(tmp_path, overwrite=True)
