"""One options object for command line, file and Python."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import FormatError, InputError, MissingFileError
from cryolithe_stream.run.cluster_words import parse_cluster
from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.parse import parse_bytes, parse_device, parse_exclude, parse_roi


def options(**values: object) -> RunOptions:
    return RunOptions(**{"stack": "ts.mrc", "output": "out.ome.zarr", **values})


def test_text_and_typed_values_fill_the_same_object():
    typed = options(bin=2, pixel_size=10.0, exclude=(1, 4, 5, 6), memory=8 << 30, invert=True, ome_zarr="0.4")
    text = options(bin="2", pixel_size="10", exclude="1,4-6", memory="8GiB", invert="true", ome_zarr=0.4)
    assert typed == text


def test_all_faults_are_told_at_once_with_suggestions():
    with pytest.raises(InputError) as caught:
        RunOptions(stak="a", output="x.tif", bin=0, method="fpb", odd="a.mrc", memory="8 Gigs", device="cdua")
    message = str(caught.value)
    for part in (
        "stack: is needed and was not given",
        "output: got 'x.tif', the output ends in .ome.zarr or .mrc",
        "bin: got 0",
        "(did you mean 'fbp'?)",
        "memory: got '8 Gigs', a size is a number with an optional unit",
        "(did you mean 'cuda'?)",
        "stak: no option has this name (did you mean 'stack'?)",
        "even: odd was given without it",
    ):
        assert part in message
    assert "8 options are wrong" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"pixel_size": "nan"}, "finite"),
        ({"pixel_size": 0}, "greater than 0"),
        ({"thickness": 2.5}, "integer"),
        ({"halves": True, "odd": "a", "even": "b"}, "halves: excludes odd and even"),
        ({"output": "ts.mrc"}, "output: is the same file as stack"),
        ({"roi": "0:5,0:5"}, "three half-open"),
        ({"roi": "5:5,0:5,0:5"}, "ends after it begins"),
        ({"cluster": "lokal"}, "did you mean 'local'?"),
        ({"exclude": "0"}, "count from 1"),
        ({"exclude": "6-4"}, "run upwards"),
    ],
)
def test_faults(values, part):
    with pytest.raises(InputError, match=part.replace("?", r"\?")):
        options(**values)


def test_a_flag_that_was_not_given_never_overrides_the_file(tmp_path):
    file = tmp_path / "options.yaml"
    file.write_text("pixel-size: 10\nbin: 4\ninvert: yes\nexclude: 1,4-6\nome_zarr: 0.4\nangles:\n")
    given = {"stack": "ts.mrc", "output": None, "bin": "2", "invert": None, "pixel_size": None}
    merged = RunOptions.merged(given, config=file, fallback={"output": "fallback.mrc", "bin": 8})
    assert (merged.bin, merged.pixel_size, merged.invert, merged.ome_zarr) == (2, 10.0, True, "0.4")
    assert merged.exclude == (1, 4, 5, 6)
    assert (merged.output, merged.angles) == (Path("fallback.mrc"), None)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(None, MissingFileError), ("- a\n", FormatError), ("a: [\n", FormatError), ("1: 2\n", FormatError)],
)
def test_config_files_that_are_none(tmp_path, content, kind):
    file = tmp_path / "options.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(kind):
        RunOptions.merged({}, config=file)


def test_config_files_run_no_code(tmp_path):
    file, trace = tmp_path / "options.yaml", tmp_path / "trace"
    file.write_text(f"stack: !!python/object/apply:os.mkdir [{trace}]\n")
    with pytest.raises(FormatError, match="is not YAML"):
        RunOptions.merged({}, config=file)
    assert not trace.exists()


def test_saved_options_read_back(tmp_path):
    file = tmp_path / "options.yaml"
    first = options(exclude="3", memory="2GiB", roi=":,0:5,2:", thickness=7, odd="a.mrc", even="b.mrc")
    file.write_text(yaml.safe_dump(first.to_json()))
    assert RunOptions.merged({}, config=file) == first
    assert pickle.loads(pickle.dumps(first)) == first


def test_the_fingerprint_holds_what_changes_voxels_and_nothing_else():
    base = options().describes_voxels()
    same = options(memory="1GiB", cluster="threads:3", overwrite=True, output="b.ome.zarr", device="cpu", stack="b.mrc")
    assert same.describes_voxels() == base
    for values in ({"bin": 2}, {"precision": "bfloat16"}, {"exclude": "3"}, {"roi": "0:2,:,:"}, {"invert": True}):
        assert options(**values).describes_voxels() != base
    plain = options(method="fbp").describes_voxels()
    assert options(method="fbp", engine="exact", oversample=4).describes_voxels() == plain


def test_options_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        options().bin = 3


@given(st.integers(1, 2**60))
def test_plain_numbers_are_bytes(n):
    assert parse_bytes(n) == parse_bytes(str(n)) == parse_bytes(f" {n} B ") == n


@given(st.integers(1, 999), st.sampled_from("kMGT"))
def test_units_are_powers_of_1000_and_with_an_i_of_1024(n, unit):
    power = " kMGT".index(unit)
    assert parse_bytes(f"{n}{unit}B") == parse_bytes(f"{n} {unit.lower()}") == n * 1000**power
    assert parse_bytes(f"{n}{unit}iB") == n * 1024**power


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1.2.3", "8GB8", "0", "1e9", "nan", True, None, "8 Gigs"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match="a size is"):
        parse_bytes(text)


@given(st.sets(st.integers(1, 300)))
def test_views_read_back_from_any_spelling(views):
    runs: list[list[int]] = []
    for view in sorted(views):
        if runs and runs[-1][1] == view - 1:
            runs[-1][1] = view
        else:
            runs.append([view, view])
    spelled = ",".join(f"{a}-{b}" if a < b else str(a) for a, b in reversed(runs))
    assert parse_exclude(spelled) == parse_exclude(list(views)) == tuple(sorted(views))


@pytest.mark.parametrize("text", ["0", "a", "1-", "-3", "1 2", "3-1", "1-99999", 2.5, True, [1, None]])
def test_views_that_are_none(text):
    with pytest.raises(ValueError, match="views"):
        parse_exclude(text)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=3, max_size=3))
def test_regions_read_back(ranges):
    text = ",".join(f"{a}:{a + n}" for a, n in ranges)
    assert parse_roi(text.replace(":", " : ")) == text


def test_names_of_devices_and_clusters():
    assert [parse_device(name) for name in ("AUTO", "cuda:1", " cpu")] == ["auto", "cuda:1", "cpu"]
    for name in ("local", "local:4", "threads", "threads:2", "tcp://host:8786", "tls://host:8786"):
        assert parse_cluster(name) == name
    for name in ("local:0", "tcp://", "threads:", "http://host"):
        with pytest.raises(ValueError, match="a cluster is"):
            parse_cluster(name)
