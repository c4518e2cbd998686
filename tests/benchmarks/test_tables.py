"""Benchmarks run, and their tables have every row and column."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparison import Methods, write_json
from benchmarks.conditions import CONDITIONS, every
from benchmarks.denoisers import BestGaussian
from benchmarks.quality import quality
from benchmarks.reconstructions import Reconstruction
from benchmarks.robustness import robustness
from benchmarks.specimen_sets import procedural
from benchmarks.tables import METRICS, quality_markdown, robustness_markdown

ROOT = Path(__file__).parents[2]
SMALL = (16, 16, 32)


@pytest.fixture(scope="module")
def methods():
    return Methods.of(["default"], device="cpu")


def test_models_of_one_name_are_told_apart():
    assert Methods.of(["default", "default"], device="cpu").names[-2:] == ["default", "default (2)"]


def rows_of(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]


def test_quality_has_every_set_method_and_level(methods, tmp_path):
    sets = {"one": lambda: procedural(SMALL, (7001, 7002)), "two": lambda: procedural(SMALL, (7003,))}
    content = quality(sets, [-5.0, 5.0], methods)
    assert len(content["results"]) == 3 * 2 * len(methods.names)
    assert {len(v) for v in content["sets"].values()} == {1, 2}
    rows = rows_of(quality_markdown(content, headline=-5.0))
    assert methods.names == ["FBP", "FBP + best Gaussian", "FBP + best Wiener filter", "default"]
    for name in methods.names:
        mine = [row[1:] for row in rows if row[0] == name]
        assert len(mine) == 2 + 2 * 2 + 1  # a headline a set, two metrics a set over noise, the speed
        assert not any("–" in row for row in mine)
    assert ["method", *(title for title, _ in METRICS.values())] in rows
    write_json(tmp_path / "q.json", content)
    assert json.loads((tmp_path / "q.json").read_text()) == content
    assert not [p for p in tmp_path.iterdir() if p.name != "q.json"]


def test_robustness_has_every_value():
    methods = Methods(Reconstruction.of(None, device="cpu"), (BestGaussian(),), ())
    content = robustness(["noise", "ctf"], [7407], methods, shape=(24, 16, 32))
    rows = rows_of(robustness_markdown(content))
    assert [len(values) for values in content["conditions"].values()] == [5, 5]
    for values in content["conditions"].values():
        assert sum(row[1:] == values for row in rows) == 2
    assert sum(row[0] == "FBP" for row in rows) == 4
    assert not any("–" in row[1:] for row in rows)


def test_conditions_change_what_they_say():
    removed = list(CONDITIONS["removed"](7401, -5.0, SMALL))
    assert [len(case.specimen.tilts_deg) for case in removed] == [61, 51, 46, 41, 36, 31]
    for more, fewer in pairwise(removed):
        assert set(fewer.specimen.tilts_deg) < set(more.specimen.tilts_deg)
    ranges = [case.specimen.tilt_range_deg for case in CONDITIONS["range"](7401, -5.0, SMALL)]
    assert ranges == [(-40, 40), (-50, 50), (-60, 60), (-70, 70)]
    steps = [case.specimen.tilts_deg for case in CONDITIONS["step"](7401, -5.0, SMALL)]
    assert [float(np.diff(tilts)[0]) for tilts in steps] == [1, 2, 3, 4, 5]
    assert next(CONDITIONS["voxel"](7401, -5.0, SMALL)).specimen.voxel_angstrom == pytest.approx(4)
    assert next(CONDITIONS["thickness"](7401, -5.0, SMALL)).specimen.shape_zyx == (48, 16, 32)
    clean, *seen = (case.specimen for case in CONDITIONS["ctf"](7401, -5.0, SMALL))
    for specimen in seen:
        assert not np.allclose(specimen.signal, clean.signal)
        np.testing.assert_array_equal(specimen.truth, clean.truth)
    assert every(60, 3)[20] == 0 and len(every(60, 3)) == 41


def test_robustness_explains_itself():
    command = [sys.executable, ROOT / "benchmarks" / "robustness.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and "--models" in done.stdout


def test_maps_without_a_folder_are_refused():
    command = [sys.executable, ROOT / "benchmarks" / "quality.py", "--sets", "maps"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2 and "--maps FOLDER" in done.stderr
