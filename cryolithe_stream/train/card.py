"""What comes out of a training: the model file, its card, the curve."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch

from cryolithe_stream.network.bundle import save_model
from cryolithe_stream.store.atomic import write_atomically
from cryolithe_stream.train.logbook import draw_curve
from cryolithe_stream.train.options import TrainOptions
from cryolithe_stream.train.pairs import Pair
from cryolithe_stream.train.trainee import Trainee
from cryolithe_stream.train.validation import Score

_MOST_LINES = 20


def write_outcome(
    folder: Path,
    average: Trainee,
    options: TrainOptions,
    identity: dict[str, Any],
    pairs: Sequence[Pair],
    scores: dict[str, Score],
    minutes: float,
) -> Path:
    """The model file with its card inside, `model-card.md` and `curve.png` beside it. Raises OutputError."""
    table = {name: {"snr_db": _number(s.snr_db), "wedge_fsc": _number(s.wedge_fsc)} for name, s in scores.items()}
    card = {
        "seed": options.seed,
        "steps": options.steps,
        "minutes": round(minutes, 1),
        "configuration": _without_folders(options.model_dump(exclude_none=True)),
        "data": identity["data"],
        "processes": identity["processes"],
        "validation": table,
        "versions": _versions(),
    }
    card = json.loads(json.dumps(card))
    target = folder / f"{options.name}.safetensors"
    model = average.as_model(options.name, options, _pixels(options, pairs), card)
    write_atomically(folder / "model-card.md", _page(options, model.n_parameters, card, pairs).encode())
    draw_curve(folder / "log.csv", folder / "curve.png")
    return save_model(model, target, overwrite=True)


def _number(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _without_folders(value: Any) -> Any:
    """The configuration as JSON types; of files only the names: a model travels, folders do not."""
    if isinstance(value, dict):
        return {key: _without_folders(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(part) for part in value]
    return Path(value).name if isinstance(value, Path) or (isinstance(value, str) and "/" in value) else value


def _pixels(options: TrainOptions, pairs: Sequence[Pair]) -> tuple[float, float]:
    """Pixel sizes in Å that the model is made for: those of the phantoms, and a quarter around those of the pairs."""
    ranges = [(6.0, 25.0)] if options.phantoms is not None else []
    ranges += [(pair.pixel_angstrom * 0.8, pair.pixel_angstrom * 1.25) for pair in pairs]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _versions() -> dict[str, str]:
    try:
        own = version("cryolithe-stream")
    except PackageNotFoundError:
        own = "not installed"
    return {
        "cryolithe-stream": own,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }


def _page(options: TrainOptions, n_weights: int, card: dict[str, Any], pairs: Sequence[Pair]) -> str:
    """The card as Markdown."""
    low, high = _pixels(options, pairs)
    start = Path(options.start_from or "random weights").name
    lines = [
        f"# {options.name}",
        "",
        f"{n_weights:,} weights, started from {start}, trained for {options.steps} steps "
        f"of {options.batch * card['processes']} examples ({card['minutes']:g} minutes), seed "
        f"{options.seed}. The weights are the exponential moving average. Dark density, {low:.3g} to {high:.3g} Å a "
        "pixel.",
        "",
        "## Data",
        "",
    ]
    if (p := options.phantoms) is not None:
        lines.append(
            f"- {p.count} phantoms (seeds from {p.first_seed}), {p.rows} × {p.width} detectors, "
            f"{p.snr_db[0]:g} to {p.snr_db[1]:g} dB; weight {p.weight:g}."
        )
    shown = [
        f"- Pair {pair.name}: {len(pair.scenes)} stacks, {pair.pixel_angstrom:.4g} Å a pixel; weight {pair.weight:.3g}."
        for pair in pairs
    ]
    lines += shown if len(shown) <= _MOST_LINES else [*shown[:_MOST_LINES], f"- {len(shown) - _MOST_LINES} more pairs."]
    lines += [
        "",
        "## Validation",
        "",
        "Signal-to-noise ratio after the best affine fit, and Fourier shell correlation inside the missing wedge at "
        "0.10 to 0.15 cycles a voxel, on data that the training did not see.",
        "",
        "| data | SNR, dB | wedge FSC |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {s['snr_db']:.2f} | " + ("too thin" if s["wedge_fsc"] is None else f"{s['wedge_fsc']:.3f}") + " |"
        for name, s in card["validation"].items()
    ]
    settings = json.dumps(card["configuration"], indent=1)
    versions = ", ".join(f"{name} {number}" for name, number in card["versions"].items())
    return "\n".join([*lines, "", "## Configuration", "", "```json", settings, "```", "", f"Versions: {versions}.", ""])
