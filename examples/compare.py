"""Draw the central slices of several reconstructions of one specimen beside each other, to a PNG.

python examples/compare.py [NAME=]TOMOGRAM [NAME=]TOMOGRAM ... PICTURE.png
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from slices import CONTRAST_PERCENT, Image, Slices, plt, read_slices, scale_bar

INCHES_EACH = 4.5


def draw(columns: dict[str, Slices], picture: Path) -> None:
    """One column for each reconstruction: xy above, xz below, each column with its own contrast."""
    ny, nx = next(iter(columns.values())).xy.shape
    nz = next(iter(columns.values())).xz.shape[0]
    size = (INCHES_EACH * len(columns), INCHES_EACH * (ny + nz) / nx * 1.03)
    figure, axes = plt.subplots(2, len(columns), figsize=size, height_ratios=(ny, nz), squeeze=False)
    for (name, slices), (upper, lower) in zip(columns.items(), axes.T, strict=True):
        for panel, image in ((upper, slices.xy), (lower, slices.xz)):
            show(panel, image)
        upper.set_title(name)
        scale_bar(upper, nx, ny, slices.voxel_angstrom)
    figure.tight_layout(pad=0.3)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def show(panel: plt.Axes, image: Image) -> None:
    """An image in grey between its own percentiles."""
    low, high = np.percentile(image[np.isfinite(image)], CONTRAST_PERCENT)
    panel.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    panel.set_axis_off()


def main(words: list[str]) -> None:
    """Reads the command line and draws."""
    if len(words) < 2:
        raise SystemExit(__doc__)
    columns = {}
    for word in words[:-1]:
        name, _, path = word.rpartition("=")
        columns[name or Path(path).name.removesuffix(".ome.zarr").removesuffix(".mrc")] = read_slices(Path(path))
    if len({s.xy.shape + s.xz.shape for s in columns.values()}) > 1:
        raise SystemExit("the tomograms differ in size: " + ", ".join(f"{n} {s.xy.shape}" for n, s in columns.items()))
    draw(columns, Path(words[-1]))


if __name__ == "__main__":
    main(sys.argv[1:])
