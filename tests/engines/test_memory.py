"""Bytes that an engine projects against bytes that a process takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryolithe_stream.run.environment import of_worker

HERE = Path(__file__).parent
CASES = {
    "compact": (128, 16, 384),
    "compact-bf16": (128, 16, 384),
    "paper": (96, 4, 192),
    "paper-bf16": (96, 4, 192),
    "context": (64, 48, 96),
    "context-bf16": (64, 48, 96),
    "wavelet": (128, 32, 256),
    "fbp": (128, 64, 256),
    "exact": (24, 2, 64),
}


def peak(name: str, shape, halves: str = "whole") -> dict[str, int]:
    path = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    done = subprocess.run(
        [sys.executable, str(HERE / "peak.py"), name, halves, *map(str, shape)],
        env={**os.environ, "PYTHONPATH": path, **of_worker(1)},
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", CASES)
def test_a_block_stays_below_its_projection(name):
    found = peak(name, CASES[name])
    print(name, {k: v // 2**20 for k, v in found.items()})
    assert found["measured"] <= found["projected"]
    assert found["projected"] <= 1.6 * found["measured"] + (32 << 20)  # 12 MiB are for kernels


def test_halves_stay_below_their_projection():
    for name in ("compact", "context"):
        found = peak(name, CASES[name], "halves")
        print(name, found)
        assert found["measured"] <= found["projected"]
