"""Phantoms: reproducible, dark, of the size asked for."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from cryolithe_stream.simulate import PhantomOptions, make_phantom, phantom_of
from cryolithe_stream.simulate.blobs import Blobs, draw, random_rotation
from cryolithe_stream.simulate.crowd import Crowd
from cryolithe_stream.simulate.filaments import along, draw_path, random_helix
from cryolithe_stream.simulate.membranes import Surface, add_bilayer
from cryolithe_stream.simulate.particles import PARTICLES

SMALL = PhantomOptions(shape_zyx=(40, 33, 61))


def test_a_seed_gives_the_same_phantom_and_another_seed_another():
    first, again, other = make_phantom(3, SMALL), make_phantom(3, SMALL), make_phantom(4, SMALL)
    np.testing.assert_array_equal(first.truth, again.truth)
    assert first.tally == again.tally
    assert not np.array_equal(first.truth, other.truth)


@pytest.mark.parametrize("seed", range(6))
def test_density_is_dark_and_bounded(seed):
    phantom = make_phantom(seed, SMALL)
    assert phantom.density.shape == SMALL.shape_zyx
    assert phantom.density.dtype == np.float32
    assert phantom.density.max() <= 0.0
    assert -1.7 < phantom.density.min() < -0.3
    assert phantom.gold is None or phantom.gold.min() < -1.0
    assert 7.0 <= phantom.voxel_angstrom <= 20.0


@pytest.mark.parametrize("name", PARTICLES)
def test_particles_are_of_molecular_size(name):
    for seed in range(5):
        blobs = PARTICLES[name][0](np.random.default_rng(seed))
        assert 10 < blobs.radius < 300
        assert (blobs.sigmas > 0).all()
        assert (blobs.heights > 0).all()


def test_a_crowd_of_given_templates_does_not_overlap():
    ball = Blobs(np.zeros((1, 3)), np.array([40.0]), np.ones(1))
    phantom = phantom_of((ball,), 5, (48, 48, 64), 10.0)
    assert phantom.tally["particles"] > 5
    assert phantom.density.min() > -0.9  # 1.6·(1 − exp(−1/1.6)) is 0.74 for one ball alone


def test_blobs_have_their_mass_and_wrap_around():
    blob = Blobs(np.array([[10.0, 10.2, 0.3]]), np.array([1.5]), np.array([2.0]))
    whole = draw(blob, (20, 20, 20), periodic_x=True)
    mass = 2.0 * (2 * np.pi) ** 1.5 * 1.5**3
    assert whole.sum() == pytest.approx(mass, rel=0.02)
    assert draw(blob, (20, 20, 20)).sum() < 0.75 * mass
    np.testing.assert_allclose(np.roll(whole, 7, axis=2)[10, 10, 5:10], whole[10, 10, [18, 19, 0, 1, 2]])


def test_narrow_blobs_keep_their_mass():
    blob = Blobs(np.array([[5.0, 5.0, 5.0]]), np.array([0.3]), np.array([8.0]))
    assert draw(blob, (11, 11, 11)).sum() == pytest.approx(8.0 * (2 * np.pi) ** 1.5 * 0.027, rel=0.05)


def test_a_blob_that_is_larger_than_the_volume_takes_no_more_memory_than_it():
    blob = Blobs(np.array([[3.0, -40.0, 70.0]]), np.array([60.0]), np.array([2.0]))
    tracemalloc.start()
    seen = draw(blob, (8, 9, 10))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    square = sum((x - c) ** 2 for x, c in zip(np.indices(seen.shape), (3.0, -40.0, 70.0), strict=True))
    np.testing.assert_allclose(seen, 2 * np.exp(-square / (2 * 60.0**2)), rtol=1e-6)


def test_a_crowd_without_ice_is_left_at_once():
    thin = [Crowd.random(np.random.default_rng(seed), (8, 16, 16), periodic_x=True) for seed in range(300)]
    assert all(np.isfinite(crowd.odds).all() for crowd in thin)
    crowd = Crowd.random(np.random.default_rng(0), (40, 33, 61), periodic_x=True)
    crowd.without(np.ones(crowd.shape_zyx, np.float32))
    np.testing.assert_array_equal(
        crowd.spot(np.random.default_rng(1)), np.random.default_rng(1).uniform(0, 1, 3) * (40, 33, 61)
    )


def test_rotations_are_rotations():
    for seed in range(10):
        turn = random_rotation(np.random.default_rng(seed))
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(1.0)


def test_a_bilayer_has_two_leaflets_38_angstrom_apart():
    volume = np.zeros((41, 5, 5), np.float32)
    sheet = Surface("sheet", np.array([20.0, 2.0, 2.0]), np.array([1.0, 0.0, 0.0]), 0.0, np.zeros((1, 5)))
    spots = add_bilayer(volume, sheet, 2.0, 1.0, np.random.default_rng(0))
    profile = volume[:, 2, 2]
    peaks = [i for i in range(1, 40) if profile[i] > profile[i - 1] and profile[i] > profile[i + 1]]
    assert len(peaks) == 2
    assert (peaks[1] - peaks[0]) * 2.0 == pytest.approx(38.0, abs=4.0)
    assert profile[20] < 0.2 * profile[peaks[0]]
    assert (np.abs(spots[:, 0] - 20) <= 1).all()


def test_filaments_follow_their_path():
    rng = np.random.default_rng(2)
    path = draw_path(rng, np.zeros(3), np.array([0.0, 0.0, 1.0]), 500.0, 0.0)
    for _ in range(10):
        helix = random_helix(rng)
        blobs = along(path, helix, rng)
        assert np.linalg.norm(blobs.points_zyx[:, :2], axis=1).max() < helix.radius + 10
        assert np.ptp(blobs.points_zyx[:, 2]) > 400
