"""Position and handedness: a chiral arrangement of beads, projected by ASTRA, comes out where it was put."""

from __future__ import annotations

import numpy as np
import pytest
from astra_support import project_with_astra
from run_support import options, write_stack
from scipy import ndimage

from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.store import open_tomogram

TILTS_DEG = np.arange(-60.0, 60.1, 2.0)
SIGMA = 1.5
# No mirror or half turn brings these onto themselves (z, y, x), fractions of a voxel included.
BEADS_ZYX = np.array(
    [
        [10.3, 8.0, 20.2],
        [30.6, 8.5, 60.4],
        [22.0, 19.3, 35.7],
        [12.5, 21.0, 70.1],
        [33.2, 30.4, 25.0],
        [18.4, 31.0, 48.6],
        [27.9, 20.2, 80.3],
    ]
)


def bead_volume(shape: tuple[int, int, int]) -> np.ndarray:
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    volume = np.zeros(shape)
    for bz, by, bx in BEADS_ZYX:
        volume += np.exp(-((z - bz) ** 2 + (y - by) ** 2 + (x - bx) ** 2) / (2 * SIGMA**2))
    return volume


def centroid(volume: np.ndarray, near_zyx: np.ndarray, radius: int = 4) -> np.ndarray:
    """Centre of mass of what is above half of the highest value around a place."""
    start = np.maximum(np.round(near_zyx).astype(int) - radius, 0)
    window = volume[tuple(slice(a, a + 2 * radius + 1) for a in start)]
    peak = np.unravel_index(window.argmax(), window.shape)
    start = start + np.array(peak) - radius
    window = volume[tuple(slice(max(a, 0), a + 2 * radius + 1) for a in start)]
    mass = np.where(window > window.max() / 2, window, 0)
    return np.array(ndimage.center_of_mass(mass)) + np.maximum(start, 0)


@pytest.fixture(scope="module")
def reconstruction(tmp_path_factory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("beads")
    shape = (44, 40, 96)
    stack = write_stack(folder / "beads.mrc", project_with_astra(bead_volume(shape), 96, TILTS_DEG))
    np.savetxt(folder / "beads.tlt", TILTS_DEG, fmt="%.2f")
    out = folder / "beads.ome.zarr"
    reconstruct_series(options(out, stack=stack, angles=folder / "beads.tlt", thickness=44, method="fbp"))
    return open_tomogram(out).read_box(Box.whole(shape))


def errors(volume: np.ndarray, places: np.ndarray) -> np.ndarray:
    return np.array([np.linalg.norm(centroid(volume, place) - place) for place in places])


def test_beads_are_where_they_were_put(reconstruction):
    found = errors(reconstruction, BEADS_ZYX)
    assert found.mean() <= 0.1
    assert found.max() <= 0.2


@pytest.mark.parametrize("axis", [0, 1, 2], ids="zyx")
def test_mirrored_volumes_are_refused(axis, reconstruction):
    found = errors(np.flip(reconstruction, axis), BEADS_ZYX)
    assert found.mean() > 2
