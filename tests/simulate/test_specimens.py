"""Specimens of templates, ice and carbon; what is new leaves the phantoms of old seeds as they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryolithe_stream.simulate import PhantomOptions, make_phantom, project
from cryolithe_stream.simulate.carbon import CARBON_DENSITY
from cryolithe_stream.simulate.memory import specimen_shape
from cryolithe_stream.simulate.templates import TemplateLibrary

SHAPE = (40, 48, 80)
BARE = PhantomOptions(
    shape_zyx=SHAPE,
    voxel_angstrom=(10.0, 10.0),
    particles=(),
    membranes=False,
    filaments=False,
    lattices=False,
    gold=False,
    clutter=False,
    ice_angstrom=300.0,
    crowding=0.1,
)


@pytest.fixture(scope="module")
def brick(molecules):
    library = TemplateLibrary((molecules / "brick.pdb",))
    return lambda voxel: library.at(10.0)


@pytest.mark.parametrize(
    ("seed", "mean", "sample"), [(2, -1.309496, 71.6246), (3, -3.619508, -13.7440), (7, -0.962332, -3.9549)]
)
def test_phantoms_of_old_seeds_stay_as_they_were(seed, mean, sample):
    truth = make_phantom(seed, PhantomOptions(shape_zyx=(24, 20, 32), periodic_x=seed != 3)).truth
    assert truth.mean(dtype=np.float64) == pytest.approx(mean, abs=2e-5)
    assert (truth * np.cos(np.arange(truth.size)).reshape(truth.shape)).sum() == pytest.approx(sample, abs=0.01)


def test_templates_fill_the_share_of_the_ice_that_was_asked_for_and_do_not_overlap(brick):
    phantom = make_phantom(1, BARE, brick)
    taken = float((phantom.density < -0.3).mean()) / (300 / 400)
    assert taken == pytest.approx(0.1, rel=0.35)
    assert phantom.tally["brick"] == phantom.tally["templates"] == len(phantom.particles)
    alone, _ = brick(10.0)[0].posed(np.eye(3), np.zeros(3))
    total = phantom.density.sum(dtype=np.float64)
    assert total > 1.02 * len(phantom.particles) * alone.sum(dtype=np.float64)  # some are cut at y, none is doubled
    assert phantom.density.min() > 1.25 * alone.min()
    more = make_phantom(1, replace(BARE, crowding=0.2), brick)
    assert 1.4 * len(phantom.particles) < len(more.particles)


def test_particles_lie_where_they_are_said_to(brick):
    options = replace(BARE, shape_zyx=(64, 120, 120), crowding=0.01, periodic_x=False)
    phantom = make_phantom(3, options, brick)
    inside = [p for p in phantom.particles if (np.minimum(p.centre_zyx, 120 - p.centre_zyx)[1:] > 12).all()]
    assert inside
    for particle in inside:
        cube, first = brick(10.0)[0].posed(particle.rotation, particle.centre_zyx)
        place = tuple(slice(f, f + n) for f, n in zip(first, cube.shape, strict=True))
        dense = cube < -0.3
        # Neighbours may touch: their faint outer voxels add up.
        assert np.abs(phantom.density[place][dense] - cube[dense]).mean() < 0.03


def test_nothing_lies_outside_tilted_ice(brick):
    options = replace(
        BARE,
        shape_zyx=(60, 90, 80),
        ice_angstrom=250.0,
        ice_tilt_deg=12.0,
        particles=("globular",),
        membranes=True,
        certain=("membranes",),
    )
    for periodic in (True, False):
        phantom = make_phantom(5, replace(options, periodic_x=periodic), brick)
        z, y, x = np.nonzero(phantom.density < -0.3)
        plane = np.column_stack([np.ones(len(z)), y - 44.5, x - 39.5])
        slope = np.linalg.lstsq(plane, z - 29.5, rcond=None)[0]
        assert np.hypot(slope[1], slope[2]) == pytest.approx(np.tan(np.deg2rad(12)), rel=0.35)
        if periodic:
            assert abs(slope[2]) < 0.06
        off = np.abs(z - 29.5 - (plane[:, 1:] * slope[1:]).sum(axis=1)) * np.cos(np.deg2rad(12))
        assert np.quantile(off, 0.98) < 25.0 / 2 + 2.5


def test_the_carbon_edge_enters_the_field_from_one_side_and_is_kept_free(brick):
    for seed in range(4):
        options = replace(BARE, shape_zyx=(40, 48, 160), carbon=True, field_x=80, periodic_x=False)
        phantom = make_phantom(seed, options, brick)
        assert phantom.carbon is not None
        film = phantom.carbon < CARBON_DENSITY / 2
        assert phantom.carbon[film].mean() == pytest.approx(CARBON_DENSITY, rel=0.15)
        assert 0.02 < phantom.carbon[film].std() / abs(CARBON_DENSITY) < 0.2
        columns = film.any(axis=(0, 1))
        assert columns[0] != columns[-1]
        shown = columns[40:120]
        assert 0.05 < shown.mean() < 0.5
        assert 15 <= film.any(axis=(1, 2)).sum() <= 36
        assert (phantom.density[film] < -0.3).mean() < 0.02
        np.testing.assert_array_equal(phantom.truth, phantom.density + phantom.carbon)


def test_parts_that_are_certain_are_in_every_phantom():
    options = PhantomOptions(
        shape_zyx=(24, 24, 32), certain=("membranes", "filaments", "lattices", "gold"), clutter=False
    )
    for seed in range(6):
        tally = make_phantom(seed, options).tally
        assert min(tally[name] for name in options.certain) > 0


def test_a_wide_specimen_leaves_no_empty_flanks():
    tilts = np.array([-65.0, 0.0, 50.0])
    size = (20, 4, 30)
    shape = specimen_shape(size, tilts, wide=True)
    assert (shape[2] - size[2]) % 2 == 0
    images = project(np.ones(shape, np.float32), tilts, (4, 30))
    expected = np.broadcast_to(20 / np.cos(np.deg2rad(tilts))[:, None, None], images.shape)
    np.testing.assert_allclose(images, expected, rtol=1e-4)
    narrow = project(np.ones((20, 4, shape[2] - 8), np.float32), tilts, (4, 30))
    assert (narrow < 0.99 * expected).any()
    assert specimen_shape(size, tilts, wide=False) == size
