"""Five small series in the layout of EMPIAR-11830, and batches of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cryolithe_stream.batch import read_outcomes
from tests.run.run_support import fingerprint_of_files

TOP = "11830/data/chlamy_visual_proteomics"
NAMES = [f"data/chlamy_visual_proteomics/p{i}" for i in range(5)]
OPTIONS = ("--method", "fbp", "--thickness", "20", "--cluster", "threads:1")
TRANSFORMS = b"1.0 0.0 0.0 1.0 0.5 -0.5\n" * 9
STACK_BYTES = 1024 + 9 * 60 * 64 * 4
TWO = 2 * (STACK_BYTES + 600)


def words(out, *more, source="empiar:11830", disk=TWO):
    return ["batch", "run", source, "-o", str(out), *OPTIONS, "--disk", str(disk), "--attempts", "2", *more]


def raw(out):
    """Raw files that are on the disk, whole or not, with their sizes."""
    found = {}
    for folder, _, names in os.walk(out / ".cryolithe-batch" / "raw"):
        for name in names:
            if not name.startswith(".") and not name.endswith(".json"):
                with suppress(FileNotFoundError):
                    found[name] = (Path(folder) / name).stat().st_size
    return found


def asked(archive, i, method="GET"):
    return len(archive.asked(f"/files/{TOP}/p{i}/p{i}.st", method))


def assert_clean(out, clean, numbers=range(5)):
    for i in numbers:
        assert fingerprint_of_files(out / f"{NAMES[i]}.ome.zarr") == clean[NAMES[i]], NAMES[i]


def complete(out):
    """Series that are on record as complete."""
    if not (out / ".cryolithe-batch").is_dir():
        return []
    outcomes = read_outcomes(out)
    return [i for i in range(5) if NAMES[i] in outcomes and outcomes[NAMES[i]].is_complete]
