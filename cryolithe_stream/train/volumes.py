"""Reference tomograms: what they hold, and what brings them to the projections' scale."""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cryolithe_stream.errors import CryolitheWarning, InputError
from cryolithe_stream.evaluate import Volume
from cryolithe_stream.geometry import Box, Float32s, Floats, StripLayout, VolumeFrame
from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.simulate import project
from cryolithe_stream.store import ProjectionStore

_ROWS = 64
_TILTS = 15
_SIGNIFICANT = 5.0


@dataclass(frozen=True, slots=True)
class Census:
    """Mean, standard deviation and SHA-256 of a volume's sections, each read once."""

    mean: float
    deviation: float
    sha256: str


def take_census(volume: Volume, z_limits: tuple[int, int]) -> Census:
    """What the sections between the limits hold. Raises InputError for NaN, infinity, and one value everywhere."""
    (_, ny, nx), digest, total, squares, count = volume.shape_zyx, hashlib.sha256(), 0.0, 0.0, 0
    for z in range(*z_limits):
        section = volume.read_box(Box((z, 0, 0), (z + 1, ny, nx)))
        digest.update(np.ascontiguousarray(section, "<f4").data)
        values = section.astype(np.float64)
        if not np.isfinite(values.sum()):
            bad = int(np.count_nonzero(~np.isfinite(values)))
            raise InputError(
                f"section {z} of the reference {volume.name} holds {bad} voxels that are NaN or infinite",
                fix="Set pairs.z_limits so that it is left out, or make the reference again",
            )
        total, squares, count = total + values.sum(), squares + (values**2).sum(), count + values.size
    mean = total / count
    deviation = math.sqrt(max(0.0, squares / count - mean**2))
    if deviation <= 1e-6 * abs(mean) or deviation == 0:
        raise InputError(f"the reference {volume.name} is {mean:g} everywhere", fix="Name a tomogram")
    return Census(float(mean), deviation, digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Scale:
    """What brings a reference to the projections' scale, and how well it then explains them.

    `gain` is density over reference units; `correlation` that of the reference's projections with the recorded ones,
    both filtered, and `mirrored` the same for the reference mirrored along z.
    """

    gain: float
    correlation: float
    mirrored: float


def fit_scale(
    volume: Volume, census: Census, store: ProjectionStore, chain: ProjectionFilter, frame: VolumeFrame, sign: float
) -> Scale:
    """The gain by which a reference must be multiplied to cause the projections of a store.

    What a network without biases gives is density in units of the projections' standard deviation, which is what
    projects to them. So the gain is the slope of the recorded projections on those of the reference, both filtered by
    `chain`, over a band of rows in the middle, up to 15 tilts and the columns that see no matter from beyond the
    volume's sides. Noise is not in the reference and averages out; a reference in whatever units comes to one scale.
    `sign` −1 turns a reference of bright density. Raises InputError when the two are not of the same specimen.
    """
    nz, ny, nx = volume.shape_zyx
    first, rows = max(0, (ny - _ROWS) // 2), min(_ROWS, ny)
    band = volume.read_box(Box((0, first, 0), (nz, first + rows, nx))) - np.float32(census.mean)
    band *= np.float32(sign)
    chosen = np.unique(np.linspace(0, store.shape_tyx[0] - 1, _TILTS).round().astype(int))
    layout = StripLayout(first, rows, np.zeros(store.shape_tyx[0], np.int64), nx)
    recorded = store.read_strips(layout)[chosen].astype(np.float64)
    tilts = store.tilts_deg[chosen]
    seen = _seen(tilts, frame)
    fits = [_fit(v, tilts, recorded, seen, chain, frame) for v in (band, band[::-1])]
    scale = Scale(fits[0][0], fits[0][1], fits[1][1])
    if scale.correlation < _SIGNIFICANT / math.sqrt(int(seen.sum()) * rows):
        turned = scale.correlation < -_SIGNIFICANT / math.sqrt(int(seen.sum()) * rows)
        raise InputError(
            f"the reference {volume.name} is not what {store.path.stem} shows: its projections correlate with the "
            f"recorded ones at {scale.correlation:.4f} (mirrored along z at {scale.mirrored:.4f})",
            fix="One of them has bright density: set invert or invert_reference" if turned else "Check the pair",
        )
    if scale.mirrored > 1.2 * scale.correlation:
        warnings.warn(
            f"the reference {volume.name} fits the projections better mirrored along z ({scale.mirrored:.3f} against "
            f"{scale.correlation:.3f}): its tilt angles may have had the other sign",
            CryolitheWarning,
            stacklevel=2,
        )
    return scale


def _seen(tilts_deg: Floats, frame: VolumeFrame) -> NDArray[np.bool_]:
    """The columns `(tilt, column)` whose rays pass through the volume from its top to its bottom.

    A sixteenth of the width is left out at both sides, where a filtered row shows its end.
    """
    (nz, _, nx), width, theta = frame.volume_zyx, frame.detector_yx[1], np.deg2rad(tilts_deg)
    reach = np.minimum(nx / 2 * np.cos(theta) - nz / 2 * np.abs(np.sin(theta)), nx * 7 / 16)
    return np.asarray(np.abs(np.arange(width) - _centres(tilts_deg, frame)[:, None]) <= np.maximum(reach, 2)[:, None])


def _centres(tilts_deg: Floats, frame: VolumeFrame) -> Floats:
    """The detector column where the volume's centre is seen."""
    theta, (z, x) = np.deg2rad(tilts_deg), frame.shift_zx_px
    return np.asarray(x * np.cos(theta) + z * np.sin(theta) + frame.axis_px)


def _fit(
    band: Float32s,
    tilts: Floats,
    recorded: Floats,
    seen: NDArray[np.bool_],
    chain: ProjectionFilter,
    frame: VolumeFrame,
) -> tuple[float, float]:
    """Slope and correlation of recorded projections `(tilt, y, x)` on those of a band `(z, y, x)`."""
    _, rows, nx = band.shape
    clean = project(np.ascontiguousarray(band), tilts, (rows, nx), periodic_x=True)
    moves = _centres(tilts, frame) - (nx - 1) / 2
    phase = np.exp(-2j * np.pi * np.fft.rfftfreq(nx) * moves[:, None])
    moved = np.fft.irfft(np.fft.rfft(clean, axis=2) * phase[:, None], nx, axis=2).astype(np.float32)
    filtered = chain.apply(torch.from_numpy(moved)).numpy().astype(np.float64) * seen[:, None]
    across, own, other = (filtered * recorded).sum(), (filtered**2).sum(), ((recorded * seen[:, None]) ** 2).sum()
    return float(across / own), float(across / np.sqrt(own * other))
