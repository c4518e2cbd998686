"""Training computes what the features engine computes, values and gradients; mirrored recordings are true ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cryolithe_stream.engines.features import FeaturesEngine
from cryolithe_stream.engines.strips import Strips
from cryolithe_stream.geometry import Box, VolumeFrame, strips_for_grid
from cryolithe_stream.network.config import SliceSetConfig
from cryolithe_stream.network.sliceset import SliceSet
from cryolithe_stream.simulate import CLEAN, PhantomOptions, make_phantom, project

TRAIN = Path(__file__).resolve().parents[2] / "train"
TILTS = np.array([-61.0, -30.0, 2.0, 17.0, 48.0])
SHAPE = (14, 9, 26)


def script(name):
    """A module of the training folder."""
    key = f"train_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, TRAIN / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module
        spec.loader.exec_module(module)
    return sys.modules[key]


def small_network():
    torch.manual_seed(5)
    sizes = {"set_input": 8, "set_hidden": (8,), "set_output": 4, "slice_output": 4, "combine_hidden": (12, 12)}
    return SliceSet(SliceSetConfig(patch_size=5, slice_hidden=None, **sizes)).eval()


def strips(engine, grid, filtered):
    layout = strips_for_grid(grid, TILTS, halo_yx_px=engine.halo_yx_px)
    values = np.zeros(layout.shape, np.float32)
    _, rows, width = filtered.shape
    for t, first in enumerate(layout.first_column):
        for i in range(layout.n_rows):
            for j in range(layout.n_columns):
                y, x = layout.first_row + i, int(first) + j
                if 0 <= y < rows and 0 <= x < width:
                    values[t, i, j] = filtered[t, y, x]
    return Strips.of(layout, values, TILTS)


@pytest.mark.parametrize("row", [0, 4, 8])
def test_the_training_forward_is_the_features_engine(row):
    forward = script("forward")
    network, filtered = small_network(), torch.randn(len(TILTS), 9, 26, generator=torch.Generator().manual_seed(1))
    grid = VolumeFrame(SHAPE, SHAPE[1:]).voxels().cut(Box((0, row, 3), (14, row + 1, 20)))
    engine = FeaturesEngine(network, forward.OVERSAMPLE, 1.0, torch.float32, torch.device("cpu"))
    wanted = engine.evaluate(grid, strips(engine, grid, filtered.numpy()), network)[0, 0, :, 0].reshape(-1)
    plane = forward.Plane.build(grid, TILTS, torch.float32)
    found = forward.evaluate_rows(network, filtered, [row], plane, torch.from_numpy(TILTS))[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    weight = torch.randn(len(found), generator=torch.Generator().manual_seed(2))
    ours = torch.autograd.grad((found * weight).sum(), list(network.parameters()))
    theirs = torch.autograd.grad((wanted * weight).sum(), list(network.parameters()))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("axes", [(True, False, False), (False, True, False), (False, False, True), (True, True, True)])
def test_a_mirrored_recording_is_the_recording_of_the_mirrored_specimen(axes):
    dataset = script("dataset")
    phantom = make_phantom(2, PhantomOptions(shape_zyx=SHAPE, periodic_x=False, gold=False))
    specimen = dataset.specimen_of(phantom, 0.0)
    recording = dataset.record(specimen, 300.0, np.array([-40.0, 5.0, 62.0]), np.random.default_rng(0), CLEAN)
    mirrored = dataset.mirrored(recording, np.array(axes))
    projected = project(mirrored.truth, mirrored.tilts_deg, SHAPE[1:])
    again, _ = dataset.prepared(projected)
    scale = recording.filtered.norm()
    assert (again * (mirrored.filtered.std() / again.std()) - mirrored.filtered).norm() < 0.01 * scale


def test_recordings_are_reproducible():
    dataset = script("dataset")
    phantom = make_phantom(3, PhantomOptions(shape_zyx=SHAPE))
    specimen = dataset.specimen_of(phantom, 0.3)
    faults = dataset.Acquisition()
    first, again = (
        dataset.random_recording(specimen, np.random.default_rng(4), (-10.0, 10.0), faults) for _ in range(2)
    )
    torch.testing.assert_close(first.filtered, again.filtered, rtol=0, atol=0)
    np.testing.assert_array_equal(first.truth, again.truth)
    np.testing.assert_array_equal(first.tilts_deg, again.tilts_deg)
