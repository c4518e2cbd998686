"""Draw central slices of filtered back-projection, a model and the truth side by side, of a series simulated here.

python examples/figure_slices.py PICTURE.png [--model default] [--snr -5] [--seed 3] [--size 96,128,192]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from cryolithe_stream import reconstruct
from cryolithe_stream.evaluate import open_volume, snr_db
from cryolithe_stream.geometry import Box
from cryolithe_stream.simulate import SimulateOptions, simulate

mpl.use("Agg")
from matplotlib import pyplot as plt

Float32s = NDArray[np.float32]
CONTRAST_PERCENT = (0.5, 99.5)
INCHES = 10.0
ANGSTROM = 10.0
NM_OF_BAR = 25
LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}


def main() -> None:
    """Simulates, reconstructs and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--model", default="default", help="as `cryolithe-stream run --model` takes it")
    parser.add_argument("--snr", type=float, default=-5.0, help="of the projections, dB")
    parser.add_argument("--seed", type=int, default=3, help="of the specimen")
    parser.add_argument("--size", default="96,128,192", help="voxels of 10 Å, Z,Y,X")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cryolithe-") as folder:
        options = SimulateOptions(
            output=Path(folder) / "series", seed=args.seed, size=args.size, snr=args.snr, pixel_size=ANGSTROM
        )
        draw(volumes(options, args.model, Path(folder)), args.picture)
    print(args.picture)


def volumes(options: SimulateOptions, model: str, folder: Path) -> dict[str, Float32s]:
    """FBP, the model's volume and the truth `(z, y, x)` of one simulated series, by the titles of their columns."""
    manifest = simulate(options)
    (series,) = manifest.series
    stack, angles = manifest.path(series.files.stack), manifest.path(series.files.angles)
    truth = open_volume(manifest.path(series.files.truth))
    whole = Box.whole(truth.shape_zyx)
    found = {}
    for title, choice in (("filtered back-projection", {"method": "fbp"}), (Path(model).stem, {"model": model})):
        out = folder / f"{len(found)}.ome.zarr"
        reconstruct(stack, angles, out=out, thickness=truth.shape_zyx[0], **choice)
        volume = open_volume(out)
        found[f"{title}, {snr_db(volume, truth):.1f} dB"] = volume.read_box(whole)
    return found | {"truth": truth.read_box(whole)}


def draw(columns: dict[str, Float32s], picture: Path) -> None:
    """A column for each volume, at its own contrast: the central xy slice above the xz slice, x to the right."""
    nz, ny, nx = next(iter(columns.values())).shape
    wide = INCHES / len(columns)
    size = (INCHES, wide * (ny + nz) / nx + 0.45)
    figure, axes = plt.subplots(2, len(columns), figsize=size, height_ratios=(ny, nz), layout="constrained")
    for (title, volume), (above, below) in zip(columns.items(), axes.T, strict=True):
        slices = {"xy": volume[nz // 2], "xz": volume[:, ny // 2]}
        low, top = np.percentile(np.concatenate([image.ravel() for image in slices.values()]), CONTRAST_PERCENT)
        for panel, (name, image) in zip((above, below), slices.items(), strict=True):
            panel.imshow(image, cmap="gray", vmin=low, vmax=top, interpolation="nearest")
            panel.set_axis_off()
            panel.text(0.02, 0.97, name, transform=panel.transAxes, va="top", fontsize=8, bbox=LABEL)
        above.set_title(title, fontsize=9)
    bar = NM_OF_BAR * 10 / ANGSTROM
    last = axes[0, -1]
    last.plot([0.96 * nx - bar, 0.96 * nx], [0.95 * ny] * 2, color="black", linewidth=3, solid_capstyle="butt")
    last.text(0.96 * nx - bar / 2, 0.92 * ny, f"{NM_OF_BAR} nm", ha="center", va="bottom", fontsize=8, bbox=LABEL)
    figure.savefig(picture, dpi=200)
    plt.close(figure)


if __name__ == "__main__":
    main()
