"""What people read while a run goes on and when it is over."""

from __future__ import annotations

import io

import pytest

from cryolithe_stream_cli import progress as progress_module
from cryolithe_stream_cli.bar import BarProgress
from cryolithe_stream_cli.progress import PlainProgress, progress_on
from cryolithe_stream_cli.show import as_text, duration, size


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_module.time, "monotonic", clock)
    return clock


def test_plain_lines_come_at_the_start_every_ten_seconds_and_at_the_end(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.phase("reconstruct", 4, "blocks")
    for _ in range(4):
        clock.now += 6
        progress.advance(1, voxels=600)
    assert stream.getvalue().splitlines() == [
        "reconstruct: 4 blocks",
        "reconstruct: 2/4 blocks, 100 voxels/s, 12 s left",
        "reconstruct: 4/4 blocks, 100 voxels/s, done in 24 s",
    ]


def test_what_an_earlier_run_did_does_not_count_as_speed(clock):
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.phase("reconstruct", 100, "blocks")
    progress.advance(90)
    clock.now += 20
    progress.advance(2, voxels=200)
    assert stream.getvalue().splitlines()[-1] == "reconstruct: 92/100 blocks, 10 voxels/s, 1:20 min left"


def test_not_a_terminal_gets_plain_lines_and_a_terminal_a_bar():
    stream, terminal = io.StringIO(), Terminal()
    for out in (stream, terminal):
        with progress_on(out) as progress:
            progress.message("thickness: a quarter of the width")
            progress.phase("reconstruct", 2, "blocks")
            progress.advance(2, voxels=5)
            assert isinstance(progress, BarProgress if out is terminal else PlainProgress)
        assert "thickness: a quarter of the width" in out.getvalue()
        assert "blocks" in out.getvalue()


def test_names_bring_their_units():
    text = as_text(
        {"peak_bytes": 3 << 29, "time_seconds": 3725, "pixel_angstrom": 10.0, "shape_zyx": [3, 4, 5], "ok": True}
    )
    assert text.splitlines() == [
        "peak       1.5 GiB",
        "time       1:02:05 h",
        "pixel      10 Å",
        "shape zyx  3 x 4 x 5",
        "ok         yes",
    ]
    assert as_text({"a": None, "inner": {"n": 1234567}}).splitlines() == ["a  -", "inner", "  n  1,234,567"]


def test_sizes_and_durations():
    assert [size(n) for n in (1, 2048, 1 << 40)] == ["1 B", "2 KiB", "1 TiB"]
    assert [duration(s) for s in (0.25, 42, 187, 7500)] == ["0.25 s", "42 s", "3:07 min", "2:05:00 h"]
