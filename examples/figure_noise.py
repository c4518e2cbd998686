"""Draw the signal-to-noise ratio of reconstructions over that of the projections, as bars.

python examples/figure_noise.py PICTURE.png [--json quality.json [--set procedural]]
python examples/figure_noise.py PICTURE.png [--model default] [--seed 3] [--size 64,64,96]

The numbers are those that benchmarks/quality.py wrote, or of one specimen simulated here at five noise levels. The
Gaussian is the one that fits the truth best.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from cryolithe_stream import reconstruct
from cryolithe_stream.evaluate import open_volume, snr_db
from cryolithe_stream.geometry import Box
from cryolithe_stream.simulate import SimulateOptions, simulate

mpl.use("Agg")
from matplotlib import pyplot as plt

Float32s = NDArray[np.float32]
Ratios = dict[str, dict[float, float]]
"""Signal-to-noise ratio in dB for each method and noise level."""

LEVELS = (-10.0, -5.0, 0.0, 5.0, 10.0)
SIGMAS = np.arange(0, 4.01, 0.25)
STYLES = (
    ("#BBBBBB", ""),
    ("#0072B2", "//"),
    ("#009E73", ".."),
    ("#CC79A7", "xx"),
    ("#D55E00", ""),
    ("#56B4E9", "\\\\"),
    ("#F0E442", "++"),
)


def main() -> None:
    """Reads or computes, and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--json", type=Path, help="what benchmarks/quality.py wrote")
    parser.add_argument("--set", default="procedural", help="which of its sets")
    parser.add_argument("--model", default="default", help="as `cryolithe-stream run --model` takes it")
    parser.add_argument("--seed", type=int, default=3, help="of the specimen")
    parser.add_argument("--size", default="64,64,96", help="voxels of 10 Å, Z,Y,X")
    args = parser.parse_args()
    from_file = args.json is not None
    draw(read(args.json, args.set) if from_file else computed(args.seed, args.size, args.model), args.picture)
    print(args.picture)


def read(path: Path, set_name: str) -> Ratios:
    """Means over the specimens of a set of a quality benchmark."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("benchmark") != "quality" or set_name not in content["sets"]:
        raise SystemExit(f"{path} is no quality benchmark with a set {set_name!r}")
    mine = [record for record in content["results"] if record["set"] == set_name]

    ratios: Ratios = {name: {} for name in content["methods"]["names"]}
    for level in content["levels"]:
        for name, values in ratios.items():
            found = [r["snr_db"] for r in mine if r["method"] == name and r["input_snr_db"] == level]
            if found:  # Topaz may have been run at some levels only
                values[level] = fmean(found)
    return ratios


def computed(seed: int, size: str, model: str) -> Ratios:
    """FBP, FBP with the best Gaussian and the model on one specimen, whose noise is drawn anew at every level."""
    name = Path(model).stem
    ratios: Ratios = {"FBP": {}, "FBP + best Gaussian": {}, name: {}}
    with tempfile.TemporaryDirectory(prefix="cryolithe-") as temporary:
        for level in LEVELS:
            folder = Path(temporary) / f"{level:g}"
            manifest = simulate(SimulateOptions(output=folder, seed=seed, size=size, snr=level))
            (series,) = manifest.series
            stack, angles = manifest.path(series.files.stack), manifest.path(series.files.angles)
            truth = open_volume(manifest.path(series.files.truth))
            outs = []
            for choice in ({"method": "fbp"}, {"model": model}):
                outs.append(folder / f"{len(outs)}.ome.zarr")
                reconstruct(stack, angles, out=outs[-1], thickness=truth.shape_zyx[0], **choice)
            fbp, network = (open_volume(out) for out in outs)
            whole = Box.whole(truth.shape_zyx)
            ratios["FBP"][level] = snr_db(fbp, truth)
            ratios["FBP + best Gaussian"][level] = best_smoothed(fbp.read_box(whole), truth.read_box(whole))
            ratios[name][level] = snr_db(network, truth)
    return ratios


def best_smoothed(fbp: Float32s, truth: Float32s) -> float:
    """The highest signal-to-noise ratio of a Gaussian-smoothed volume, in dB."""
    return max(snr_db(gaussian_filter(fbp, sigma, mode="nearest"), truth) for sigma in SIGMAS)


def draw(ratios: Ratios, picture: Path) -> None:
    """A group of bars for each noise level, told apart by colour and hatching."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    levels = sorted({level for values in ratios.values() for level in values})
    width = 0.8 / len(ratios)
    for i, (name, values) in enumerate(ratios.items()):
        places = np.array([levels.index(level) for level in values]) + (i - (len(ratios) - 1) / 2) * width
        color, hatch = STYLES[i % len(STYLES)]
        axes.bar(places, list(values.values()), width, label=name, color=color, hatch=hatch, ec="black", linewidth=0.6)
    axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels], fontsize=9)
    axes.set_xlabel("signal-to-noise ratio of the projections (dB)", fontsize=9)
    axes.set_ylabel("signal-to-noise ratio of the volume (dB)", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(fontsize=8, frameon=False, loc="outside upper center", ncols=3)
    figure.savefig(picture, dpi=200)
    plt.close(figure)


if __name__ == "__main__":
    main()
