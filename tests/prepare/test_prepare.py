"""From a series to a store: normalised, turned, padded, filtered, hashed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import xarray
from prepare_support import aligned, noise_stack, stored, write_series

from cryolithe_stream.errors import InputError, ModelError, OutputError
from cryolithe_stream.network.filters import CosineRamp, ProjectionFilter
from cryolithe_stream.network.public_filters import ConvFilter, StoredResponse
from cryolithe_stream.prepare import content_hash, layout, prepare_projections
from cryolithe_stream.read import Stack, VolumeHint
from cryolithe_stream.store import ProjectionStore

TURN = np.array([[0.99, -0.08], [0.08, 0.99]])
RAMP = ProjectionFilter(CosineRamp())


def standardised(stack):
    stack = stack.astype(np.float64)
    return (stack - stack.mean()) / stack.std()


@pytest.mark.parametrize("binning", [1, 2, 3])
def test_stack_has_mean_0_and_deviation_1(tmp_path, binning):
    series = aligned(write_series(tmp_path, noise_stack()), TURN, (1.3, -2.0), (44, 50))
    prepared = prepare_projections(series, tmp_path / "p.zarr", bin=binning)
    stack = stored(prepared).astype(np.float64)
    assert stack.shape == (5, 44 // binning, 50 // binning)
    assert abs(stack.mean()) < 1e-6
    assert abs(stack.std() - 1) < 1e-6


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.float32, np.float16, np.uint16])
def test_aligned_stack_is_only_normalised(tmp_path, dtype):
    raw = (noise_stack() - 250).clip(0, 120).astype(dtype)
    prepared = prepare_projections(write_series(tmp_path, raw), tmp_path / "p.zarr")
    np.testing.assert_allclose(stored(prepared), standardised(raw), atol=2e-6)
    assert prepared.mean == pytest.approx(raw.astype(np.float64).mean(), rel=1e-12)
    assert prepared.std == pytest.approx(raw.astype(np.float64).std(), rel=1e-10)


def test_far_mean_costs_no_precision(tmp_path):
    raw = (noise_stack() + 60000).astype(np.float32)
    prepared = prepare_projections(write_series(tmp_path, raw), tmp_path / "p.zarr")
    np.testing.assert_allclose(stored(prepared), standardised(raw), atol=2e-6)


def test_filter_comes_after_normalisation_and_sees_no_other_row(tmp_path):
    raw = noise_stack((3, 300, 41))
    prepared = prepare_projections(write_series(tmp_path, raw), tmp_path / "p.zarr", filter=RAMP)
    expected = RAMP.apply(torch.from_numpy(standardised(raw).astype(np.float32))).numpy()
    np.testing.assert_allclose(stored(prepared), expected, atol=1e-6)


def test_filter_of_frames_sees_whole_frames(tmp_path):
    torch.manual_seed(0)
    weights = {"0.weight": torch.randn(2, 1, 3, 3), "0.bias": torch.zeros(2)}
    weights |= {"1.weight": torch.randn(1, 2, 3, 3), "1.bias": torch.zeros(1)}
    both = ProjectionFilter(CosineRamp(), ConvFilter("reflect", 0.1, weights))
    raw = noise_stack((2, 200, 41))
    prepared = prepare_projections(write_series(tmp_path, raw), tmp_path / "p.zarr", filter=both)
    expected = both.apply(torch.from_numpy(standardised(raw).astype(np.float32))).numpy()
    np.testing.assert_allclose(stored(prepared), expected, atol=2e-5)


def test_invert_turns_the_sign(tmp_path):
    series = write_series(tmp_path, noise_stack())
    plain = stored(prepare_projections(series, tmp_path / "p.zarr", filter=RAMP))
    turned = prepare_projections(series, tmp_path / "i.zarr", filter=RAMP, invert=True)
    np.testing.assert_array_equal(stored(turned), -plain)
    assert turned.store.attributes["inverted"] is True


@pytest.mark.parametrize(("shape", "pad"), [((2, 30, 41), (5, 0)), ((2, 41, 30), (0, 5)), ((2, 30, 31), (0, 0))])
def test_padding_to_a_square_as_the_public_program_pads(tmp_path, shape, pad):
    raw = noise_stack(shape)
    series = write_series(tmp_path, raw)
    prepared = prepare_projections(series, tmp_path / "p.zarr", filter=RAMP, pad_to_square=True)
    padded = np.pad(standardised(raw).astype(np.float32), ((0, 0), (pad[0],) * 2, (pad[1],) * 2))
    np.testing.assert_allclose(stored(prepared), RAMP.apply(torch.from_numpy(padded)).numpy(), atol=1e-6)
    assert layout(series, 1, pad_to_square=True).padding_yx == pad
    assert layout(series, 1, pad_to_square=True).shape_tyx == padded.shape


@dataclass(frozen=True, slots=True)
class CountingStack(Stack):
    """A stack that records which views were read."""

    def frame(self, view):
        COUNTED.append(view)
        return Stack.frame(self, view)


COUNTED: list[int] = []


def test_every_kept_frame_is_read_once(tmp_path):
    series = write_series(tmp_path, noise_stack(), exclude=(2,))
    parts = (getattr(series.stack, name) for name in ("path", "shape", "dtype", "stored", "axes", "data_offset"))
    COUNTED.clear()
    prepare_projections(replace(series, stack=CountingStack(*parts)), tmp_path / "p.zarr", bin=2, filter=RAMP)
    assert COUNTED == [0, 2, 3, 4]


def test_content_hash_is_of_the_kept_frames_alone(tmp_path):
    raw = noise_stack()
    series = write_series(tmp_path, raw)
    prepared = prepare_projections(series, tmp_path / "p.zarr", bin=2)
    assert prepared.content_hash == content_hash(series) == prepared.store.attributes["content_hash"]
    same = [write_series(tmp_path / "b", raw, name="other"), write_series(tmp_path / "c", raw.astype(">f4"))]
    assert {content_hash(s) for s in same} == {prepared.content_hash}
    changed = raw.copy()
    changed[3, 7, 11] += 1e-3
    others = [
        write_series(tmp_path / "d", changed),
        write_series(tmp_path, raw, exclude=(1,)),
        write_series(tmp_path / "e", raw.transpose(0, 2, 1).copy()),
        write_series(tmp_path / "f", np.round(raw).astype(np.int16)),
        write_series(tmp_path / "g", np.round(raw)),
    ]
    assert len({content_hash(s) for s in others} | {prepared.content_hash}) == 6


@pytest.mark.parametrize("bad", [np.nan, np.inf, None])
def test_a_frame_that_cannot_be_used_is_named_and_leaves_nothing(tmp_path, bad):
    raw = noise_stack()
    raw[2] = 5.0 if bad is None else raw[2]
    raw[2, 3, 4] = 5.0 if bad is None else bad
    series = write_series(tmp_path, raw)
    with pytest.raises(InputError, match=r"view 3 .*--exclude 3"):
        prepare_projections(series, tmp_path / "p.zarr")
    assert not (tmp_path / "p.zarr").exists()
    prepare_projections(write_series(tmp_path, raw, exclude=(3,)), tmp_path / "p.zarr")


def test_alignment_in_other_pixels_is_told(tmp_path):
    series = aligned(write_series(tmp_path, noise_stack()), TURN, (10.0, 500.0))
    with pytest.raises(InputError, match=r"view 1 out of sight.*--alignment-pixel-size"):
        prepare_projections(series, tmp_path / "p.zarr")


def test_filter_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    narrow = ProjectionFilter(StoredResponse("vector", 8, torch.ones(8)))
    with pytest.raises(ModelError, match="at most 16"):
        prepare_projections(write_series(tmp_path, noise_stack()), tmp_path / "p.zarr", filter=narrow)
    assert not (tmp_path / "p.zarr").exists()


def test_what_is_not_ours_stays(tmp_path):
    series = write_series(tmp_path, noise_stack())
    (tmp_path / "p.zarr").mkdir()
    (tmp_path / "p.zarr" / "thesis.tex").write_text("years")
    with pytest.raises(OutputError):
        prepare_projections(series, tmp_path / "p.zarr")
    assert (tmp_path / "p.zarr" / "thesis.tex").read_text() == "years"


def test_layout_is_known_from_the_header(tmp_path):
    series = aligned(write_series(tmp_path, noise_stack()), TURN, (0.0, 0.0), (61, 47))
    series = replace(series, hint=VolumeHint(thickness_px=90.0, shift_zx_px=(8.0, -6.0), axis_offset_px=3.0))
    series.stack.path.unlink()
    known = layout(series, 2)
    assert known.shape_tyx == (5, 30, 23)
    assert known.pixel_angstrom == 8.0
    assert (known.thickness_px, known.shift_zx_px, known.axis_offset_px) == (45.0, (4.0, -3.0), 1.5)
    assert layout(series, 2, pad_to_square=True).unpadded_yx == (30, 23)


def test_store_tells_its_story(tmp_path):
    steps = []
    prepared = prepare_projections(
        write_series(tmp_path, noise_stack()),
        tmp_path / "p.zarr",
        bin=2,
        filter=RAMP,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(i + 1, 10) for i in range(10)]
    assert [entry.name for entry in (tmp_path / "p.zarr").iterdir() if "align" in entry.name] == []
    attributes = ProjectionStore.open(tmp_path / "p.zarr").attributes
    assert attributes["normalisation"] == {"mean": prepared.mean, "std": prepared.std}
    assert (attributes["bin"], attributes["inverted"], attributes["filter"]) == (2, False, "cosine")
    assert attributes["series"]["stack"]["shape_vyx"] == [5, 40, 52]
    with xarray.open_zarr(tmp_path / "p.zarr", consolidated=False) as opened:
        assert opened.projections.dims == ("tilt", "y", "x")
        np.testing.assert_allclose(opened.tilt_angle, np.linspace(-40, 40, 5))
        assert float(opened.x[1] - opened.x[0]) == pytest.approx(8.0)


def test_two_frames_of_one_pixel(tmp_path):
    prepared = prepare_projections(write_series(tmp_path, noise_stack((2, 2, 3))), tmp_path / "p.zarr", bin=2)
    np.testing.assert_allclose(np.abs(stored(prepared)), 1.0, atol=1e-6)
