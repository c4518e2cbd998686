"""The models against filtered back-projection and what improves it, on the project's unseen test set.

    python benchmarks/quality.py [--models default PATH ...] [--maps FOLDER] [--topaz] [--json FILE] [--markdown FILE]

Specimens, noise and faults are seeded and fixed. Compared are filtered back-projection (FBP), FBP with the Gaussian
and with the Wiener filter that fit the truth best, FBP with Topaz-Denoise 3D where it is asked for and installed
(`pip install topaz-em`; no dependency of this project), and models.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.comparison import (
    HEADLINE,
    LEVELS,
    Methods,
    describe_run,
    describe_specimen,
    measure,
    write_json,
    write_text,
)
from benchmarks.denoisers import Topaz
from benchmarks.specimen import Specimen
from benchmarks.specimen_sets import specimen_sets
from benchmarks.tables import quality_markdown
from cryolithe_stream.network import list_models

SETS = ("procedural", "procedural-faults", "maps", "other", "dense")


def main() -> None:
    """Measures and prints the tables."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    wanted = args.sets or [name for name in SETS if name != "maps" or args.maps is not None]
    methods = Methods.of(args.models, topaz=args.topaz, precision=args.precision, device=args.device)
    content = quality(specimen_sets(wanted, args.maps), args.levels, methods, tell=sys.stderr.write)
    if args.topaz is not None and Topaz.installed() is None:
        content["topaz"] = "not installed"
    text = quality_markdown(content, headline=HEADLINE)
    print(text)
    if args.json:
        write_json(args.json, content)
    if args.markdown:
        write_text(args.markdown, text)


def quality(
    sets: dict[str, Callable[[], list[Specimen]]],
    levels: list[float],
    methods: Methods,
    *,
    tell: Callable[[str], object] = lambda _: None,
) -> dict[str, Any]:
    """Every method on every specimen of every set at every level, as JSON."""
    described: dict[str, list[dict[str, Any]]] = {}
    results: list[dict[str, Any]] = []
    for set_name, make in sets.items():
        specimens = make()
        described[set_name] = [describe_specimen(specimen) for specimen in specimens]
        for specimen in specimens:
            started = time.perf_counter()
            for level in levels:
                results += [{"set": set_name, **record} for record in measure(specimen, level, methods)]
            tell(f"{set_name}: {specimen.name}, {time.perf_counter() - started:.0f} s\n")
    return {
        "benchmark": "quality",
        "run": describe_run(),
        "levels": levels,
        "methods": methods.describe(),
        "topaz": "measured" if any(isinstance(d, Topaz) for d in methods.denoisers) else "not asked for",
        "sets": described,
        "results": results,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=list_models(), help="as --model takes them (all shipped)")
    parser.add_argument("--maps", type=Path, help="folder of density maps or structures, for the set `maps`")
    parser.add_argument(
        "--topaz", nargs="*", type=float, metavar="LEVEL", help="compare with Topaz-Denoise 3D, at these levels (all)"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, help="default: all for which there is input")
    parser.add_argument("--levels", nargs="+", type=float, default=list(LEVELS), help="SNR of the input, dB")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    parser.add_argument("--markdown", type=Path, help="write the tables there")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    if args.sets and "maps" in args.sets and args.maps is None:
        parser.error("the set maps needs --maps FOLDER")
    return args


if __name__ == "__main__":
    main()
