"""Small tilt series and models for tests of whole runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import torch

from cryolithe_stream.network import (
    Context,
    ContextConfig,
    CosineRamp,
    Model,
    ProjectionFilter,
    SliceSet,
    SliceSetConfig,
    save_model,
)
from cryolithe_stream.run import RunOptions

TILTS_DEG = np.arange(-60.0, 61.0, 10.0)
GOLDEN = Path(__file__).parent.parent / "data" / "golden"


def write_stack(path: Path, stack: np.ndarray, pixel_angstrom: float = 10.0) -> Path:
    """An MRC stack with a pixel size."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(stack)
        file.set_image_stack()
        file.voxel_size = pixel_angstrom
    return path


def write_series(
    folder: Path, *, n_tilts: int = 13, shape_yx: tuple[int, int] = (40, 56), seed: int = 0
) -> dict[str, Any]:
    """A stack of smooth noise with its angles; the options that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal((n_tilts, *shape_yx)).astype(np.float32)
    noise += np.roll(noise, 1, axis=2) + np.roll(noise, 1, axis=1)
    stack = write_stack(folder / "ts.mrc", noise * 20 + 300)
    angles = folder / "ts.tlt"
    np.savetxt(angles, np.linspace(-60, 60, n_tilts), fmt="%.2f")
    return {"stack": stack, "angles": angles}


def write_model(path: Path, *, wavelet: str | None = None, context: bool = False, seed: int = 3) -> Path:
    """A small network with random weights in the package's own format."""
    outputs = 8 if wavelet else 1
    config = SliceSetConfig(
        patch_size=5,
        output_size=4 if context else outputs,
        set_input=16,
        set_hidden=(16,),
        set_output=8,
        slice_hidden=None,
        slice_output=8,
        combine_hidden=(24, 24),
        combine_skip=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SliceSet(config)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=(2.0 / parameter.shape[-1]) ** 0.5)
        head = Context(ContextConfig(widths=(4, 6), down=(1, 1), up=(1,), outputs=outputs)) if context else None
    model = Model(
        name="small",
        network=network,
        context=head,
        filter=ProjectionFilter(CosineRamp()),
        wavelet=wavelet,
        oversample=2,
        contrast=None,
    )
    save_model(model, path)
    return path


def options(output: Path, **given: Any) -> RunOptions:
    """Options of a quick run in this process."""
    return RunOptions.merged({"cluster": "threads", "device": "cpu", **given, "output": output})


def fingerprint_of_files(folder: Path) -> dict[str, bytes]:
    """Every file under a folder that holds voxels, by its relative name."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and "/c/" in str(p)
    }
