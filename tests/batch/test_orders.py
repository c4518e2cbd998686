"""What a batch was asked to do, kept in its output folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryolithe_stream.batch import Manifest, Orders, Series
from cryolithe_stream.errors import DamagedStoreError, MissingFileError, OutputError


def orders(folder: Path, **given: int) -> Orders:
    return Orders(Manifest(folder, "folder", (Series("a", folder / "a.mrc"),), {}, ()), given)


@pytest.mark.parametrize("name", ["manifest.yaml", "streaming.json", "options.json"])
def test_keeping_that_was_cut_off_anywhere_is_made_good_by_the_next(tmp_path, name):
    blocked = tmp_path / "out" / ".cryolithe-batch" / name
    blocked.mkdir(parents=True)
    (blocked / "x").touch()
    with pytest.raises((OutputError, DamagedStoreError)):
        orders(tmp_path, bin=2).keep(tmp_path / "out")
    (blocked / "x").unlink()
    blocked.rmdir()
    with pytest.raises(MissingFileError):
        Orders.kept(tmp_path / "out")
    orders(tmp_path, bin=2).keep(tmp_path / "out")
    assert Orders.kept(tmp_path / "out").given == {"bin": 2}


def test_what_cannot_be_read_is_told_with_a_way_out(tmp_path):
    orders(tmp_path).keep(tmp_path)
    (tmp_path / ".cryolithe-batch" / "streaming.json").write_text("{")
    with pytest.raises(DamagedStoreError, match="Delete that folder and start batch run again"):
        orders(tmp_path).keep(tmp_path)
