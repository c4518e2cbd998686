"""Blocks in a process whose memory is limited, as `ulimit -v` does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cryolithe_stream.geometry import Box
from cryolithe_stream.run.environment import of_worker
from cryolithe_stream.run.halving import SHORTEST, Halving

HERE = Path(__file__).parent


def starved(share: float) -> dict[str, float | str]:
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    command = [sys.executable, str(HERE / "starved.py"), str(share)]
    environment = {**os.environ, "PYTHONPATH": path, **of_worker(1)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=True)
    found: dict[str, float | str] = json.loads(done.stdout)
    return found


def test_a_block_that_does_not_fit_is_computed_in_parts():
    found = starved(0.6)  # what half the block is projected to take, and less than the whole needs
    assert found["parts"] == found["again"] >= 2, found
    assert found["difference"] < 3e-5


def test_memory_for_nothing_is_told():
    assert "there is not even memory for" in str(starved(0.02)["error"])


def test_parts_are_remembered_and_make_the_whole():
    fits, calls = 5000, []

    def compute(box: Box) -> np.ndarray:
        calls.append(box)
        if box.n_voxels > fits:
            raise MemoryError
        return np.stack([np.indices(box.shape).sum(0) + sum(box.start)])

    halving, box = Halving(), Box((3, 0, 5), (40, 33, 22))
    whole, parts = halving.voxels(box, compute)
    assert np.array_equal(whole[0], np.indices(box.shape).sum(0) + 8)
    failed = len(calls) - parts
    assert failed == 2  # 20,757 and 5,491 voxels: each failure halves what is tried from then on
    calls.clear()
    again, parts_again = halving.voxels(box, compute)
    assert np.array_equal(again, whole)
    assert len(calls) == parts_again == parts


@pytest.mark.parametrize("error", [RuntimeError("something else"), ValueError("no")])
def test_other_errors_are_raised_as_they_are(error):
    def fail(box: Box) -> np.ndarray:
        raise error

    with pytest.raises(type(error), match=str(error)):
        Halving().voxels(Box.whole((SHORTEST * 4,) * 3), fail)
