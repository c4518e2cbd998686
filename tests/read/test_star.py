"""STAR files: read as gemmi reads them, and refused by line where they are damaged."""

from __future__ import annotations

import re
import time

import gemmi
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from relion_support import star_text

from cryolithe_stream.errors import FormatError
from cryolithe_stream.read.star import read_star

TWO = """# version 50001

data_optics

_rlnOne 1
_rlnTwo 'a b'

data_
loop_\x20
_rlnX #1\x20
_rlnY #2\x20
 1 "q r"\x20
2 x#y # z
"""


def test_single_values_loops_quotes_and_comments(write):
    optics, plain = read_star(write("a.star", TWO))
    assert (optics.name, optics.labels, optics.rows) == ("optics", ("rlnOne", "rlnTwo"), (("1", "a b"),))
    assert (plain.name, plain.rows, plain.lines) == ("", (("1", "q r"), ("2", "x#y")), (12, 13))
    np.testing.assert_array_equal(plain.numbers("rlnX"), [1.0, 2.0])


def test_every_star_file_of_a_real_project_as_gemmi_reads_it(shared_data):
    files = sorted((shared_data / "alignments" / "relion5-empiar-10164").rglob("*.star"))
    if not files:
        pytest.skip("no project of RELION in the shared data")
    for file in files:
        blocks = {block.name.strip(): block for block in gemmi.cif.read_file(str(file))}
        tables = read_star(file)
        assert tables
        for table in tables:
            for label in table.labels:
                expected = [gemmi.cif.as_string(text) for text in blocks[table.name].find_values(f"_{label}")]
                assert table.texts(label) == expected, (file, label)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("data_a\nloop_\n_x\n_x\n", 4, "twice"),
        ("data_a\nloop_\n_x\n_y\n1\n", 5, "1 entries, the table has 2 columns"),
        ("data_a\nloop_\n_x\n1 2\n", 4, "2 entries, the table has 1"),
        ("data_a\nloop_\n_x\n1\n_y\n2\n_z 3\n", 7, "2 entries"),
        ("data_a\n1 2\n", 2, "the table has 0 columns"),
        ("data_a\n_x\n", 2, "not a label and its value"),
        ("data_a\nloop_\n_x y\n", 3, "not a label"),
        ("data_a b\n", 1, "'b' after"),
        ("loop_\n_x\n", 1, "no star file of RELION"),
        ("hello\n", 1, "no star file of RELION"),
        ("data_a\nsave_b\n", 2, "no star file of RELION"),
        ("data_a\n_x\n;text\n;\n", 2, "not a label and its value"),
        ("data_a\n;text\n", 2, "a text block"),
        ("data_a\nloop_\n_x\n'a b\n", 4, "a quote that does not end"),
        ("data_a\n_ 1\n", 2, "has no name"),
        ("data_a\nloop_\n_x\n" + "1\n" * 100_001, 100_004, "more than 100000 rows"),
        ("data_a\n" * 1002, 1002, "more than 1000 tables"),
        ("data_a\nloop_\n" + "".join(f"_c{i}\n" for i in range(1001)), 1003, "more than 1000 columns"),
    ],
)
def test_damaged_files_are_refused_by_line(write, text, line, message):
    with pytest.raises(FormatError, match=rf"line {line}: .*{re.escape(message)}"):
        read_star(write("a.star", text))


@pytest.mark.parametrize(
    ("text", "message"), [("", "no data_ block"), ("# only\n", "no data_ block"), ("\0", "binary")]
)
def test_files_without_tables(write, text, message):
    with pytest.raises(FormatError, match=message):
        read_star(write("a.star", text))


@pytest.mark.parametrize("entry", ["nan", "inf", "-", "1e12", "x", "1,2"])
def test_what_is_no_number_is_told_by_line_and_column(write, entry):
    (table,) = read_star(write("a.star", f"data_a\nloop_\n_x\n1\n{entry}\n"))
    with pytest.raises(FormatError, match="line 5: x"):
        table.numbers("x")


def test_a_column_that_is_missing_is_named(write):
    (table,) = read_star(write("a.star", "data_a\n_x 1\n"))
    with pytest.raises(FormatError, match="no column rlnTomoZRot in data_a"):
        table.numbers("rlnTomoZRot")


def test_a_large_file_takes_no_time(write):
    rows = [[i, *"abcdefgh"] for i in range(60_000)]
    path = write("a.star", star_text("a", [f"rln{i}" for i in range(9)], rows))
    begin = time.process_time()
    assert len(read_star(path)[0].rows) == 60_000
    assert time.process_time() - begin < 10


WORDS = st.sampled_from(
    ["data_", "data_a", "loop_", "_x", "_y", "_x 1", "1", "1 2", "nan 2", "'a", '"a b" c', ";", "#", "", "\t_z #3"]
)


@given(st.lists(WORDS, max_size=30) | st.text(max_size=200).map(lambda text: [text]))
def test_any_text_is_read_or_refused(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "hostile.star"
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    try:
        tables = read_star(path)
    except FormatError:
        return
    assert all(len(row) == len(table.labels) == len(set(table.labels)) for table in tables for row in table.rows)


@given(st.integers(0, 400))
def test_a_file_that_is_cut_short_is_refused_or_has_fewer_rows(tmp_path_factory, kept):
    text = star_text("TS", ("rlnName", "rlnTilt"), [(f"f/{i}.mrc", i * 1.5) for i in range(20)])
    path = tmp_path_factory.getbasetemp() / "cut.star"
    path.write_text(text[:kept])
    try:
        tables = read_star(path)
    except FormatError:
        return
    assert sum(len(table.rows) for table in tables) <= 20
