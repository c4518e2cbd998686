"""Preparation as a process: its memory, and what is left when it is killed or the disk is full."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prepare_support import noise_stack, write_series

from cryolithe_stream.errors import DamagedStoreError
from cryolithe_stream.prepare import prepare_projections
from cryolithe_stream.store import ProjectionStore

CHILD = Path(__file__).with_name("child.py")


def child(*arguments):
    paths = os.pathsep.join([str(CHILD.parents[2]), str(CHILD.parent)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(CHILD), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def measure(tmp_path, kind, shape, binning, dtype):
    noise = np.random.default_rng(0).integers(0, 999, shape, dtype=np.int16)
    write_series(tmp_path, noise.astype(dtype))
    done = child(kind, tmp_path, binning)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(
    ("kind", "shape", "binning", "dtype"),
    [
        ("measure-turned", (2, 3000, 3100), 2, np.int16),
        ("measure", (2, 3100, 3000), 1, np.float32),
        pytest.param("measure-turned", (2, 2900, 3100), 1, np.float32, marks=pytest.mark.slow),
        pytest.param("measure", (2, 4100, 4000), 4, np.int16, marks=pytest.mark.slow),
    ],
)
def test_measured_memory_is_what_was_projected(tmp_path, kind, shape, binning, dtype):
    found = measure(tmp_path, kind, shape, binning, dtype)
    assert found["measured"] <= found["projected"] <= 1.25 * found["measured"], found


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_frames(tmp_path):
    few, many = (
        measure(tmp_path / str(n), "measure-turned", (n, 800, 900), 2, np.float32)["measured"] for n in (3, 15)
    )
    assert many < 1.1 * few + (2 << 20)


@pytest.mark.parametrize("step", [3, 7])
def test_killed_it_leaves_no_store_that_opens_and_can_start_again(tmp_path, step):
    series = write_series(tmp_path, noise_stack())
    assert child("kill", tmp_path, step).returncode == -signal.SIGKILL
    with pytest.raises(DamagedStoreError):
        ProjectionStore.open(tmp_path / "p.zarr")
    prepare_projections(series, tmp_path / "p.zarr")
    whole = prepare_projections(series, tmp_path / "q.zarr")
    left, fresh = (sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*")) for n in ("p.zarr", "q.zarr"))
    assert left == fresh
    assert ProjectionStore.open(tmp_path / "p.zarr").attributes["content_hash"] == whole.content_hash


@pytest.mark.parametrize("limit", [20_000, 60_000])
def test_full_disk_is_told_and_leaves_nothing(tmp_path, limit):
    write_series(tmp_path, noise_stack((5, 90, 80)))
    done = child("limit", tmp_path, limit)
    assert done.returncode == 1
    assert "OutputError" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "p.zarr").exists()
