"""How good the averaged weights are on data that the training does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cryolithe_stream.engines import FeaturesEngine, Strips
from cryolithe_stream.evaluate import fourier_shell_correlation, snr_db
from cryolithe_stream.evaluate.shells import SMALLEST_SIDE
from cryolithe_stream.geometry import Box, Float32s, Floats, strips_for_grid
from cryolithe_stream.simulate import Acquisition
from cryolithe_stream.train.example import Crop, Sampler
from cryolithe_stream.train.pairs import Pair
from cryolithe_stream.train.phantoms import SpecimenCache, record
from cryolithe_stream.train.scene import Scene, truth_around
from cryolithe_stream.train.trainee import Trainee

SERIES = np.arange(-60, 61, 3.0)
BAND = (0.10, 0.15)
LEVELS_DB = (-5.0, 5.0)
MOST_PAIRS = 8
_SIDES = (128, 24, 128)
_SIDES_POINTS = (128, 8, 128)


@dataclass(frozen=True, slots=True)
class Score:
    """Signal-to-noise ratio after the best affine fit, in decibels, and Fourier shell correlation in the wedge."""

    snr_db: float
    wedge_fsc: float


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """A box of voxels of a scene."""

    name: str
    scene: Scene
    box: Box


def phantom_checks(cache: SpecimenCache, trainee: Trainee, *, points: bool) -> list[Check]:
    """Recordings of unseen phantoms at −5 and 5 dB, ±60° by 3°."""
    options = cache.options
    faults = Acquisition(**options.faults.model_dump())
    found = []
    for seed in options.validation_seeds:
        for level in LEVELS_DB:
            rng = np.random.default_rng(seed)
            recording = record(cache.load(seed), level, SERIES, rng, faults, trainee.preparation)
            found.append(Check(f"{seed}@{level:g}dB", recording, _middle(recording.inside, points=points)))
    return found


def pair_checks(pairs: Sequence[Pair], *, points: bool) -> list[Check]:
    """The rows that each pair holds out, of its first stack; the first eight pairs stand for all."""
    found: list[Check] = []
    for pair in pairs[:MOST_PAIRS]:
        again = sum(check.name.partition("#")[0] == pair.name for check in found)
        name = f"{pair.name}#{again + 1}" if again else pair.name
        found.append(Check(name, pair.scenes[0], _middle(pair.held_out, points=points)))
    return found


def score(trainee: Trainee, sampler: Sampler, check: Check) -> Score:
    """How near the trainee comes to the truth in a check's box."""
    truth = truth_around(check.scene, check.box)
    with torch.inference_mode():
        found = _voxels(trainee, sampler, check)
    if found.std() == 0 or truth.std() == 0:
        return Score(0.0, float("nan"))
    return Score(snr_db(found, truth), _wedge_fsc(found, truth, check.scene.tilts_deg))


def _voxels(trainee: Trainee, sampler: Sampler, check: Check) -> Float32s:
    """Voxels of the check's box."""
    wavelet = trainee.plan.wavelet
    inside = check.box if wavelet is None else wavelet.coefficients_for_box(check.box)
    crop = sampler.crop(check.scene, sampler.whole(inside), inside)
    points = sampler.options.kind == "points"
    values = (_by_engine(trainee, crop) if points else trainee.values(crop)).float().cpu()
    if wavelet is None:
        return np.asarray(values[0].numpy())
    return np.asarray(wavelet.inverse(values, inside, check.box).numpy())


def _by_engine(trainee: Trainee, crop: Crop) -> torch.Tensor:
    """The same crop for networks that are trained at points, whose patch scale need not be 1."""
    plan, scale = trainee.plan, trainee.patch_scale
    px = plan.patch_scale if scale is None else float(scale())
    engine = FeaturesEngine(trainee.predictor.slices, max(4, plan.oversample), px, torch.float32, plan.device)
    layout = strips_for_grid(crop.grid, crop.tilts_deg, halo_yx_px=engine.halo_yx_px)
    projections = crop.projections.to(plan.device)
    filtered = (projections if trainee.filter is None else trainee.filter(projections)).cpu().numpy()
    values = np.zeros(layout.shape, np.float32)
    rows = np.arange(layout.first_row, layout.first_row + layout.n_rows)
    for t, first in enumerate(layout.first_column):
        columns = np.arange(first, first + layout.n_columns)
        there = [(i >= 0) & (i < n) for i, n in zip((rows, columns), filtered.shape[1:], strict=True)]
        values[t][np.ix_(*there)] = filtered[t][np.ix_(rows[there[0]], columns[there[1]])]
    return engine.reconstruct(crop.grid, Strips.of(layout, values, crop.tilts_deg))[0]


def _middle(inside: Box, *, points: bool) -> Box:
    """The middle of a box of voxels, as large as is quickly worked out; from an even index on along each axis."""
    start, stop = [], []
    for a, b, n in zip(inside.start, inside.stop, _SIDES_POINTS if points else _SIDES, strict=True):
        first = a + max(0, (b - a - n) // 2)
        start.append(first)
        stop.append(min(b, first + n))
    return Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))


def _wedge_fsc(estimate: Float32s, truth: Float32s, tilts_deg: Floats) -> float:
    """Fourier shell correlation inside the missing wedge over the band; NaN where the box is too thin for shells."""
    if min(truth.shape) < SMALLEST_SIDE:
        return float("nan")
    tilts = (float(tilts_deg.min()), float(tilts_deg.max()))
    found = fourier_shell_correlation(estimate, truth, voxel_angstrom=1.0, tilt_range_deg=tilts)
    half_shell = 0.5 / min(truth.shape)
    band = (found.frequency >= BAND[0] - half_shell) & (found.frequency <= BAND[1] + half_shell)
    sums = found.sums["wedge"]
    power = float(sums.power_a[band].sum() * sums.power_b[band].sum())
    return float(sums.cross[band].sum()) / power**0.5 if power > 0 else float("nan")
