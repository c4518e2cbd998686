from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.store import create_tomogram, downsample_shard, finish_tomogram
from cryolithe_stream.store.downsample import halve


def brute_force(values):
    """Means over 2x2x2 voxels in float64, over what exists at the ends."""
    shape = [-(-n // 2) for n in values.shape]
    means = np.empty(shape)
    for z, y, x in np.ndindex(*shape):
        means[z, y, x] = values[2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean(dtype=np.float64)
    return means


def build(tomogram):
    for level in range(1, tomogram.n_levels):
        for index in tomogram.layout.shard_indices(level):
            downsample_shard(tomogram.path, level, index)


@given(st.tuples(*[st.integers(1, 6)] * 3), st.integers(0, 99))
def test_halving_is_the_mean_of_what_exists(shape, seed):
    values = np.random.default_rng(seed).integers(-100, 100, shape).astype(np.int16)
    np.testing.assert_allclose(halve(values), brute_force(values), rtol=1e-6)


def test_every_level_is_the_mean_of_the_one_below(make_tomogram, fill, volume):
    tomogram = make_tomogram()
    fill(tomogram, volume)
    build(tomogram)
    assert tomogram.n_levels == 3
    for level in (1, 2):
        np.testing.assert_allclose(
            tomogram.level(level)[:], brute_force(tomogram.level(level - 1)[:]), rtol=1e-6, atol=1e-6
        )


def test_int16_means_are_rounded_in_the_stored_numbers(make_tomogram, fill, volume):
    tomogram = make_tomogram("int16", scaling=(0.001, 0.2))
    fill(tomogram, volume)
    build(tomogram)
    expected = np.rint(brute_force(tomogram.level(0)[:]))
    np.testing.assert_array_equal(tomogram.level(1)[:], expected)


def test_shards_cut_nothing(tmp_path, fill, volume):
    levels = []
    for name, chunk, shard in [("a", (16, 16, 16), (16, 48, 32)), ("b", (20, 35, 67), (40, 70, 134))]:
        tomogram = create_tomogram(
            tmp_path / name,
            shape_zyx=volume.shape,
            voxel_angstrom=1.0,
            dtype="float32",
            chunk_zyx=chunk,
            shard_zyx=shard,
        )
        fill(tomogram, volume)
        build(tomogram)
        levels.append([tomogram.level(i)[:] for i in range(3)])
    for a, b in zip(*levels, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_voxel_pair_keeps_its_place(make_tomogram, fill, volume):
    """A linear ramp in angstrom is the same ramp on every level, ends aside."""
    tomogram = make_tomogram(voxel_angstrom=2.0)
    z, y, x = np.meshgrid(*[2.0 * np.arange(n) for n in volume.shape], indexing="ij")
    fill(tomogram, (z + 3 * y - x).astype(np.float32))
    build(tomogram)
    finish_tomogram(tomogram.path, {})
    layout = tomogram.layout
    for level in (1, 2):
        scale, start = layout.scale_angstrom(level)[0], layout.translation_angstrom(level)[0]
        inner = tuple(n // 2**level for n in volume.shape)
        z, y, x = np.meshgrid(*[start + scale * np.arange(n) for n in inner], indexing="ij")
        values = tomogram.level(level)[: inner[0], : inner[1], : inner[2]]
        np.testing.assert_allclose(values, z + 3 * y - x, atol=1e-3)


def test_only_levels_above_the_first_are_built(make_tomogram):
    tomogram = make_tomogram()
    for level in (0, 3):
        with pytest.raises(ValueError, match="cannot be built"):
            downsample_shard(tomogram.path, level, (0, 0, 0))
    with pytest.raises(ValueError, match="outside level 1"):
        downsample_shard(tomogram.path, 1, (0, 0, 9))


def test_building_twice_is_the_same(make_tomogram, fill, volume):
    tomogram = make_tomogram("float16")
    fill(tomogram, volume)
    first = downsample_shard(tomogram.path, 1, (0, 0, 0))
    assert downsample_shard(tomogram.path, 1, (0, 0, 0)) == first
