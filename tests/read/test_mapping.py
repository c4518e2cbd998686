"""YAML files of names and values, from whoever wrote them."""

from __future__ import annotations

import os

import pytest

from cryolithe_stream.errors import FormatError, MissingFileError
from cryolithe_stream.read import read_mapping


def test_names_and_values_come_as_written(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("size: [1, 2.5]\npixel-size: é\nnested: {a: null}\n")
    assert read_mapping(file, "the file", fix="x") == {"size": [1, 2.5], "pixel-size": "é", "nested": {"a": None}}
    file.write_text("")
    assert read_mapping(file, "the file", fix="x") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- 1", "no names"),
        ("1: 2", "no names"),
        ("a", "no names"),
        ("a: [", "not YAML"),
        ("a: &a [1]\nb: *a\n", "aliases"),
        ("a: &a [*a]\n", "aliases"),
        ("a: " + "[" * 5000, "deep"),
        ("a: !!python/name:os.system", "not YAML"),
        ("a: 2020-99-99", "not YAML"),
        ("\0", "not YAML"),
        ("a: 1\n" * 100_000, "larger"),
    ],
)
def test_what_is_none_is_refused_in_a_line(tmp_path, text, said):
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(FormatError, match=said) as fault:
        read_mapping(file, "the file", fix="Write names", largest_bytes=400_000)
    assert len(str(fault.value)) < 1000


def test_what_has_no_end_or_is_not_there_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FormatError, match="device or pipe"):
            read_mapping(tmp_path / path, "the file", fix="x")
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(MissingFileError):
            read_mapping(path, "the file", fix="x")
