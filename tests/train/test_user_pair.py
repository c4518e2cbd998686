"""A user's own pair: three lines of YAML, a model that is better there than the shipped one, a reconstruction."""

from __future__ import annotations

import pytest
import torch
import yaml
from train_support import Quiet, options, tiny, write_pair

from cryolithe_stream.evaluate import open_volume, snr_db
from cryolithe_stream.geometry import Box
from cryolithe_stream.network import load_model
from cryolithe_stream.train import TrainOptions, train_model
from cryolithe_stream.train.logbook import read_log
from cryolithe_stream_cli.main import main


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> dict[str, str]:
    found = write_pair(tmp_path_factory.mktemp("pair"), noise=0.5)
    return {key: found[key] for key in ("stack", "angles", "reference")}


def test_three_lines_train_on_from_the_shipped_model(pair, tmp_path):
    o = TrainOptions(pairs=[pair], steps=3, batch=2, precision="float32")
    result = train_model(o, tmp_path, Quiet(), threads=1)
    shipped, found = load_model("default"), load_model(result.model)
    assert found.network.config == shipped.network.config
    assert found.fingerprint != shipped.fingerprint
    assert found.pixel_range_angstrom == pytest.approx((8.0, 12.5))
    for a, b in zip(found.network.parameters(), shipped.network.parameters(), strict=True):
        assert (a - b).norm() < 0.2 * b.norm()


def test_a_trained_model_reconstructs_as_well_as_its_card_says(pair, tmp_path, capsys):
    config = tiny(
        phantoms=None, pairs=[pair], steps=60, validate_every=60, log_every=20,
        optimiser={"learning_rate": 5e-3, "ema": 0.9},
    )  # fmt: skip
    (tmp_path / "pair.yaml").write_text(yaml.safe_dump(config))
    assert main(["train", str(tmp_path / "pair.yaml"), "-o", str(tmp_path / "out"), "--threads", "1"]) == 0
    file = tmp_path / "out" / "tiny.safetensors"
    assert capsys.readouterr().out == f"done: {file}\n"
    losses = [row["loss"] for row in read_log(tmp_path / "out" / "log.csv")]
    assert losses[-1] < losses[0]
    words = ["run", pair["stack"], "--angles", pair["angles"], "--thickness", "24", "--cluster", "threads:1"]
    words += ["--model", str(file), "--precision", "float32", "--device", "cpu", "-o", str(tmp_path / "a.mrc")]
    assert main(words) == 0
    held_out = Box((0, 30, 0), (24, 40, 64))
    found, truth = (open_volume(path).read_box(held_out) for path in (tmp_path / "a.mrc", pair["reference"]))
    assert snr_db(found, truth) == pytest.approx(load_model(file).card["validation"]["stack"]["snr_db"], abs=0.01)


@pytest.mark.parametrize(
    "given",
    [
        {"target": "wavelet"},
        {"sampling": {"kind": "points", "points": 64, "rows": 2}, "learn": {"filter": True, "patch_scale": True}},
        {"context": {"widths": [4, 6], "down": [1, 1], "up": [1]}, "sampling": {"crop_zyx": [None, 20, 20]}},
        {
            "context": {"widths": [4, 6], "down": [1, 1], "up": [1]},
            "sampling": {"crop_zyx": [None, 20, 20]},
            "optimiser": {"kind": "muon"},
            "loss": "l2",
        },
        {"target": "wavelet", "sampling": {"kind": "points", "points": 64, "rows": 2}},
        {"optimiser": {"kind": "adam"}, "loss": "l1", "precision": "bfloat16"},
    ],
)
def test_every_kind_of_training_runs_and_can_be_continued(pair, tmp_path, given):
    o = options(**{"phantoms": None, "pairs": [pair], "steps": 3, "validate_every": 3, "checkpoint_every": 1, **given})
    once = train_model(o, tmp_path / "once", Quiet(), threads=1).model
    while train_model(o, tmp_path / "pieces", Quiet(), threads=1, minutes=1e-9).status == "out of time":
        pass
    first, again = load_model(once), load_model(tmp_path / "pieces" / "tiny.safetensors")
    assert first.fingerprint == again.fingerprint
    assert all(torch.isfinite(t).all() for t in first.tensors().values())
