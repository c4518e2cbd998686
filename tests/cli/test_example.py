"""The shipped tilt series and its picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def test_the_stack_is_what_its_readme_says(example):
    with mrcfile.mmap(example / "ts254.mrc", mode="r") as stack:
        assert stack.data.shape == (41, 315, 326)
        assert stack.data.dtype == np.float16
        assert float(stack.voxel_size.x) == pytest.approx(20)
    angles = np.loadtxt(example / "ts254.tlt")
    np.testing.assert_allclose(np.diff(angles), 3, atol=0.02)
    assert np.loadtxt(example / "ts254.xf").shape == (41, 6)
    assert "MIT" in (example / "LICENSE.warpylib").read_text()


def test_binning_moves_nothing_and_keeps_slow_waves():
    sys.path.insert(0, str(ROOT / "examples"))
    try:
        from make_example import binned, binned_xf
    finally:
        sys.path.pop(0)
    wave = lambda n: np.cos(np.pi * 3 * (np.arange(n) + 0.5) / n)  # noqa: E731
    np.testing.assert_allclose(binned(np.outer(wave(20), wave(24))), np.outer(wave(10), wave(12)), atol=1e-6)
    assert [float(w) for w in binned_xf(" 1 0 0 1 -27.094 -2.191\n").split()] == [1, 0, 0, 1, -13.547, -1.0955]


def test_the_script_makes_the_shipped_files_again(shared, example, tmp_path):
    source = shared / "data" / "empiar-10499-ts254"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    command = [sys.executable, str(ROOT / "examples" / "make_example.py"), str(source), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120)
    for name in ("ts254.tlt", "ts254.xf", "LICENSE.warpylib"):
        assert (tmp_path / name).read_bytes() == (example / name).read_bytes()
    with mrcfile.open(tmp_path / "ts254.mrc") as made, mrcfile.open(example / "ts254.mrc") as shipped:
        np.testing.assert_allclose(made.data.astype(np.float32), shipped.data.astype(np.float32), atol=0.04)


def test_a_picture_has_the_volume_s_proportions(tmp_path):
    volume = tmp_path / "volume.mrc"
    data = np.random.default_rng(0).normal(size=(20, 60, 80)).astype(np.float32)
    with mrcfile.new(volume, data=data) as out:
        out.voxel_size = 20.0
    script = str(ROOT / "examples" / "slices.py")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, script, str(volume), str(tmp_path / "p.png")]
    subprocess.run(command, check=True, timeout=120, env=environment)
    from matplotlib.image import imread

    high, wide = imread(tmp_path / "p.png").shape[:2]
    assert wide / high == pytest.approx((80 + 20 + 1.6) / (60 + 20 + 1.6), rel=0.01)
