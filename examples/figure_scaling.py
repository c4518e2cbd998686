"""Draw how a simulated batch scales: its time and its speed-up over the number of workers.

python examples/figure_scaling.py PICTURE.png NAME=FILE.json [NAME=FILE.json …]

The files are those of `cryolithe-stream batch simulate … --json FILE`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

STYLES = (("#D55E00", "o", "-"), ("#0072B2", "s", "--"), ("#009E73", "^", "-."), ("#CC79A7", "D", ":"))
HOUR_S = 3600.0


def main() -> None:
    """Reads and draws."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("batches", nargs="+", metavar="NAME=FILE.json")
    args = parser.parse_args()
    draw({name: read(Path(file)) for name, _, file in (word.partition("=") for word in args.batches)}, args.picture)
    print(args.picture)


def read(path: Path) -> list[dict[str, Any]]:
    """The results in a file; leaves the program when there are none."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or "results" not in content:
        raise SystemExit(f"{path} is no simulated batch")
    results: list[dict[str, Any]] = content["results"]
    return results


def draw(batches: dict[str, list[dict[str, Any]]], picture: Path) -> None:
    """Two panels over the number of workers: hours, and workers that are at work."""
    figure, (hours, share) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, results), (colour, marker, line) in zip(batches.items(), STYLES, strict=False):
        workers = [r["workers"] for r in results]
        style = {"color": colour, "marker": marker, "linestyle": line, "label": name}
        hours.plot(workers, [r["makespan_seconds"] / HOUR_S for r in results], **style)
        share.plot(workers, [100 * (1 - r["idle_share"]) for r in results], **style)
    hours.set(xscale="log", yscale="log", xlabel="workers", ylabel="hours")
    share.set(xscale="log", xlabel="workers", ylabel="workers' time with a task, %", ylim=(0, 102))
    for axes in (hours, share):
        ticks = sorted({r["workers"] for results in batches.values() for r in results})
        axes.set_xticks(ticks, [str(n) for n in ticks], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    hours.legend()
    figure.savefig(picture, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
