"""Lists of folders that are kept: a second look asks for what is missing only."""

from __future__ import annotations

import pytest

from cryolithe_stream.empiar import Client, KeptListings, Patterns, Tree
from cryolithe_stream.errors import DamagedStoreError, RemoteError


def listed(archive):
    return [path for method, path, _ in archive.requests if path.endswith("/")]


def test_folders_are_listed_once_whatever_is_looked_for(filled, client, tmp_path):
    filled.files["10499/data/a\\b.st"] = b"no plain name"
    plain = list(Tree(client, "10499").files())
    filled.requests.clear()
    with KeptListings(tmp_path / "lists") as kept:
        list(Tree(client, "10499", Patterns.parse(["data/run0/"]), kept=kept).files())
        assert len(listed(filled)) == 4
    with KeptListings(tmp_path / "lists") as kept:
        told = []
        assert list(Tree(client, "10499", refused=told.append, kept=kept).files()) == plain
        assert len(listed(filled)) == len(set(listed(filled))) == 8
        filled.requests.clear()
        again = []
        assert list(Tree(client, "10499", refused=again.append, kept=kept).files()) == plain
    assert not listed(filled)
    assert told == again == ["data: 'a%5Cb.st' is no plain name or leads elsewhere, left out"]
    with KeptListings(tmp_path / "lists", anew=True) as kept:
        assert list(Tree(client, "10499", kept=kept).files()) == plain
    assert len(listed(filled)) == 8


def test_what_was_listed_before_a_fault_is_kept(filled, client, server, tmp_path):
    filled.behaviours["/files/10499/data/run1/"] = ["503*"]
    with KeptListings(tmp_path / "lists") as kept, pytest.raises(RemoteError):
        list(Tree(client, "10499", kept=kept).files())
    filled.behaviours.clear()
    filled.requests.clear()
    with KeptListings(tmp_path / "lists") as kept:
        assert len(list(Tree(Client(server), "10499", kept=kept).files())) == 7
    assert "/files/10499/data/run0/" not in listed(filled) and "/files/10499/data/run1/" in listed(filled)


def test_a_file_that_holds_no_lists_is_refused(tmp_path):
    with KeptListings(tmp_path / "lists") as kept:
        kept._journal.append("https://x/", {"entries": 3, "refused": []})
    with pytest.raises(DamagedStoreError, match="holds no lists of folders"):
        KeptListings(tmp_path / "lists")


def test_folders_that_nobody_wants_are_passed_over(filled, client):
    filled.files["10499/data/t.zarr/c/0"] = b"chunk"
    tree = Tree(client, "10499", enters=lambda name: not name.endswith(".zarr"))
    assert len(list(tree.files())) == 7
    assert not [path for path in listed(filled) if "zarr" in path]
