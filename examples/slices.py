"""Draw the three central slices of a tomogram, OME-Zarr or MRC, to a PNG.

python examples/slices.py TOMOGRAM PICTURE.png
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import mrcfile
import numpy as np
from numpy.typing import NDArray

from cryolithe_stream.geometry import Box
from cryolithe_stream.store import open_tomogram

mpl.use("Agg")
from matplotlib import pyplot as plt

Image = NDArray[np.float32]
CONTRAST_PERCENT = (0.5, 99.5)
INCHES = 9.0
BARS_NM = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    """The slices through the middle: `xy` `(y, x)`, `xz` `(z, x)`, `zy` `(y, z)`, and the voxel size."""

    xy: Image
    xz: Image
    zy: Image
    voxel_angstrom: float


def read_slices(path: Path) -> Slices:
    """The central slices of the tomogram at `path`; nothing else of it is kept in memory."""
    if path.suffix == ".mrc":
        with mrcfile.mmap(path, mode="r") as volume:
            z, y, x = (n // 2 for n in volume.data.shape)
            planes = [np.asarray(plane, dtype=np.float32) for plane in _planes(volume.data, z, y, x)]
            return Slices(planes[0], planes[1], planes[2].T, float(volume.voxel_size.x))
    tomogram = open_tomogram(path)
    nz, ny, nx = tomogram.shape_zyx
    z, y, x = nz // 2, ny // 2, nx // 2
    return Slices(
        tomogram.read_box(Box((z, 0, 0), (z + 1, ny, nx)))[0],
        tomogram.read_box(Box((0, y, 0), (nz, y + 1, nx)))[:, 0],
        tomogram.read_box(Box((0, 0, x), (nz, ny, x + 1)))[:, :, 0].T,
        tomogram.voxel_angstrom,
    )


def _planes(data: NDArray[np.generic], z: int, y: int, x: int) -> tuple[NDArray[np.generic], ...]:
    return data[z], data[:, y], data[:, :, x]


def draw(slices: Slices, picture: Path) -> None:
    """Write the slices side by side at one scale and one contrast: x to the right, y down, with a scale bar."""
    ny, nx = slices.xy.shape
    nz = slices.xz.shape[0]
    gap = 0.02 * nx
    wide, high = nx + gap + nz, ny + gap + nz
    figure = plt.figure(figsize=(INCHES, INCHES * high / wide), facecolor="white")
    values = np.concatenate([slices.xy.ravel(), slices.xz.ravel(), slices.zy.ravel()])
    low, top = np.percentile(values[np.isfinite(values)], CONTRAST_PERCENT)
    places = {
        "xy": (slices.xy, 0.0, nz + gap, nx, ny),
        "zy": (slices.zy, nx + gap, nz + gap, nz, ny),
        "xz": (slices.xz, 0.0, 0.0, nx, nz),
    }
    for name, (image, left, bottom, width, height) in places.items():
        axes = figure.add_axes((left / wide, bottom / high, width / wide, height / high))
        axes.imshow(image, cmap="gray", vmin=low, vmax=top, aspect="auto", interpolation="nearest")
        axes.set_axis_off()
        axes.text(0.02, 0.98, name, transform=axes.transAxes, va="top", color="black", bbox=_LABEL)
        if name == "xy":
            scale_bar(axes, nx, ny, slices.voxel_angstrom)
    figure.savefig(picture, dpi=150)
    plt.close(figure)


_LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}


def scale_bar(axes: plt.Axes, nx: int, ny: int, voxel_angstrom: float) -> None:
    """A bar of a round length of nanometres, at most a quarter of the width."""
    if not voxel_angstrom > 0:
        return
    fitting = [nm for nm in BARS_NM if nm * 10 / voxel_angstrom <= nx / 4]
    length = (fitting or BARS_NM)[-1 if fitting else 0]
    voxels = length * 10 / voxel_angstrom
    axes.plot([0.03 * nx, 0.03 * nx + voxels], [0.965 * ny] * 2, color="white", linewidth=6, solid_capstyle="butt")
    axes.plot([0.03 * nx, 0.03 * nx + voxels], [0.965 * ny] * 2, color="black", linewidth=3, solid_capstyle="butt")
    axes.text(0.03 * nx, 0.945 * ny, f"{length} nm", va="bottom", color="black", bbox=_LABEL)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    draw(read_slices(Path(sys.argv[1])), Path(sys.argv[2]))
