"""The projector: against ASTRA, and the laws that it keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import VolumeFrame
from cryolithe_stream.simulate import project
from cryolithe_stream.simulate.blobs import Blobs, draw

BEADS_ZYX = np.array([[5.0, 3.0, 8.0], [12.0, 6.0, 30.0], [17.0, 9.0, 15.0], [8.0, 11.0, 24.0]])
"""No plane maps these beads onto themselves, so a mirrored projection shows."""


def beads(shape=(24, 14, 40)):
    heights = np.array([1.0, 2.0, 3.0, 4.0])
    return draw(Blobs(BEADS_ZYX, np.full(4, 1.2), heights), shape)


def astra_projections(volume, tilts_deg, width):
    """Strip projections of every y slice by ASTRA.

    ASTRA's rows run from high to low along its second axis, which is z here, and its detector coordinate at angle φ is
    x·cos φ + z·sin φ.
    """
    astra = pytest.importorskip("astra")
    nz, ny, nx = volume.shape
    geometry = astra.create_vol_geom(nz, nx)
    detector = astra.create_proj_geom("parallel", 1.0, width, np.deg2rad(tilts_deg))
    projector = astra.create_projector("strip", detector, geometry)
    images = np.empty((len(tilts_deg), ny, width), np.float32)
    for y in range(ny):
        number, sinogram = astra.create_sino(np.ascontiguousarray(volume[::-1, y]), projector)
        images[:, y] = sinogram
        astra.data2d.delete(number)
    astra.projector.delete(projector)
    return images


def test_equals_astras_strips_and_not_the_mirror_image():
    volume = beads()
    tilts = np.array([-63.0, -45.0, -7.3, 0.0, 12.0, 30.0, 58.0])
    ours, theirs = project(volume, tilts, (14, 51)), astra_projections(volume, tilts, 51)
    scale = np.linalg.norm(theirs)
    assert np.linalg.norm(ours - theirs) < 1e-5 * scale
    for mirrored in (volume[::-1], volume[:, :, ::-1]):
        assert np.linalg.norm(project(mirrored, tilts, (14, 51)) - theirs) > 0.3 * scale


def test_beads_are_seen_where_the_frame_says():
    shape, tilts = (24, 14, 40), np.array([-50.0, 0.0, 35.0])
    frame = VolumeFrame(shape, (14, 61))
    for z, y, x in BEADS_ZYX:
        one = draw(Blobs(np.array([[z, y, x]]), np.ones(1), np.ones(1)), shape)
        images = project(one, tilts, (14, 61)).astype(np.float64)
        for image, tilt in zip(images, tilts, strict=True):
            columns = frame.voxels().columns(np.array([tilt]))[0]
            weight = image.sum()
            assert (image.sum(axis=0) @ np.arange(61)) / weight == pytest.approx(columns[int(z), int(x)], abs=0.02)
            assert (image.sum(axis=1) @ np.arange(14)) / weight == pytest.approx(y, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    tilt=st.floats(-75, 75),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 9)),
)
def test_mass_is_kept_and_projection_is_linear(seed, tilt, shape):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, *shape)).astype(np.float32)
    detector = (shape[1], 24)
    both, one, other = (project(v, np.array([tilt]), detector)[0] for v in (2 * a - 3 * b, a, b))
    np.testing.assert_allclose(both, 2 * one - 3 * other, atol=1e-4)
    np.testing.assert_allclose(one.sum(axis=1), a.sum(axis=(0, 2)), atol=1e-4)


def test_at_zero_tilt_it_is_the_sum_along_z():
    volume = np.random.default_rng(0).standard_normal((7, 5, 12)).astype(np.float32)
    np.testing.assert_allclose(project(volume, np.zeros(1), (5, 12))[0], volume.sum(axis=0), atol=1e-5)


def test_a_wider_volume_is_cut_and_a_periodic_one_has_no_end():
    rng = np.random.default_rng(1)
    volume = rng.standard_normal((8, 6, 20)).astype(np.float32)
    tilts = np.array([-60.0, 0.0, 40.0])
    wide = project(volume, tilts, (6, 40))
    np.testing.assert_array_equal(project(volume, tilts, (4, 40)), wide[:, 1:-1])
    np.testing.assert_allclose(project(volume, tilts, (6, 20)), wide[:, :, 10:30], atol=1e-5)
    repeated = project(np.tile(volume, (1, 1, 9)), tilts, (6, 20))
    np.testing.assert_allclose(project(volume, tilts, (6, 20), periodic_x=True), repeated, atol=1e-4)
    flat = project(np.ones((8, 6, 20), np.float32), tilts, (6, 20), periodic_x=True)
    expected = np.broadcast_to(8 / np.cos(np.deg2rad(tilts))[:, None, None], flat.shape)
    np.testing.assert_allclose(flat, expected, rtol=1e-4)


def test_refuses_rows_that_do_not_match_and_steep_tilts():
    volume = np.zeros((4, 5, 6), np.float32)
    with pytest.raises(InputError, match="5 rows"):
        project(volume, np.zeros(1), (4, 6))
    with pytest.raises(InputError, match="90"):
        project(volume, np.array([90.0]), (5, 6))
