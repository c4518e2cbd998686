"""A folder that `simulate` wrote is trained on as it is."""

from __future__ import annotations

import numpy as np
import pytest
from train_support import Quiet, options

from cryolithe_stream.errors import InputError, MissingFileError
from cryolithe_stream.geometry import Box
from cryolithe_stream.simulate import SimulateOptions, simulate
from cryolithe_stream.store.volume import open_ome_zarr
from cryolithe_stream.train import train_model
from cryolithe_stream.train.checked import simulated_pairs
from cryolithe_stream.train.data_options import SimulatedOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("sim") / "set"
    simulate(SimulateOptions(output=out, count=2, size=(16, 32, 48), tilts="-60,60,10", pixel_size=(10.0, 10.0)))
    return out


def test_every_series_becomes_a_pair_with_its_truth(folder):
    pairs = simulated_pairs(SimulatedOptions(folder=folder, weight=3.0))
    assert len(pairs) == 2 and all(pair.weight == 1.5 and pair.odd and pair.even for pair in pairs)
    truth = open_ome_zarr(pairs[0].reference)
    assert truth.shape_zyx == (16, 32, 48)
    assert np.isfinite(truth.read_box(Box.whole(truth.shape_zyx))).all()


def test_a_simulated_folder_is_trained_on(folder, tmp_path):
    quiet = Quiet()
    o = options(phantoms=None, simulated=[{"folder": str(folder)}], steps=4, validate_every=4)
    result = train_model(o, tmp_path, quiet, threads=1)
    assert result.status == "done" and "pairs: 2 pairs" in quiet.messages
    card = (tmp_path / "model-card.md").read_text()
    assert card.count("- Pair ") == 2


def test_folders_without_series_are_refused(folder, tmp_path):
    with pytest.raises(MissingFileError):
        simulated_pairs(SimulatedOptions(folder=tmp_path))
    (tmp_path / "manifest.yaml").write_text(
        "format_version: 1\nprogram: cryolithe-stream\nfingerprint: a\noptions: {}\ntemplates: {}\nseries: []\n"
    )
    with pytest.raises(InputError, match="holds no simulated series"):
        simulated_pairs(SimulatedOptions(folder=tmp_path))
