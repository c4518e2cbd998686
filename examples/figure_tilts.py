"""Draw how reconstructions bear the loss of tilts: signal-to-noise ratio and missing-wedge correlation.

python examples/figure_tilts.py PICTURE.png [--json robustness.json]
python examples/figure_tilts.py PICTURE.png [--model default] [--seed 3] [--size 64,64,96]

The numbers are those that benchmarks/robustness.py wrote, or of one series of 61 tilts simulated here, of which some
are left out at random. The Gaussian is the one that fits the truth best.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import numpy as np
from scipy.ndimage import gaussian_filter

from cryolithe_stream import reconstruct
from cryolithe_stream.evaluate import ArrayVolume, Fsc, Volume, fourier_shell_correlation, open_volume, snr_db
from cryolithe_stream.geometry import Box
from cryolithe_stream.simulate import SimulateOptions, simulate

mpl.use("Agg")
from matplotlib import pyplot as plt

Scores = dict[str, dict[int, tuple[float, float]]]
"""Signal-to-noise ratio in dB and wedge FSC for each method and number of tilts removed."""

REMOVED = (0, 10, 20, 30)
CONDITION = "tilts removed of 61"
BAND = (0.10, 0.15)
SIGMAS = np.arange(0, 4.01, 0.25)
STYLES = (
    ("#777777", ":", "o"),
    ("#0072B2", "--", "s"),
    ("#D55E00", "-", "^"),
    ("#009E73", "-.", "D"),
    ("#CC79A7", "-", "v"),
    ("#56B4E9", "--", "x"),
)


def main() -> None:
    """Reads or computes, and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--json", type=Path, help="what benchmarks/robustness.py wrote")
    parser.add_argument("--model", default="default", help="as `cryolithe-stream run --model` takes it")
    parser.add_argument("--seed", type=int, default=3, help="of the specimen and of the tilts removed")
    parser.add_argument("--size", default="64,64,96", help="voxels of 10 Å, Z,Y,X")
    args = parser.parse_args()
    draw(read(args.json) if args.json is not None else computed(args.seed, args.size, args.model), args.picture)
    print(args.picture)


def read(path: Path) -> Scores:
    """Means over the specimens of a robustness benchmark."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if content.get("benchmark") != "robustness" or CONDITION not in content["conditions"]:
        raise SystemExit(f"{path} is no robustness benchmark with {CONDITION!r}")
    mine = [record for record in content["results"] if record["condition"] == CONDITION]

    def mean(metric: str, method: str, value: str) -> float:
        return fmean(r[metric] for r in mine if r["method"] == method and r["value"] == value)

    values = content["conditions"][CONDITION]
    return {
        name: {int(v): (mean("snr_db", name, v), mean("wedge_fsc_band", name, v)) for v in values}
        for name in content["methods"]["names"]
    }


def computed(seed: int, size: str, model: str) -> Scores:
    """FBP, FBP with the best Gaussian and the model, on one series at −5 dB; what is lost first stays lost."""
    order = np.random.default_rng(seed).permutation(61)
    found: Scores = {}
    with tempfile.TemporaryDirectory(prefix="cryolithe-") as temporary:
        folder = Path(temporary)
        manifest = simulate(SimulateOptions(output=folder / "series", seed=seed, size=size, tilts="-60,60,2", snr=-5))
        (series,) = manifest.series
        stack, angles = manifest.path(series.files.stack), manifest.path(series.files.angles)
        truth = open_volume(manifest.path(series.files.truth))
        for removed in REMOVED:
            lost = order[:removed]
            kept = np.delete(np.array(series.tilts_deg), lost)
            views = ",".join(str(i + 1) for i in sorted(lost)) or None
            outs = []
            for choice in ({"method": "fbp"}, {"model": model}):
                outs.append(folder / f"{removed}-{len(outs)}.ome.zarr")
                reconstruct(stack, angles, out=outs[-1], thickness=truth.shape_zyx[0], exclude=views, **choice)
            for name, volume in compared(open_volume(outs[0]), open_volume(outs[1]), truth, Path(model).stem):
                fsc = fourier_shell_correlation(volume, truth, tilt_range_deg=(kept.min(), kept.max()))
                found.setdefault(name, {})[removed] = (snr_db(volume, truth), wedge_band(fsc))
    return found


def wedge_band(fsc: Fsc) -> float:
    """Correlation in the missing wedge over the shells whose centres lie in the band, taken as one."""
    inside, sums = (fsc.frequency >= BAND[0]) & (fsc.frequency <= BAND[1]), fsc.sums["wedge"]
    power = sums.power_a[inside].sum() * sums.power_b[inside].sum()
    return float(sums.cross[inside].sum() / np.sqrt(power)) if power > 0 else float("nan")


def compared(fbp: Volume, network: Volume, truth: Volume, name: str) -> Iterator[tuple[str, Volume]]:
    """The volumes that are compared with the truth, by name."""
    yield "FBP", fbp
    whole = Box.whole(truth.shape_zyx)
    plain, wanted = fbp.read_box(whole), truth.read_box(whole)
    smoothed = (np.asarray(gaussian_filter(plain, sigma, mode="nearest")) for sigma in SIGMAS)
    best = max(smoothed, key=lambda volume: snr_db(volume, wanted))
    yield "FBP + best Gaussian", ArrayVolume(best, voxel_angstrom=truth.voxel_angstrom)
    yield name, network


def draw(scores: Scores, picture: Path) -> None:
    """Two panels over the number of tilts removed, methods told apart by colour, dash and marker."""
    figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.0), layout="constrained")
    titles = ("signal-to-noise ratio (dB)", "wedge FSC, 0.10–0.15 cycles/voxel")
    for i, (panel, title) in enumerate(zip(panels, titles, strict=True)):
        for j, (name, values) in enumerate(scores.items()):
            color, line, marker = STYLES[j % len(STYLES)]
            heights = [value[i] for value in values.values()]
            panel.plot(list(values), heights, color=color, linestyle=line, marker=marker, markersize=4.5, label=name)
        panel.set_xlabel("tilts removed of 61", fontsize=9)
        panel.set_ylabel(title, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
        panel.spines[["top", "right"]].set_visible(False)
    panels[1].set_ylim(top=1.0)
    figure.legend(
        *panels[0].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside upper center", ncols=4
    )
    figure.savefig(picture, dpi=200)
    plt.close(figure)


if __name__ == "__main__":
    main()
