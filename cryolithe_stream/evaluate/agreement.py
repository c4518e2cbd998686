"""How well an estimate fits the truth voxel by voxel: correlation, signal-to-noise ratio, error after an affine fit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.evaluate.volumes import (
    VolumeLike,
    as_volume,
    common_voxel,
    pieces,
    read_finite,
    require_same_shape,
)
from cryolithe_stream.evaluate.window import mask_values
from cryolithe_stream.geometry import Box, Float32s

_EXACT = 1e-13  # residual shares below this are rounding of float64 sums


@dataclass(frozen=True, slots=True)
class Agreement:
    """An estimate against the truth, where `scale·estimate + offset` fits the truth best (least squares).

    `snr_db` is the truth's variance over the residual's, −10·log10(1 − r²), infinite for an exact fit; `correlation` is
    Pearson's r; `rmse` is the residual's, in the truth's units, `truth_deviation` the truth's standard deviation in the
    same. `weight` is the number of voxels, or the sum of the mask's weights.
    """

    snr_db: float
    correlation: float
    rmse: float
    truth_deviation: float
    scale: float
    offset: float
    weight: float

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON; an infinite ratio is None."""
        entry = asdict(self)
        return entry | {"snr_db": self.snr_db if math.isfinite(self.snr_db) else None}


@dataclass(frozen=True, slots=True)
class _Moments:
    """Weight, means and summed (co-)deviations of pairs of voxels; `+` joins two sets (Chan, Golub, LeVeque 1979)."""

    weight: float = 0.0
    mean_a: float = 0.0
    mean_b: float = 0.0
    aa: float = 0.0
    bb: float = 0.0
    ab: float = 0.0

    @classmethod
    def of(cls, a: Float32s, b: Float32s, weights: Float32s | None) -> _Moments:
        """Moments of two arrays in float64."""
        a64, b64 = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
        w = np.ones(a64.size) if weights is None else weights.astype(np.float64).ravel()
        weight = float(w.sum())
        if weight <= 0:
            return cls()
        mean_a, mean_b = float(w @ a64) / weight, float(w @ b64) / weight
        a64 -= mean_a
        b64 -= mean_b
        wa = w * a64
        return cls(weight, mean_a, mean_b, float(wa @ a64), float((w * b64) @ b64), float(wa @ b64))

    def __add__(self, other: _Moments) -> _Moments:
        weight = self.weight + other.weight
        if not weight:
            return self
        step_a, step_b = other.mean_a - self.mean_a, other.mean_b - self.mean_b
        share = other.weight / weight
        between = self.weight * share
        return _Moments(
            weight,
            self.mean_a + step_a * share,
            self.mean_b + step_b * share,
            self.aa + other.aa + between * step_a * step_a,
            self.bb + other.bb + between * step_b * step_b,
            self.ab + other.ab + between * step_a * step_b,
        )


def agreement(estimate: VolumeLike, truth: VolumeLike, *, mask: VolumeLike | None = None) -> Agreement:
    """How well an estimate `(z, y, x)` fits the truth; read piece by piece, however large it is.

    `mask` weighs the voxels, from 0 up. Raises InputError for shapes or voxel sizes that differ, NaN, constant volumes
    and empty masks.
    """
    a, b = as_volume(estimate, "the estimate"), as_volume(truth, "the truth")
    common_voxel(a, b)
    weights = None if mask is None else as_volume(mask, "the mask")
    if weights is not None:
        require_same_shape(b, weights)
    total = _Moments()
    for piece in pieces(Box.whole(b.shape_zyx), b.chunk_zyx):
        planes_a, planes_b = read_finite(a, piece), read_finite(b, piece)
        planes_w = None if weights is None else mask_values(weights, piece)
        for z in range(len(planes_a)):
            total += _Moments.of(planes_a[z], planes_b[z], None if planes_w is None else planes_w[z])
    if not total.weight:
        raise InputError("the mask has no voxel above 0", fix="Give a mask with weights of 1 where voxels count")
    for volume, mean, squares in ((a, total.mean_a, total.aa), (b, total.mean_b, total.bb)):
        if squares <= total.weight * (1e-7 * mean) ** 2:
            raise InputError(f"{volume.name} has one value everywhere", fix="Name a volume with content")
    return _fit(total)


def snr_db(estimate: VolumeLike, truth: VolumeLike, *, mask: VolumeLike | None = None) -> float:
    """Signal-to-noise ratio of an estimate after its best affine fit to the truth, in decibels; see `Agreement`."""
    return agreement(estimate, truth, mask=mask).snr_db


def correlation(a: VolumeLike, b: VolumeLike, *, mask: VolumeLike | None = None) -> float:
    """Pearson correlation of the voxels of two volumes."""
    return agreement(a, b, mask=mask).correlation


def _fit(moments: _Moments) -> Agreement:
    r = moments.ab / math.sqrt(moments.aa * moments.bb)
    r = max(-1.0, min(1.0, r))
    missed = 1 - r * r
    missed = missed if missed > _EXACT else 0.0
    deviation = math.sqrt(moments.bb / moments.weight)
    scale = moments.ab / moments.aa
    return Agreement(
        snr_db=-10 * math.log10(missed) if missed else math.inf,
        correlation=r,
        rmse=deviation * math.sqrt(missed),
        truth_deviation=deviation,
        scale=scale,
        offset=moments.mean_b - scale * moments.mean_a,
        weight=moments.weight,
    )
