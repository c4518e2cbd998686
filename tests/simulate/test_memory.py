"""The bound that sizes are refused by: never below what a series takes, and not far above."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_series_stays_below_its_projected_peak(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(HERE / "peak.py"), str(tmp_path / "set")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True)
    projected, measured = map(int, done.stdout.split())
    assert measured <= projected <= 1.4 * measured
