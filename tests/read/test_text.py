"""Lists of views and tables of numbers: laws, and what is refused."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import CryolitheError, FormatError, InputError, MissingFileError, UnsupportedError
from cryolithe_stream.read import format_views, parse_views, read_angles, read_xf
from cryolithe_stream.read.aretomo import read_aln
from cryolithe_stream.read.comfile import programs_in, read_edf
from cryolithe_stream.read.mdoc import read_mdoc
from cryolithe_stream.read.newst import read_newst
from cryolithe_stream.read.text import existing_file
from cryolithe_stream.read.tiltcom import read_tilt_com


@given(st.sets(st.integers(1, 300)))
def test_a_list_of_views_reads_back(views):
    assert parse_views(format_views(frozenset(views))) == tuple(sorted(views))


@pytest.mark.parametrize(
    ("text", "views"),
    [("1,4-6", (1, 4, 5, 6)), ("2 3  9", (2, 3, 9)), ("", ()), ("6-4", (4, 5, 6)), ("1, 3 - 5 ,5", (1, 3, 4, 5))],
)
def test_lists_of_views_as_people_and_imod_write_them(text, views):
    assert parse_views(text) == views


@pytest.mark.parametrize("text", ["0", "-3", "1-", "a", "1;2", "0-4", "1-999999999", "²", "1-2-3"])
def test_what_is_no_list_of_views_is_refused(text):
    with pytest.raises(InputError, match="view"):
        parse_views(text)


@given(st.lists(st.floats(-90, 90, allow_nan=False), min_size=1, max_size=60), st.integers(1, 7))
def test_angles_read_back_however_many_stand_in_a_line(angles, per_line):
    lines = [angles[i : i + per_line] for i in range(0, len(angles), per_line)]
    text = "# nominal\n" + "\n".join("  ".join(repr(a) for a in line) + " # here" for line in lines)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tlt"
        path.write_text(text)
        np.testing.assert_array_equal(read_angles(path), angles)


@given(st.lists(st.tuples(st.floats(-180, 180), *[st.floats(-1e4, 1e4)] * 2), min_size=1, max_size=20))
def test_transforms_read_back_in_yx_order(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.xf"
        turns = np.deg2rad([row[0] for row in rows])
        table = [(np.cos(t), -np.sin(t), np.sin(t), np.cos(t), *row[1:]) for t, row in zip(turns, rows, strict=True)]
        path.write_text("\n".join(" ".join(f"{v:.9f}" for v in line) for line in table))
        matrix_yx, shift_yx = read_xf(path)
    for (a11, a12, a21, a22, dx, dy), matrix, shift in zip(table, matrix_yx, shift_yx, strict=True):
        x, y = 3.0, -5.0
        moved = matrix @ (y, x) + shift
        np.testing.assert_allclose(moved, (a21 * x + a22 * y + dy, a11 * x + a12 * y + dx), atol=1e-6)


PARSERS = [
    read_angles,
    read_xf,
    read_mdoc,
    read_edf,
    programs_in,
    read_newst,
    read_tilt_com,
    lambda path: read_aln(path, 5),
]
_WORDS = st.sampled_from(
    "1 -0.5 nan inf 1e999 $tilt $newstack # = [ZValue=1] TILTFILE THICKNESS EXCLUDELIST 1-4 SHIFT XAXISTILT "
    "TransformFile BinByFactor Setup.DatasetName=a AreTomo RawSize DarkFrame SEC TiltAngle 5e400 ² é".split()
)
_GARBAGE = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(_WORDS, st.sampled_from([" ", "\n", "\t", ","])), max_size=60).map(
        lambda w: " ".join(w).encode()
    ),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
)


@pytest.mark.parametrize("parser", PARSERS)
@given(content=_GARBAGE)
def test_garbage_raises_nothing_but_our_errors(parser, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            parser(path)
        except CryolitheError as error:
            assert error.exit_code == 2
            assert "\n" not in str(error)


def test_files_that_are_not_there_or_not_files(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        existing_file(tmp_path / "no", "angles")
    with pytest.raises(InputError, match="is a folder"):
        existing_file(tmp_path, "angles")
    with pytest.raises(MissingFileError, match="no file name"):
        existing_file("a\0b", "angles")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="device or pipe"):
        existing_file(tmp_path / "pipe", "angles")


@pytest.mark.parametrize(("magic", "tool"), [(b"\x1f\x8b", "gunzip"), (b"BZh9", "bunzip2"), (b"\xfd7zXZ\0", "unxz")])
def test_compressed_files_are_refused_with_the_remedy(tmp_path, magic, tool):
    path = tmp_path / "ts.mrc.gz"
    path.write_bytes(magic + bytes(2000))
    with pytest.raises(UnsupportedError, match=f"Unpack it first: {tool} ts.mrc.gz"):
        existing_file(path, "stack")


def test_an_unreadable_file_is_named(tmp_path):
    path = tmp_path / "a.tlt"
    path.write_text("1 2")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_angles(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only\n", "is empty"),
        ("1\n2 x\n", "line 2 has 'x'"),
        ("1\nnan\n", "line 2: nan"),
        ("91", "limit is 90"),
    ],
)
def test_angle_files_that_cannot_be_used(write, text, message):
    with pytest.raises(InputError, match=message):
        read_angles(write("a.tlt", text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0 0 1 0", "5 entries"),
        ("1 0 0 1 0 nan", "6 entries"),
        ("0 0 0 0 1 1", "scales the area by 0"),
        ("-1 0 0 1 0 0", "scales the area by -1"),
        ("9.0 8 2 1 1 10 10", "7 entries"),
    ],
)
def test_transform_files_that_cannot_be_used(write, text, message):
    with pytest.raises(FormatError, match=message):
        read_xf(write("a.xf", text))
