"""How models and the best smoothed back-projection bear what varies between tilt series, one condition at a time.

    python benchmarks/robustness.py [--models default PATH ...] [--conditions noise removed ...] [--json FILE]

Varied are the noise, tilts removed at random, the tilt range and step, the voxel size, the thickness and the contrast
transfer; all else is as in a good series: ±60°, 10 Å, 128 voxels thick, −5 dB.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.comparison import HEADLINE, Methods, describe_run, measure, models_of, write_json, write_text
from benchmarks.conditions import CONDITIONS, SHAPE
from benchmarks.denoisers import BestGaussian
from benchmarks.reconstructions import Reconstruction
from benchmarks.tables import robustness_markdown
from cryolithe_stream.geometry import Shape3
from cryolithe_stream.network import list_models

FIRST_SEED = 7401


def main() -> None:
    """Measures and prints the tables."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    models = models_of(args.models, precision=args.precision, device=args.device)
    methods = Methods(Reconstruction.of(None, device=args.device), (BestGaussian(),), models)
    seeds = range(FIRST_SEED, FIRST_SEED + args.specimens)
    content = robustness(args.conditions, seeds, methods, tell=sys.stderr.write)
    text = robustness_markdown(content)
    print(text)
    if args.json:
        write_json(args.json, content)
    if args.markdown:
        write_text(args.markdown, text)


def robustness(
    conditions: Sequence[str],
    seeds: Sequence[int],
    methods: Methods,
    *,
    shape: Shape3 = SHAPE,
    snr_db: float = HEADLINE,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Every method under every value of every condition, over the phantoms of the seeds, as JSON."""
    values: dict[str, list[str]] = {}
    results: list[dict[str, Any]] = []
    for name in conditions:
        for seed in seeds:
            started = time.perf_counter()
            for case in CONDITIONS[name](seed, snr_db, shape):
                known = values.setdefault(case.condition, [])
                known += [case.value] * (case.value not in known)
                tilts = {"tilts": len(case.specimen.tilts_deg)}
                place = {"condition": case.condition, "value": case.value, **tilts}
                results += [{**place, **record} for record in measure(case.specimen, case.snr_db, methods)]
            tell(f"{name}: phantom {seed}, {time.perf_counter() - started:.0f} s\n")
    return {
        "benchmark": "robustness",
        "run": describe_run(),
        "input_snr_db": snr_db,
        "seeds": list(seeds),
        "shape_zyx": list(shape),
        "methods": methods.describe(),
        "conditions": values,
        "results": results,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list_models(), help="as --model takes them (all shipped)")
    parser.add_argument("--conditions", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS))
    parser.add_argument("--specimens", type=int, default=2, help="phantoms for each condition")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


if __name__ == "__main__":
    main()
