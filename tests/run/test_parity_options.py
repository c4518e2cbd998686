"""Parity with the public code where its options are not the defaults."""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from run_support import options

from cryolithe_stream.errors import CryolitheWarning
from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.store import open_tomogram

EXTRA = Path(__file__).parent.parent / "data" / "golden-extra"
CASES = ["wavelet-everything", "two-levels-backup", "spelling-null-outputs", "layers-cnn"]


def difference(case: str, tmp_path: Path, **given: object) -> float:
    """Relative L2 between our whole volume and the public code's."""
    folder, out = EXTRA / case, tmp_path / "out.ome.zarr"
    expected = mrcfile.read(folder / "expected.mrc")
    series = {"stack": folder / "tilts.mrc", "angles": folder / "tilts.tlt", "thickness": len(expected)}
    model = {"model": str(folder / "model"), "grid": "public", "precision": "float32"}
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r".*checkpoint_BP\.pth is used in its place", category=CryolitheWarning
        )
        reconstruct_series(options(out, **series, **model, overwrite=True, **given))
    got = open_tomogram(out).read_box(Box.whole(expected.shape))
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("case", CASES)
def test_exact_agrees_to_1e_4(case: str, tmp_path: Path) -> None:
    assert difference(case, tmp_path, engine="exact") <= 1e-4


@pytest.mark.parametrize("case", CASES)
def test_features_agree_within_the_interpolation_error(case: str, tmp_path: Path) -> None:
    assert difference(case, tmp_path, engine="features", oversample=8) <= 2e-2
    assert difference(case, tmp_path, engine="features", oversample=16) <= 6e-3
