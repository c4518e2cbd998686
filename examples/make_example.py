"""Make `empiar-10499/`, the shipped tilt series, from the series that warpylib distributes.

python examples/make_example.py SOURCE_FOLDER [TARGET_FOLDER]

SOURCE_FOLDER holds 00254.mrc, 00254.tlt, 00254.xf and LICENSE.warpylib.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

BINNING = 2
ANGSTROM = 10.0  # pixel size of the source


def binned(frame: NDArray[np.float32]) -> NDArray[np.float32]:
    """`frame` `(y, x)` at half its size, antialiased by cropping its spectrum.

    The cosine transform mirrors the frame at its edges, so nothing wraps round, and its samples lie half a pixel
    inside them at either size: the centre stays where it is, and an alignment's shifts are simply halved.
    """
    ny, nx = (n // BINNING for n in frame.shape)
    spectrum = dctn(frame.astype(np.float64), norm="ortho")[:ny, :nx]
    return np.asarray(idctn(spectrum, norm="ortho") / BINNING, dtype=np.float32)


def binned_xf(text: str) -> str:
    """IMOD's transforms with their shifts, which are in pixels, divided by the binning."""
    rows = [[float(word) for word in line.split()] for line in text.splitlines() if line.strip()]
    return "".join(
        "".join(f"{a:12.7f}" for a in row[:4]) + "".join(f"{shift / BINNING:12.4f}" for shift in row[4:]) + "\n"
        for row in rows
    )


def make(source: Path, target: Path) -> None:
    """Write stack, angles, alignment and licence to `target`; the same source gives the same bytes."""
    target.mkdir(parents=True, exist_ok=True)
    with mrcfile.mmap(source / "00254.mrc", mode="r") as stack:
        frames = np.stack([binned(np.asarray(frame, dtype=np.float32)) for frame in stack.data])
    with mrcfile.new(target / "ts254.mrc", data=frames.astype(np.float16), overwrite=True) as out:
        out.set_image_stack()
        out.voxel_size = BINNING * ANGSTROM
        out.header.nlabl = 1
        out.header.label[0] = "EMPIAR-10499 tilt series 254, binned to 20 A, float16"
    shutil.copyfile(source / "00254.tlt", target / "ts254.tlt")
    shutil.copyfile(source / "LICENSE.warpylib", target / "LICENSE.warpylib")
    (target / "ts254.xf").write_text(binned_xf((source / "00254.xf").read_text()))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent / "empiar-10499")
