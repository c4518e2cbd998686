"""Dark and bright density told apart; what cannot be told is not."""

from __future__ import annotations

import warnings

import mrcfile
import numpy as np
import pytest
from prepare_support import noise_stack, write_series

from cryolithe_stream.errors import CryolitheWarning
from cryolithe_stream.prepare import Contrast, frame_skewness, looks_inverted, prepare_projections, warn_if_inverted


def beads(sign, shape=(320, 300), seed=0, count=12, noise=1.0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    frame = rng.normal(0, noise, shape) + 2 * (x > 0.6 * shape[1])  # an edge of a film
    for _ in range(count):
        cy, cx = rng.uniform(20, 280, 2)
        frame += sign * 6 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 32)
    return frame.astype(np.float32)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("seed", range(3))
def test_beads_tell_their_sign(sign, seed):
    assert Contrast(frame_skewness(beads(sign, seed=seed)), 1).verdict == ("bright" if sign > 0 else "dark")


@pytest.mark.parametrize("shape", [(64, 64), (96, 72), (500, 333), (3, 400), (1, 1)])
def test_noise_tells_nothing(shape):
    frame = noise_stack(shape, seed=3)
    frame[0, 0] += 5000  # an X-ray hit
    assert Contrast(frame_skewness(frame) if min(shape) > 3 else 0.0, 1).verdict == "unclear"
    assert np.isfinite(frame_skewness(frame))


def test_hot_pixels_do_not_count():
    frame = beads(-1)
    hot = frame.copy()
    hot.ravel()[np.random.default_rng(0).integers(0, frame.size, 20)] += 1e5
    clipped = frame_skewness(hot)
    assert clipped < -0.3


def test_only_low_tilts_are_asked(tmp_path):
    tilts = np.array([-60.0, -45.0, 0.0, 10.0, 50.0])
    signs = (1, 1, -1, -1, 1)
    stack = np.stack([beads(sign, seed=i) for i, sign in enumerate(signs)])
    prepared = prepare_projections(write_series(tmp_path, stack, tilts=tilts), tmp_path / "p.zarr", bin=3)
    assert prepared.contrast.n_frames == 2
    assert prepared.contrast.verdict == "dark"
    assert prepared.store.attributes["contrast"]["looks"] == "dark"


@pytest.mark.parametrize(
    ("skewness", "invert", "expected", "inverted"),
    [
        (1.0, False, "dark", True),
        (1.0, True, "dark", False),
        (-1.0, False, "dark", False),
        (-1.0, True, "dark", True),
        (1.0, False, "bright", False),
        (-1.0, False, "bright", True),
        (0.1, False, "dark", False),
        (0.1, True, "dark", False),
    ],
)
def test_a_warning_is_given_where_the_model_expects_the_other(skewness, invert, expected, inverted):
    contrast = Contrast(skewness, 7)
    assert looks_inverted(contrast, invert=invert, expected=expected) is inverted
    if inverted:
        with pytest.warns(CryolitheWarning, match="leave --invert out" if invert else "give --invert"):
            warn_if_inverted(contrast, invert=invert, expected=expected)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_if_inverted(contrast, invert=invert, expected=expected)


@pytest.mark.parametrize(
    ("path", "views", "verdict"),
    [
        ("data/empiar-10499-ts254/00254.mrc", (12, 20, 28), "dark"),
        ("data/haadf-needle/HAADF.mrc", (30, 38, 46), "bright"),
        ("data/serialem/test_000.mrc", (0, 1), "unclear"),
        ("golden/pixel-square/tilts.mrc", (12, 15, 18), "bright"),
        ("golden/wavelet-tall/tilts.mrc", (10, 13, 16), "bright"),
    ],
)
@pytest.mark.filterwarnings("ignore:Map ID string not found:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Unrecognised machine stamp:RuntimeWarning")
def test_real_and_simulated_stacks(shared, path, views, verdict):
    with mrcfile.mmap(shared / path, permissive=True) as file:
        skews = [frame_skewness(np.array(file.data[view], dtype=np.float32)) for view in views]
    assert Contrast(float(np.median(skews)), len(views)).verdict == verdict
