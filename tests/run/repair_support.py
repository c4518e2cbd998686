"""Damage to tomograms in object stores, and their repair."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from cluster_support import environment

from cryolithe_stream.run import repair_tomogram, verify_tomogram

MARK = ".cryolithe-stream/owner.json"


def shards(whole: dict[str, bytes], level: int) -> list[str]:
    return [name for name in whole if name.startswith(f"{level}/c/")]


def put(files, out: str, name: str, data: bytes) -> None:
    files.pipe_file(f"{out[5:]}/{name}", data)


def flip(files, out: str, name: str) -> None:
    content = bytearray(files.cat_file(f"{out[5:]}/{name}"))
    content[len(content) // 2] ^= 0xFF
    put(files, out, name, bytes(content))


def delete(files, out: str, name: str) -> None:
    files.rm_file(f"{out[5:]}/{name}")


def cut(files, out: str, name: str) -> None:
    put(files, out, name, files.cat_file(f"{out[5:]}/{name}")[:100])


def empty(files, out: str, name: str) -> None:
    put(files, out, name, b"")


def again(out: str, folder: Path, **given):
    """Verify and repair, as the command does."""
    return repair_tomogram(verify_tomogram(out), **{"cluster": "threads", "workspace": folder, **given})


class Hook:
    """Progress that calls a function once, when a phase of this name begins."""

    def __init__(self, name: str, function) -> None:
        self.name, self.function = name, function

    def phase(self, name, total, unit):
        if name.startswith(self.name) and self.function is not None:
            function, self.function = self.function, None
            function()

    def advance(self, n, voxels=0):
        pass

    def message(self, text):
        pass


def left_behind(out: str, folder: Path) -> None:
    """What a repair leaves that is killed: its folder and its mark."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from cryolithe_stream.run.repair_claim import claimed\n"
        "from cryolithe_stream.store import place_of\n"
        "with claimed(place_of(sys.argv[1]), Path(sys.argv[2])) as claim:\n"
        "    claim.inside.mkdir()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, out, str(folder)], env=environment(), timeout=100)
    assert ended.returncode == -signal.SIGKILL
