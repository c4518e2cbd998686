"""Parity with the public code: its checkpoints, its grid, its output."""

from __future__ import annotations

import mrcfile
import numpy as np
import pytest
from run_support import GOLDEN, options

from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.store import open_tomogram

CASES = ["pixel-square", "pixel-wide", "wavelet-square", "wavelet-tall"]
ROI = "6:22,20:28,12:60"


def run(case: str, tmp_path, **given) -> tuple[np.ndarray, np.ndarray]:
    """Our voxels and the public code's in the same region."""
    folder = GOLDEN / case
    expected = mrcfile.read(folder / "expected.mrc")
    box = Box.parse(given.get("roi", ":,:,:"), expected.shape)
    out = tmp_path / f"{case}.ome.zarr"
    reconstruct_series(
        options(
            out,
            stack=folder / "tilts.mrc",
            angles=folder / "tilts.tlt",
            model=str(folder / "model"),
            grid="public",
            thickness=len(expected),
            overwrite=True,
            **{"precision": "float32", **given},
        )
    )
    return open_tomogram(out).read_box(Box.whole(box.shape)), expected[box.slices]


def relative_l2(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


@pytest.mark.parametrize("case", CASES)
def test_exact_agrees_to_1e_4(case, tmp_path):
    got, wanted = run(case, tmp_path, engine="exact", roi=ROI)
    assert relative_l2(got, wanted) <= 1e-4


def features_errors(case: str, tmp_path, **given) -> dict[int, float]:
    return {k: relative_l2(*run(case, tmp_path, engine="features", oversample=k, **given)) for k in (4, 8, 16)}


def check_features(errors: dict[int, float]) -> None:
    assert errors[8] <= 2e-2
    assert errors[16] <= 6e-3
    assert errors[8] <= errors[4] / 2.5
    assert errors[16] <= errors[8] / 2.5


@pytest.mark.parametrize("case", CASES)
def test_features_agree_within_the_interpolation_error(case, tmp_path):
    check_features(features_errors(case, tmp_path, roi=ROI))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_whole_volumes_agree(case, tmp_path):
    check_features(features_errors(case, tmp_path))
    assert relative_l2(*run(case, tmp_path, engine="exact")) <= 1e-4
