"""Trains the default model on phantoms of its own, and measures it on others.

python train/default_model.py train --config train/configs/default.yaml --minutes 45 --phantoms FOLDER --out FOLDER
python train/default_model.py evaluate --model FOLDER/default.safetensors [--templates FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from dataset import RAMP, Recording, Specimen, cached_specimen, record  # noqa: E402
from evaluation import reconstruct, snr_db  # noqa: E402
from forward import OVERSAMPLE  # noqa: E402
from loop import Settings, recordings, train  # noqa: E402

from cryolithe_stream.network.bundle import read_bundle, save_model  # noqa: E402
from cryolithe_stream.network.config import SliceSetConfig  # noqa: E402
from cryolithe_stream.network.model import Model  # noqa: E402
from cryolithe_stream.network.sliceset import SliceSet  # noqa: E402
from cryolithe_stream.simulate import Acquisition  # noqa: E402

SERIES = np.arange(-60, 61, 3.0)


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "configs" / "default.yaml")
    parser.add_argument("--phantoms", type=Path, default=Path("phantoms"), help="folder that caches phantoms")
    parser.add_argument("--out", type=Path, default=Path("trained"), help="folder for weights, log and curve")
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--start", type=Path, help="model file whose weights to start from")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the training section")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = yaml.safe_load(args.config.read_text())
    for item in args.set:
        key, value = item.split("=")
        config["training"][key] = yaml.safe_load(value)
    args.out.mkdir(parents=True, exist_ok=True)
    run_training(config, args)


def run_training(config: dict[str, Any], args: argparse.Namespace) -> None:
    """Trains from a configuration; weights, log and learning curve go to `args.out`."""
    seed = int(config["seed"])
    torch.manual_seed(seed)
    network = build_network(config["network"])
    if args.start:
        network.load_state_dict(read_bundle(args.start).network.state_dict())
    p = config["phantoms"]
    seeds = range(p["first_seed"], p["first_seed"] + p["count"])
    specimens = [specimen_of_seed(s, config, args.phantoms) for s in seeds]
    checks = validation_set(config, args.phantoms)
    settings = Settings(**config["training"])
    log = args.out / "log.csv"
    source = recordings(specimens, seed, config["recording"])
    if not args.start:
        calibrate(network, checks)
    print(f"{len(specimens)} phantoms, {sum(q.numel() for q in network.parameters())} weights, {asdict(settings)}")
    trained = train(network, source, seed, settings, args.minutes, log, lambda n: validation_scores(n, checks))
    card = {"seed": seed, "minutes": args.minutes, "threads": args.threads, "configuration": config}
    save_model(as_model(trained, card), args.out / "default.safetensors", overwrite=True)
    draw_curve(log, args.out / "curve.png")


def as_model(network: SliceSet, card: dict[str, Any]) -> Model:
    """The trained network with all that belongs to it."""
    return Model(
        name="default",
        network=network,
        filter=RAMP,
        oversample=OVERSAMPLE,
        pixel_range_angstrom=(6.0, 25.0),
        contrast="dark",
        card=card,
    )


def build_network(sizes: dict[str, Any]) -> SliceSet:
    """A network of the compact family with small random weights."""
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in sizes.items()}
    network = SliceSet(SliceSetConfig(**values, slice_hidden=None))
    for name, weight in network.named_parameters():
        gain = 1.0 if "up_layer" in name or name.endswith("last_layer.weight") else 2.0**0.5
        torch.nn.init.normal_(weight, std=gain / weight.shape[1] ** 0.5)
    return network


def calibrate(network: SliceSet, checks: list[tuple[str, Recording]]) -> None:
    """Scales the first layers so that untrained outputs are about as large as the truth; the last layer stays as it is.

    Outputs are in density over the projections' standard deviation, some hundredths: all layers share the factor.
    """
    layers = [s.up_layer for s in network.slices] + [layer for s in network.slices for layer in s.setMlP.linears]
    ratios = [r.spread / float(reconstruct(network, r, [40]).std()) for _, r in checks]
    with torch.no_grad():
        for layer in (network.combination_mlp.last_layer, *layers):
            layer.weight *= float(np.median(ratios)) ** 0.25


def specimen_of_seed(seed: int, config: dict[str, Any], folder: Path) -> Specimen:
    """The cached specimen of a seed with the configuration's sizes."""
    p = config["phantoms"]
    return cached_specimen(folder, seed, p["rows"], p["width"], p["depths"], p_finite=p["p_finite"])


def validation_set(config: dict[str, Any], folder: Path) -> list[tuple[str, Recording]]:
    """Recordings of unseen phantoms at −5 and 5 dB."""
    faults = Acquisition(**config["recording"]["faults"])
    specimens = {seed: specimen_of_seed(seed, config, folder) for seed in config["validation_seeds"]}
    return [
        (f"{seed}@{level:g}", record(specimen, level, SERIES, np.random.default_rng(seed), faults))
        for seed, specimen in specimens.items()
        for level in (-5.0, 5.0)
    ]


def validation_scores(network: SliceSet, checks: list[tuple[str, Recording]]) -> dict[str, float]:
    """SNR in decibels of some planes of each recording, and their mean."""
    scores = {}
    for name, recording in checks:
        rows = list(range(30, recording.shape_zyx[1], 50))
        truth = recording.truth[:, rows].transpose(1, 0, 2)
        scores[name] = snr_db(reconstruct(network, recording, rows, dtype=torch.bfloat16), truth)
    return {**scores, "mean": float(np.mean(list(scores.values())))}


def draw_curve(log: Path, picture: Path) -> None:
    """Draws the learning curve of a log."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = np.genfromtxt(log, delimiter=",", names=True, deletechars="")
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
    axes[0].plot(table["minutes"], table["loss"])
    axes[0].set(xlabel="minutes", ylabel="training loss")
    for name in table.dtype.names[4:]:
        axes[1].plot(table["minutes"], table[name], label=name, lw=3 if name == "mean" else 1)
    axes[1].set(xlabel="minutes", ylabel="validation SNR, dB (seed@input dB)")
    axes[1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    main()
