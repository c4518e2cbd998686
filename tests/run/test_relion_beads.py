"""Beads that RELION's own projection matrix puts on images come back where they were, through a star file."""

from __future__ import annotations

import numpy as np
import pytest
from relion_support import projection_matrix, write_project
from run_support import options

from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.store import open_tomogram

SIGMA = 1.5
PIXEL = 1.7
# From the specimen's centre, (x, y, z): no mirror or half turn brings these onto themselves.
BEADS_XYZ = np.array(
    [
        [-25.8, -12.0, -11.7],
        [14.4, -11.5, 8.6],
        [-10.3, -0.7, 0.0],
        [24.1, 1.0, -9.5],
        [-21.0, 10.4, 11.2],
        [2.6, 11.0, -3.6],
        [19.3, 6.2, 5.9],
    ]
)


def errors(volume: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Distance of each place to the peak next to it, found between voxels by a parabola through three logarithms."""
    found = []
    for place in places:
        start = np.maximum(np.round(place).astype(int) - 4, 0)
        window = volume[tuple(slice(a, a + 9) for a in start)]
        peak = np.array(np.unravel_index(window.argmax(), window.shape)) + start
        at = peak.astype(float)
        for axis in range(3):
            beside = [np.clip(peak + k * np.eye(3, dtype=int)[axis], 0, np.array(volume.shape) - 1) for k in (-1, 0, 1)]
            a, b, c = (float(volume[tuple(voxel)]) for voxel in beside)
            if min(a, b, c) > 0 and a < b > c:
                a, b, c = np.log([a, b, c])
                at[axis] += 0.5 * (a - c) / (a - 2 * b + c)
        found.append(np.linalg.norm(at - place))
    return np.array(found)


@pytest.mark.parametrize(
    ("shape_yx", "specimen_xyz", "turn"),
    [((60, 80), (80, 60, 44), -4.3), ((81, 61), (60, 90, 30), 85.3), ((80, 81), (70, 70, 41), -86.0)],
    ids=["even", "odd, turned", "mixed, turned back"],
)
def test_beads_come_back_where_they_were(tmp_path, shape_yx, specimen_xyz, turn):
    rng = np.random.default_rng(11)
    tilts = rng.permutation(np.arange(-60.0, 60.1, 2.0))
    values = {
        "rlnTomoXTilt": np.zeros(len(tilts)),
        "rlnTomoYTilt": tilts,
        "rlnTomoZRot": turn + rng.normal(0, 0.3, len(tilts)),
        "rlnTomoXShiftAngst": rng.normal(0, 6, len(tilts)),
        "rlnTomoYShiftAngst": rng.normal(0, 6, len(tilts)),
    }
    rows, columns = np.meshgrid(*(np.arange(n) for n in shape_yx), indexing="ij")
    frames = []
    for i in range(len(tilts)):
        row = {label: float(column[i]) for label, column in values.items()}
        matrix = projection_matrix(specimen_xyz, shape_yx[::-1], PIXEL, row)
        frame = np.zeros(shape_yx)
        for bead in BEADS_XYZ:
            x, y, _, _ = matrix @ [*(bead + np.array(specimen_xyz) // 2), 1.0]
            frame += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * SIGMA**2))
        frames.append(frame)
    star = write_project(tmp_path, tilts=tilts, pixels=frames, shape_yx=shape_yx, pixel=PIXEL, **values)
    out = tmp_path / "TS_01.ome.zarr"
    reconstruct_series(options(out, stack=star, thickness=44, method="fbp"))
    tomogram = open_tomogram(out)
    shape = tomogram.layout.shape_zyx
    volume = tomogram.read_box(Box.whole(shape))
    places = BEADS_XYZ[:, ::-1] + (np.array(shape) - 1) / 2
    found = errors(volume, places)
    assert found.mean() <= 0.05, found
    assert found.max() <= 0.1, found
    for axis in range(3):
        assert errors(np.flip(volume, axis), places).mean() > 2
