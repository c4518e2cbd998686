"""Small trainings and pairs for the tests of training."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from cryolithe_stream.simulate import PhantomOptions, make_phantom, project
from cryolithe_stream.train import TrainOptions

NETWORK = {"patch_size": 5, "set_input": 8, "set_hidden": [8], "set_output": 4, "combine_hidden": [8]}
PHANTOMS = {"count": 2, "rows": 16, "width": 32, "depths": [16, 24], "validation_seeds": [9001], "pool": 3, "uses": 2}
TILTS_DEG = np.arange(-60.0, 61.0, 6.0)


class Quiet:
    """Notes what a training tells."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def phase(self, name: str, total: int, unit: str) -> None:
        self.messages.append(f"{name}: {total} {unit}")

    def advance(self, n: int, voxels: int = 0) -> None:
        pass

    def message(self, text: str) -> None:
        self.messages.append(text)


def tiny(**given: Any) -> dict[str, Any]:
    """A configuration of a training of seconds."""
    return {
        "name": "tiny",
        "seed": 3,
        "steps": 12,
        "network": NETWORK,
        "batch": 2,
        "precision": "float32",
        "sampling": {"crop_zyx": [None, 2, 12]},
        "phantoms": PHANTOMS,
        "log_every": 2,
        "validate_every": 6,
        "checkpoint_every": 3,
        **given,
    }


def options(**given: Any) -> TrainOptions:
    """The same, judged."""
    return TrainOptions(**tiny(**given))


def write_mrc(path: Path, values: np.ndarray, angstrom: float) -> Path:
    """An MRC file with a pixel size."""
    with warnings.catch_warnings(), mrcfile.new(path, overwrite=True) as file:
        warnings.simplefilter("ignore", RuntimeWarning)  # NaN is meant
        file.set_data(np.asarray(values, np.float32))
        file.voxel_size = angstrom
    return path


def write_pair(
    folder: Path, *, seed: int = 5, shape_zyx: tuple[int, int, int] = (24, 40, 64), noise: float = 1.0
) -> dict[str, Any]:
    """A recorded series of a phantom with half stacks, and the phantom in units of its own: the keys of a pair."""
    folder.mkdir(parents=True, exist_ok=True)
    phantom = make_phantom(seed, PhantomOptions(shape_zyx=shape_zyx, gold=False))
    clean = project(phantom.density, TILTS_DEG, shape_zyx[1:], periodic_x=True)
    rng = np.random.default_rng(seed)
    sigma = noise * clean.std()
    halves = [clean + np.sqrt(2) * sigma * rng.standard_normal(clean.shape) for _ in range(2)]
    stacks = {"stack": (halves[0] + halves[1]) / 2, "odd": halves[0], "even": halves[1]}
    pair: dict[str, Any] = {
        name: str(write_mrc(folder / f"{name}.mrc", 300 + 7 * values, 10.0)) for name, values in stacks.items()
    }
    pair["angles"] = str(folder / "ts.tlt")
    np.savetxt(folder / "ts.tlt", TILTS_DEG, fmt="%.2f")
    pair["reference"] = str(write_mrc(folder / "truth.mrc", 40 * phantom.density + 11, 10.0))
    return pair
