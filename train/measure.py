"""The table of the model card: the network against the best smoothed FBP, on phantoms that it has never seen.

    python train/measure.py MODEL.safetensors [--templates FOLDER] [--table FILE.json]

Four unseen phantoms of the training's classes, recorded with white noise alone and with all faults, and, where a folder
of density maps is given (MRC at 10 Å), four crowds of those: real structures, which the training does not know.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import mrcfile
import numpy as np
import torch

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from dataset import Recording, Specimen, make_specimen, record, specimen_of  # noqa: E402
from evaluation import best_smoothed_fbp, reconstruct, snr_db, wedge_fsc  # noqa: E402

from cryolithe_stream.network.bundle import read_bundle  # noqa: E402
from cryolithe_stream.network.sliceset import SliceSet  # noqa: E402
from cryolithe_stream.simulate import CLEAN, Acquisition, phantom_of  # noqa: E402
from cryolithe_stream.simulate.blobs import Blobs  # noqa: E402

LEVELS = (-10.0, -5.0, 0.0, 5.0, 10.0)
TILTS = np.arange(-60, 61, 3.0)
SEEDS = (7001, 7002, 7003, 7004)
SHAPE = (128, 48, 192)
ROWS = list(range(16, 32))
BAND = (0.10, 0.15)


def main() -> None:
    """Measures a model file and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--templates", type=Path, help="folder of density maps, *.mrc.gz at 10 Å")
    parser.add_argument("--table", type=Path, help="where to write the numbers as JSON")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network = read_bundle(args.model).network
    table = measure(network, args.templates)
    print(as_markdown(table))
    if args.table:
        args.table.write_text(json.dumps(table, indent=1))


def measure(network: SliceSet, templates: Path | None) -> dict[str, dict[str, list[float]]]:
    """Means over the phantoms of each set, one number per noise level."""
    known = [make_specimen(s, SHAPE[1], SHAPE[2], [SHAPE[0]], p_finite=0.0) for s in SEEDS]
    sets = {"unseen phantoms": (known, CLEAN), "unseen phantoms, all faults": (known, Acquisition(p_drop=0.0))}
    if templates is not None:
        maps = tuple(template_blobs(path) for path in sorted(templates.glob("*.mrc.gz")))
        crowds = [specimen_of(phantom_of(maps, s, SHAPE, 10.0), 0.0) for s in SEEDS]
        sets["real density maps"] = (crowds, CLEAN)
    return {name: _rows(network, specimens, faults) for name, (specimens, faults) in sets.items()}


def _rows(network: SliceSet, specimens: list[Specimen], faults: Acquisition) -> dict[str, list[float]]:
    rows: dict[str, list[float]] = {"fbp": [], "sigma": [], "network": [], "fbp wedge fsc": [], "network wedge fsc": []}
    for level in LEVELS:
        found = [
            _scores(network, record(s, level, TILTS, np.random.default_rng(i), faults)) for i, s in enumerate(specimens)
        ]
        for key, value in zip(rows, np.mean(found, axis=0), strict=True):
            rows[key].append(float(value))
    return rows


def _scores(network: SliceSet, recording: Recording) -> list[float]:
    """SNR and sigma of the best FBP, SNR of the network, and the missing-wedge FSC of both."""
    truth = recording.truth[:, ROWS].transpose(1, 0, 2)
    fbp, sigma, planes = best_smoothed_fbp(recording, ROWS)
    ours = reconstruct(network, recording, ROWS)
    fsc = [wedge_fsc(v.transpose(1, 0, 2), truth.transpose(1, 0, 2), recording.tilts_deg, BAND) for v in (planes, ours)]
    return [fbp, sigma, snr_db(ours, truth), *fsc]


def template_blobs(path: Path) -> Blobs:
    """A density map as blobs around its centre of mass, Å; the densest hundredth has height 1.2."""
    with mrcfile.open(path, permissive=True) as file:
        density, voxel = np.asarray(file.data, np.float64), float(file.voxel_size.x)
    inside = np.argwhere(density > 0.1 * density.max())
    heights = density[tuple(inside.T)]
    centre = (inside * heights[:, None]).sum(axis=0) / heights.sum()
    heights *= 1.2 / np.quantile(heights, 0.99) / 1.5
    return Blobs((inside - centre) * voxel, np.full(len(inside), 0.5 * voxel), heights * 1.25)


def as_markdown(table: dict[str, dict[str, list[float]]]) -> str:
    """The table as Markdown."""
    lines = [
        "| input SNR, dB | " + " | ".join(f"{level:g}" for level in LEVELS) + " |",
        "|---" * (len(LEVELS) + 1) + "|",
    ]
    for name, rows in table.items():
        for key, unit in (("fbp", ", dB"), ("network", ", dB"), ("fbp wedge fsc", ""), ("network wedge fsc", "")):
            lines.append(f"| {name}: {key}{unit} | " + " | ".join(f"{v:.2f}" for v in rows[key]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
