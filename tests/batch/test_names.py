"""Names of series: safe to write, apart whatever the file system, and nothing that `plan` finds is refused by `run`."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.batch.names import SUFFIX, Taken, clashes, fault_of, safe_name

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(NAMES)
def test_every_text_has_a_safe_name_that_stays_the_same(text):
    name = safe_name(text)
    assert fault_of(name) == ""
    assert safe_name(name) == name


@given(NAMES)
def test_a_name_without_a_fault_stays_inside_its_folder_and_fits_a_file_system(text):
    if fault_of(text):
        return
    path = PurePosixPath("folder") / f"{text}{SUFFIX}"
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert all(len(part.encode()) + len(".partial") <= 255 for part in path.parts)
    assert text.isprintable()


@pytest.mark.parametrize(
    "name",
    ["", "/etc/x", "../x", "a/../b", "a//b", "a/", ".hidden", "a/./b", "a\0b", "a\nb", "a\\b", "a\u202eb", "x" * 201],
)
def test_unsafe_names_are_refused(name):
    assert fault_of(name)


@pytest.mark.parametrize("name", ["TS_01", "grid1/TS_01", "a b", "$HOME", "-x", "µ/Å", "x" * 200])
def test_others_are_not(name):
    assert fault_of(name) == ""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "A"),
        ("grid/TS", "GRID/ts"),
        ("straße", "STRASSE"),
        ("a", f"a{SUFFIX}/b"),
        (f"a{SUFFIX}/b", "a"),
        ("a", f"A{SUFFIX}.partial/b"),
        (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")),
    ],
)
def test_names_that_meet_on_some_file_system_collide(first, second):
    assert clashes({first: False, second: False}) == [(second, first)]


def test_names_of_halves_are_taken_where_there_are_halves():
    assert clashes({"a": True, "a_odd": False}) == [("a_odd", "a")]
    assert clashes({"a": False, "a_odd": False, "b": False, "a/b": False}) == []


@given(st.lists(st.tuples(st.text("aAb_od./", min_size=1, max_size=6).map(safe_name), st.booleans()), max_size=30))
def test_names_that_are_given_out_never_collide(wishes):
    taken = Taken()
    given_out = {taken.free([name], halves=halves): halves for name, halves in wishes}
    assert len(given_out) == len(wishes)
    assert clashes(given_out) == []
    assert not any(fault_of(name) for name in given_out)
