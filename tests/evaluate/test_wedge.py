"""The missing wedge lies where the geometry of `frame` puts it, on the right side of an asymmetric tilt range."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluate_support import coloured, noise

from cryolithe_stream.engines import BlockReconstructor, FbpEngine, Strips
from cryolithe_stream.evaluate import fourier_shell_correlation
from cryolithe_stream.geometry import Box, VolumeFrame
from cryolithe_stream.network import CosineRamp, ProjectionFilter
from cryolithe_stream.simulate import project

SHAPE = (80, 24, 80)
MIRRORED = [((-40.0, 60.0), (-60.0, 40.0)), ((-65.0, 30.0), (-30.0, 65.0))]


def plane_wave(angle_deg: float, frequency: float = 0.2) -> np.ndarray:
    """A wave that varies along x·cos θ + z·sin θ only: what one projection at tilt θ measures."""
    z, x = np.arange(64)[:, None, None], np.arange(64)[None, None, :]
    along = x * np.cos(np.deg2rad(angle_deg)) + z * np.sin(np.deg2rad(angle_deg))
    return np.broadcast_to(np.cos(2 * np.pi * frequency * along), (64, 16, 64)).astype(np.float32)


def share_in_wedge(volume: np.ndarray, tilt_range_deg: tuple[float, float]) -> float:
    found = fourier_shell_correlation(volume, volume, tilt_range_deg=tilt_range_deg, taper=0.5)
    return float(found.sums["wedge"].power_a.sum() / found.sums["all"].power_a.sum())


@pytest.mark.parametrize(("angle", "inside"), [(50, True), (-50, False), (-30, True), (75, False), (-89, False)])
def test_a_wave_is_visible_when_a_tilt_runs_along_it(angle, inside):
    share = share_in_wedge(plane_wave(angle), (-40.0, 60.0))
    assert share < 0.01 if inside else share > 0.99


def test_what_varies_along_the_tilt_axis_alone_is_visible_at_any_tilt():
    y = np.cos(2 * np.pi * 0.25 * np.arange(32))[None, :, None]
    wave = np.broadcast_to(y, (32, 32, 32)).astype(np.float32)
    for tilts in ((-60.0, 60.0), (10.0, 40.0), (-60.0, -20.0)):
        found = fourier_shell_correlation(wave, wave, tilt_range_deg=tilts, taper=0)
        assert found.sums["wedge"].power_a.sum() < 1e-6 * found.sums["visible"].power_a.sum()


def back_projected(volume: np.ndarray, tilts_deg: np.ndarray) -> np.ndarray:
    """The volume's projections, filtered and back-projected by the engine."""
    nz, ny, nx = volume.shape
    detector = (ny, nx + 2 * nz)
    images = project(volume, tilts_deg, detector)
    filtered = ProjectionFilter(CosineRamp()).apply(torch.from_numpy(images)).numpy()
    engine = FbpEngine(torch.float32, torch.device("cpu"))
    reconstructor = BlockReconstructor(VolumeFrame(volume.shape, detector), engine)
    box = Box.whole(volume.shape)
    layout = reconstructor.layout(box, tilts_deg)
    values = np.zeros(layout.shape, np.float32)
    rows, width = np.arange(detector[0]), np.arange(detector[1])
    for t, first in enumerate(layout.first_column):
        r, c = np.arange(layout.n_rows) + layout.first_row, np.arange(layout.n_columns) + first
        values[t][np.ix_(np.isin(r, rows), np.isin(c, width))] = filtered[t][
            np.ix_(r[np.isin(r, rows)], c[np.isin(c, width)])
        ]
    return reconstructor.voxels(box, Strips.of(layout, values, tilts_deg))[0]


@pytest.mark.parametrize(("tilts", "mirrored"), MIRRORED)
def test_the_wedge_of_a_back_projected_volume_is_almost_empty(tilts, mirrored):
    axes = (np.linspace(-1, 1, n) / 0.7 for n in SHAPE)
    ball = np.sqrt(sum(g**2 for g in np.meshgrid(*axes, indexing="ij")))
    truth = coloured(SHAPE, 1, 0.3) * np.clip(4 * (1 - ball), 0, 1).astype(np.float32)
    volume = back_projected(truth, np.arange(tilts[0], tilts[1] + 0.1, 2.0))
    assert share_in_wedge(truth, tilts) > 0.35
    assert share_in_wedge(volume, tilts) < 0.04
    assert share_in_wedge(volume, mirrored) > 4 * share_in_wedge(volume, tilts)
    found = fourier_shell_correlation(volume, truth, tilt_range_deg=tilts)
    band = slice(1, 6)
    assert np.nanmean(found.curve("visible")[band]) > 0.9
    assert np.nanmean(found.curve("wedge")[band]) < 0.5 * np.nanmean(found.curve("visible")[band])
    assert found.wedge_power is not None
    assert found.wedge_power[0] < 0.1 < 0.5 < found.wedge_power[1]


def test_the_share_of_fourier_voxels_is_that_of_the_angles():
    a = noise((48, 48, 48), 0)
    for tilts in ((-60.0, 60.0), (-40.0, 60.0), (0.0, 30.0)):
        found = fourier_shell_correlation(a, a, tilt_range_deg=tilts)
        share = found.sums["wedge"].n_voxels.sum() / found.sums["all"].n_voxels.sum()
        assert share == pytest.approx(1 - (tilts[1] - tilts[0]) / 180, abs=0.02)
