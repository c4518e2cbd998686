"""The configuration: every fault with its key, and what belongs to a training's identity."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from train_support import options, tiny

from cryolithe_stream.errors import FormatError, InputError, MissingFileError
from cryolithe_stream.network import load_model
from cryolithe_stream.train import TrainOptions, read_options
from cryolithe_stream.train.trainee import make_trainee

ROOT = Path(__file__).parents[2]
PAIR = {"stack": "a.mrc", "reference": "b.mrc"}


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"stepz": 3}, "stepz: there is no such key (did you mean 'steps'?)"),
        ({"optimiser": {"learning_rat": 1}}, "optimiser.learning_rat: there is no such key (did you mean"),
        ({"pairs": [{**PAIR, "binn": 2}]}, "pairs.0.binn: there is no such key (did you mean 'bin'?)"),
        ({"steps": 0}, "steps: got 0, it should be greater than or equal to 1"),
        ({"steps": True}, "steps: a number is expected"),
        ({"loss": "l3"}, "loss: got 'l3', expected 'l1', 'l2' or 'smooth_l1'"),
        ({"optimiser": {"learning_rate": float("nan")}}, "optimiser.learning_rate"),
        ({"name": "../up"}, "name: letters, digits"),
        ({"phantoms": None}, "nothing to train on"),
        ({"start": "default"}, "leave network out"),
        ({"context": {}, "sampling": {"kind": "points"}}, "must be crops"),
        ({"learn": {"patch_scale": True}}, "need sampling.kind points"),
        ({"target": "pixel", "wavelet": "bior3.1"}, "wavelet belongs to"),
        ({"pairs": [{"stack": "a.mrc"}]}, "a reference is needed"),
        ({"pairs": [{**PAIR, "odd": "c.mrc"}]}, "odd and even half stacks come in pairs"),
        ({"pairs": [{**PAIR, "reference_odd": "c.mrc", "reference_even": "d.mrc"}]}, "need the half stacks"),
        ({"pairs": [{**PAIR, "z_limits": [9, 3]}]}, "z_limits run upwards"),
        ({"pairs": [{**PAIR, "held_out": 0.99}]}, "pairs.0.held_out: got 0.99"),
        ({"phantoms": {"snr_db": [5, -5]}}, "snr_db is 5 to -5"),
        ({"phantoms": {"snr_db": [0, float("nan")]}}, "snr_db is 0 to nan"),
        ({"phantoms": {"snr_db": [0, 1e6]}}, "snr_db is 0 to 1e+06"),
        ({"phantoms": {"rows": 1}}, "phantoms.rows: got 1"),
        ({"phantoms": {"defocus_um": [4, 2]}}, "defocus_um is 4 to 2"),
        ({"phantoms": {"p_ctf": 2}}, "phantoms.p_ctf: got 2"),
        ({"optimiser": {"kind": "sgd"}}, "optimiser.kind: got 'sgd'"),
        ({"phantoms": {"depths": [1]}}, "phantoms.depths.0: got 1"),
    ],
)
def test_a_fault_names_its_key(given, part):
    with pytest.raises(InputError) as caught:
        TrainOptions(**tiny(**given))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_are_told_at_once():
    with pytest.raises(InputError, match=r"2 keys are wrong: .*steps.*batch"):
        TrainOptions(**tiny(steps=0, batch=0))


def test_a_file_of_three_lines_is_enough(tmp_path):
    file = tmp_path / "pair.yaml"
    file.write_text("pairs:\n  - {stack: ts.mrc, angles: ts.tlt, bin: 4, reference: denoised.mrc}\n")
    found = read_options(file)
    assert found.start_from == "default"
    assert found.learning_rate == 5e-4
    assert options().start_from is None and options().learning_rate == 2e-3


def test_files_that_hold_no_options(tmp_path):
    with pytest.raises(MissingFileError):
        read_options(tmp_path / "none.yaml")
    file = tmp_path / "a.yaml"
    for text, fault in (("a: [", FormatError), ("- 1\n", FormatError), ("!!python/object:os.system {}", FormatError)):
        file.write_text(text)
        with pytest.raises(fault):
            read_options(file)


def test_where_files_lie_and_when_checkpoints_are_written_decides_no_weight():
    a = options(pairs=[{**PAIR, "bin": 2}]).identity()
    other = {"stack": "x/a.mrc", "reference": "y/b.mrc", "bin": 2}
    assert a == options(pairs=[other], checkpoint_every=7).identity()
    assert a != options(pairs=[{**other, "bin": 1}]).identity()


@pytest.mark.parametrize("path", sorted((ROOT / "train" / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_shipped_configurations_are_sound_and_name_their_models(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = read_options(path)
    assert found.name == path.stem
    trainee = make_trainee(found, torch.float32, torch.device("cpu"))
    assert trainee.sampler(found).margin[0] > 0
    if found.start is not None:
        shipped = load_model(found.name)
        assert shipped.context.config == trainee.predictor.context.config
        assert shipped.network.config == trainee.predictor.slices.config
