"""Small stacks, angles and transforms, laid out as programs lay them."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

DATA = Path(__file__).parents[1] / "data" / "read"


def stack(path: Path, shape=(5, 6, 8), pixel=2.5, **header: int) -> Path:
    """A stack of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.random.default_rng(3).normal(50.0, 10.0, shape).astype("f4"))
        mrc.voxel_size = pixel
        for name, value in header.items():
            mrc.header[name] = value
    return path


def sparse_stack(path: Path, shape: tuple[int, int, int], pixel=1.35) -> Path:
    """A stack of real size that takes no room: its header says what follows, which is a hole in the file."""
    small = stack(path, (shape[0], 2, 2), pixel)
    header = bytearray(small.read_bytes()[:1024])
    n_views, rows, columns = shape
    header[0:12] = np.array([columns, rows, n_views], "<i4").tobytes()
    header[28:40] = np.array([columns, rows, n_views], "<i4").tobytes()
    header[40:52] = np.array([columns * pixel, rows * pixel, n_views * pixel], "<f4").tobytes()
    with path.open("wb") as file:
        file.write(header)
        file.truncate(1024 + 4 * n_views * rows * columns)
    return path


def angles(path: Path, n: int = 5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, np.linspace(-40, 40, n), fmt="%.2f")
    return path


def transforms(path: Path, n: int = 5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1.0 0.0 0.0 1.0 0.5 -0.5\n" * n)
    return path


def series(folder: Path, name: str, *, aligned: bool = True, suffix: str = ".st") -> Path:
    """A stack with its angles and, where it is aligned, its transforms, in one folder."""
    angles(folder / f"{name}.tlt")
    if aligned:
        transforms(folder / f"{name}.xf")
    return stack(folder / f"{name}{suffix}")


def names(found):
    """Names of the series that were found."""
    return [entry.series.name for entry in found.found]


def reasons(found):
    """Why each path was left out."""
    return {entry.path: entry.reason for entry in found.skipped}


def relative(found, name):
    """Files of a series by role, from the source."""
    entry = next(entry for entry in found.found if entry.series.name == name)
    return {role: str(path.relative_to(found.source)) for role, path in entry.series.files().items()}
