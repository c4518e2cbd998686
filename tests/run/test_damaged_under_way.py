"""Shards that are cut, emptied, gone or changed while the run is under way are made again before they are relied on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_support import hashes
from run_support import options, write_series

from cryolithe_stream.errors import DamagedStoreError
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.run.progress import Silent


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0x10
    file.write_bytes(data)


class Damages(Silent):
    """A disk that damages the largest shards of a level just before it is read back, so many times."""

    def __init__(self, out: Path, level: int, how: Callable[[Path], Any], times: int = 1) -> None:
        self.out, self.level, self.how, self.left = out, level, how, times
        self.told: list[str] = []

    def phase(self, name: str, total: int, unit: str) -> None:
        if name == f"reading back level {self.level}" and self.left:
            self.left -= 1
            folder = self.out.with_name(self.out.name + ".partial")
            files = [file for file in folder.glob(f"*/all.ome.zarr/{self.level}/c/*/*/*") if file.is_file()]
            for file in sorted(files, key=lambda file: -file.stat().st_size)[:2]:
                self.how(file)

    def message(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    return {**write_series(tmp_path / "in", n_tilts=5, shape_yx=(200, 200)), "method": "fbp", "thickness": 70}


def test_they_are_found_and_made_again(tmp_path: Path, given: dict[str, Any]) -> None:
    clean = tmp_path / "clean.ome.zarr"
    reconstruct_series(options(clean, **given))
    for level, how in ((0, cut), (0, empty), (0, Path.unlink), (0, flip), (1, cut), (1, Path.unlink), (2, empty)):
        out = tmp_path / f"{level}-{how.__name__}.ome.zarr"
        disk = Damages(out, level, how)
        assert reconstruct_series(options(out, **given), disk).status == "done"
        assert disk.left == 0
        assert len([line for line in disk.told if f"of level {level} are not as they were written" in line]) == 1
        assert hashes(out) == hashes(clean) != {}


def test_a_disk_that_never_gives_back_what_it_got_is_told_in_a_line(tmp_path: Path, given: dict[str, Any]) -> None:
    out = tmp_path / "out.ome.zarr"
    disk = Damages(out, 0, cut, times=99)
    with pytest.raises(DamagedStoreError, match=r"does not read back the same, tried 3 times.*Check that disk"):
        reconstruct_series(options(out, **given), disk)
    assert not out.exists()
    assert reconstruct_series(options(out, **given)).status == "done"
    assert hashes(out)


def test_projections_that_are_damaged_are_prepared_again_by_the_next_run(tmp_path: Path, given: dict[str, Any]) -> None:
    clean, out = tmp_path / "clean.ome.zarr", tmp_path / "out.ome.zarr"
    reconstruct_series(options(clean, **given))
    folder = tmp_path / "out.ome.zarr.partial"

    class DamagesProjections(Silent):
        def __init__(self, how: Callable[[Path], Any]) -> None:
            self.how = how

        def phase(self, name: str, total: int, unit: str) -> None:
            if name == "reconstructing":
                self.how(sorted(folder.glob("*/projections_all.zarr/projections/c/*/0/0"))[2])

    with pytest.raises(DamagedStoreError, match="Run the same command again: they are prepared anew"):
        reconstruct_series(options(out, **given), DamagesProjections(cut))
    with pytest.raises(DamagedStoreError, match="are damaged"):
        reconstruct_series(options(out, **given), DamagesProjections(empty))
    assert reconstruct_series(options(out, **given)).status == "done"
    assert hashes(out) == hashes(clean) != {}
