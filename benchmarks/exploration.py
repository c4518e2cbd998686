"""Short trainings that differ in one thing each: what the network's sizes, its data and its loss are worth.

    python benchmarks/exploration.py OUT [--steps 150] [--only NAME ...] [--threads N] [--templates FOLDER]

All train with the same seeds, so on the same examples in the same order; the score is the training's own validation
(two unseen specimens with all faults, −5 and 5 dB). `OUT/NAME` holds each training with its configuration in
`training.json`; started again, finished ones are read and unfinished ones go on.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cryolithe_stream.train import TrainOptions, train_model

SIZES: dict[str, Any] = {
    "family": "compact",
    "patch_size": 11,
    "set_input": 16,
    "set_hidden": [16],
    "set_output": 16,
    "slice_output": 16,
    "combine_hidden": [],
}
CONTEXT: dict[str, Any] = {"widths": [32, 64, 128], "down": [1, 1, 1], "up": [1, 1]}
PER_VOXEL = {"network": {"family": "compact"}, "context": None, "oversample": 2, "optimiser": {"kind": "adamw"}}
POINTS = {"kind": "points", "points": 2048, "rows": 8}

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "patch 5": {"network": SIZES | {"patch_size": 5}},
    "patch 7": {"network": SIZES | {"patch_size": 7}},
    "patch 15": {"network": SIZES | {"patch_size": 15}},
    "patch 21": {"network": SIZES | {"patch_size": 21}},
    "K = 2": {"oversample": 2},
    "set networks 8 wide": {"network": SIZES | {"set_input": 8, "set_hidden": [8], "set_output": 8}},
    "set networks 48 wide": {"network": SIZES | {"set_input": 48, "set_hidden": [48]}},
    "two hidden set layers": {"network": SIZES | {"set_hidden": [16, 16]}},
    "16 features": {"context": CONTEXT | {"widths": [16, 64, 128]}},
    "48 features": {"context": CONTEXT | {"widths": [48, 64, 128]}},
    "two convolutions on the middle scale": {"context": CONTEXT | {"down": [1, 2, 1], "up": [1, 2]}},
    "smooth L1": {"loss": "smooth_l1"},
    "AdamW": {"optimiser": {"kind": "adamw"}},
    "six specimens": {"phantoms": {"count": 6}},
    "crops 32 x 24 x 32, eight a step": {"sampling": {"crop_zyx": [32, 24, 32], "margin": 4}, "batch": 16},
    "per voxel, crops": PER_VOXEL | {"sampling": {"kind": "crops"}, "batch": 4},
    "per voxel, points": PER_VOXEL | {"sampling": POINTS, "batch": 1},
    "per voxel, points, mlp_s 32 per row": PER_VOXEL
    | {"network": {"family": "compact", "slice_hidden": [32]}, "sampling": POINTS, "batch": 1},
    "paper's SliceSet, points": PER_VOXEL | {"network": {"family": "paper"}, "sampling": POINTS, "batch": 1},
}


class _Printer:
    """Tells on standard error."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """What begins."""
        sys.stderr.write(f"  {name}: {total} {unit}\n")

    def advance(self, n: int, voxels: int = 0) -> None:
        """Nothing: there are many."""

    def message(self, text: str) -> None:
        """A line."""
        sys.stderr.write(f"  {text}\n")


def configuration(name: str, steps: int, cache: Path, templates: Path | None) -> TrainOptions:
    """The configuration of a variant."""
    given: dict[str, Any] = {
        "name": "trial",
        "seed": 41,
        "steps": steps,
        "network": SIZES,
        "context": CONTEXT,
        "oversample": 1,
        "sampling": {"crop_zyx": [64, 48, 64], "margin": 4},
        "batch": 2,
        "precision": "bfloat16",
        "loss": "l2",
        **VARIANTS[name],
    }
    given["optimiser"] = {"kind": "muon", "learning_rate": 2e-3, "ema": 0.97, **given.get("optimiser", {})}
    real = {} if templates is None else {"templates": [templates], "p_templates": 0.5}
    data = {"count": 24, "validation_seeds": [9001, 9002], "cache": cache, **real, **given.get("phantoms", {})}
    given["phantoms"] = data
    return TrainOptions(**given, validate_every=steps, checkpoint_every=steps)


def main() -> None:
    """Trains what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--templates", type=Path, help="folder of structures or maps that half of the specimens hold")
    parser.add_argument("--cache", type=Path, help="folder of the specimens; OUT/phantoms by default")
    args = parser.parse_args()
    print("| variant | steps | minutes | SNR, dB | FSC in the wedge |\n|---|---|---|---|---|")
    for name in args.only:
        sys.stderr.write(f"{name}\n")
        folder = args.out / "".join(c if c.isalnum() else "-" for c in name)
        options = configuration(name, args.steps, args.cache or args.out / "phantoms", args.templates)
        trained = train_model(options, folder, _Printer(), threads=args.threads)
        with (folder / "log.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        numbers = float(last["minutes"]), float(last["snr_db"]), float(last["wedge_fsc"])
        print("| {} | {} | {:.1f} | {:.2f} | {:.2f} |".format(name, trained.step, *numbers), flush=True)


if __name__ == "__main__":
    main()
