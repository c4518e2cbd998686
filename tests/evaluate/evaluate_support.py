"""Volumes with known spectra, in memory and on disk."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

from cryolithe_stream.geometry import Box
from cryolithe_stream.store import create_tomogram, finish_tomogram, write_box


def noise(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """White noise of unit variance."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def coloured(shape: tuple[int, int, int], seed: int, cutoff: float = 0.15) -> np.ndarray:
    """Noise whose power falls off as a Gaussian of the frequency; periodic, of unit variance."""
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")))
    values = np.fft.ifftn(np.fft.fftn(noise(shape, seed)) * np.exp(-((radius / cutoff) ** 2))).real
    return (values / values.std()).astype(np.float32)


def write_mrc(path: Path, values: np.ndarray, voxel_angstrom: float = 10.0) -> Path:
    """An MRC volume."""
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(values)
        file.set_volume()
        file.voxel_size = voxel_angstrom
    return path


def write_tomogram(path: Path, values: np.ndarray, voxel_angstrom: float = 10.0, tilts_deg=()) -> Path:
    """A finished tomogram of one shard, with the tilts in its provenance as a run leaves them."""
    create_tomogram(
        path,
        shape_zyx=values.shape,
        voxel_angstrom=voxel_angstrom,
        dtype="float32",
        chunk_zyx=(16, 32, 32),
        shard_zyx=(128, 128, 128),
    )
    write_box(path, Box.whole(values.shape), values)
    finish_tomogram(path, {"run": {"voxels": {"tilts_deg": list(tilts_deg)}}} if len(tilts_deg) else {})
    return path
