"""Pairs: checked before anything is prepared, brought to one scale, read by parts."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from train_support import write_mrc, write_pair

from cryolithe_stream.errors import CryolitheWarning, InputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.network import CosineRamp, ProjectionFilter
from cryolithe_stream.train.checked import check_pair
from cryolithe_stream.train.data_options import PairOptions
from cryolithe_stream.train.pairs import ready_pair
from cryolithe_stream.train.phantoms import prepared

RAMP = ProjectionFilter(ramp=CosineRamp())


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    return write_pair(tmp_path_factory.mktemp("pair"))


def voxels(path) -> np.ndarray:
    with mrcfile.open(path) as file:
        return np.array(file.data)


def ready(files, folder, **given):
    told: list[str] = []
    found = ready_pair(check_pair(PairOptions(**{**files, **given})), folder, RAMP, told.append)
    return found, told


def test_the_scale_is_that_of_the_density_behind_the_projections(files, tmp_path):
    pair, _ = ready(files, tmp_path)
    assert [scene.tilts_deg[0] for scene in pair.scenes] == [-60.0] * 3
    for scene, name in zip(pair.scenes, ("stack", "odd", "even"), strict=True):
        std = float(voxels(files[name]).std(dtype=np.float64)) / 7
        assert scene.gain == pytest.approx(1 / (40 * std), rel=0.06)
    scene, box = pair.scenes[0], Box((3, 5, 7), (9, 11, 20))
    truth = (voxels(files["reference"]) - voxels(files["reference"]).mean()) * scene.gain
    np.testing.assert_allclose(scene.truth(box), truth[box.slices], atol=1e-6)
    assert scene.spread == pytest.approx(truth.std(), rel=1e-3)


def test_projections_are_read_by_parts_as_they_were_prepared(files, tmp_path):
    pair, _ = ready(files, tmp_path)
    wanted, _ = prepared(voxels(files["stack"]), RAMP)
    np.testing.assert_allclose(pair.scenes[0].projections((4, 12), (9, 33)), wanted[:, 4:12, 9:33], atol=2e-4)


def test_half_stacks_meet_the_other_halfs_reference(files, tmp_path):
    halves = {}
    for name, value in (("odd", 1.0), ("even", 2.0)):
        noise = np.random.default_rng(int(value)).normal(0, 5, voxels(files["reference"]).shape)
        halves[f"reference_{name}"] = str(write_mrc(tmp_path / f"{name}.mrc", voxels(files["reference"]) + noise, 10.0))
    both, _ = ready(files, tmp_path / "a", **halves)
    assert [Path(s.volume.name).stem for s in both.scenes] == ["truth", "even", "odd"]
    alone, _ = ready({k: v for k, v in files.items() if k != "reference"}, tmp_path / "b", **halves)
    assert [(s.store.path.stem, Path(s.volume.name).stem) for s in alone.scenes] == [("odd", "even"), ("even", "odd")]


def test_rows_that_are_held_out_are_not_trained_on(files, tmp_path):
    pair, _ = ready(files, tmp_path, z_limits=[4, 20])
    assert pair.scenes[0].inside == Box((4, 0, 0), (20, 30, 64))
    assert pair.held_out == Box((4, 30, 0), (20, 40, 64))
    assert ready(files, tmp_path, held_out=0)[0].held_out == Box((0, 0, 0), (24, 40, 64))


def test_what_is_prepared_is_used_again_until_something_changes(files, tmp_path):
    first, told = ready(files, tmp_path)
    assert sum("preparing" in line for line in told) == 3
    again, told = ready(files, tmp_path)
    assert told == [] and again.identity == first.identity
    turned = write_mrc(tmp_path / "turned.mrc", -voxels(files["reference"]), 10.0)
    other, told = ready(files, tmp_path, reference=turned, invert_reference=True)
    assert not any("preparing" in line for line in told)
    np.testing.assert_allclose(
        other.scenes[0].truth(Box.whole((24, 40, 64))), first.scenes[0].truth(Box.whole((24, 40, 64))), atol=1e-6
    )
    json.dumps(other.identity)


def test_wrong_pairs_are_told_with_both_values(files, tmp_path):
    reference = voxels(files["reference"])
    nan = reference.copy()
    nan[3, 2, 1] = np.nan
    cases = {
        "shape": (reference[:, :-2], 10.0, {}, "has 38 rows and 64 columns .* has 40 and 64"),
        "pixel": (reference, 12.0, {}, "voxels of 12 angstrom, the prepared stack .* has pixels of 10"),
        "binned": (reference, 10.0, {"bin": 2}, "has 40 rows and 64 columns .* has 20 and 32"),
        "nan": (nan, 10.0, {}, "section 3 .* holds 1 voxels that are NaN"),
        "constant": (np.full_like(reference, 4), 10.0, {}, "is 4 everywhere"),
        "limits": (reference, 10.0, {"z_limits": [0, 25]}, r"z_limits \[0, 25\] leave .* of 24 sections"),
        "turned": (-reference, 10.0, {}, "correlate with the recorded ones at -.*bright density"),
        "stranger": (np.random.default_rng(0).normal(size=reference.shape), 10.0, {}, "is not what full shows"),
    }
    for name, (values, angstrom, given, part) in cases.items():
        path = write_mrc(tmp_path / f"{name}.mrc", values, angstrom)
        with pytest.raises(InputError, match=part):
            ready(files, tmp_path / name, reference=path, **given)


def test_a_stack_is_not_its_own_reference(files):
    for name in ("stack", "odd"):
        with pytest.raises(InputError, match="its own reference"):
            check_pair(PairOptions(**{**files, "reference": files[name]}))


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\xff"])
def test_a_damaged_note_of_what_is_prepared_is_as_good_as_none(files, tmp_path, text):
    first, _ = ready(files, tmp_path)
    for note in tmp_path.rglob("full*.json"):
        note.write_text(text, encoding="latin-1")
    again, told = ready(files, tmp_path)
    assert [line.split()[0] for line in told] == ["preparing", "reading"]
    assert again.identity == first.identity


def test_halves_of_another_size_are_refused(files, tmp_path):
    odd = write_mrc(tmp_path / "odd.mrc", voxels(files["odd"])[:, :-1], 10.0)
    with pytest.raises(InputError, match=r"\(21, 39, 64\), .* has \(21, 40, 64\)"):
        check_pair(PairOptions(**{**files, "odd": odd}))


def test_a_reference_of_the_other_hand_is_warned_of(files, tmp_path):
    mirrored = write_mrc(tmp_path / "m.mrc", voxels(files["reference"])[::-1], 10.0)
    with pytest.warns(CryolitheWarning, match="fits the projections better mirrored along z"):
        ready(files, tmp_path, reference=mirrored)


def test_an_axis_beside_the_middle_is_followed(tmp_path):
    """The scale of a series whose specimen lies beside the axis, against the same one in the middle."""
    from dataclasses import replace

    from cryolithe_stream.geometry import VolumeFrame
    from cryolithe_stream.store import ProjectionStore
    from cryolithe_stream.train.volumes import fit_scale, take_census

    files = write_pair(tmp_path / "data", noise=0.0)
    pair, _ = ready(files, tmp_path)
    scene = pair.scenes[0]
    census = take_census(scene.volume, (0, 24))
    moved = replace(scene.frame, axis_offset_px=3.0)
    assert isinstance(moved, VolumeFrame)
    store = ProjectionStore.create(
        tmp_path / "moved.zarr", shape_tyx=scene.store.shape_tyx, tilts_deg=scene.tilts_deg, pixel_angstrom=10.0,
        attributes={},
    )  # fmt: skip
    whole = scene.projections((0, 40), (0, 64))
    for t, frame in enumerate(np.roll(whole, 3, axis=2)):
        store.write_frame(t, frame)
    store = store.finish({})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_scale(scene.volume, census, store, RAMP, moved, 1.0)
    assert found.gain == pytest.approx(scene.gain, rel=0.03)
    assert found.correlation > 0.9
