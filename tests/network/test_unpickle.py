"""Pickles are read as data: no payload runs, hostile and damaged ones are refused, and memory stays bounded."""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import subprocess
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from network_support import CASES, GOLDEN

from cryolithe_stream.errors import ModelError
from cryolithe_stream.network.pickled import DamagedPickleError, Opaque, StoredTensor, UnsafePickleError
from cryolithe_stream.network.unpickle import read_pickle


class Payload:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


class HasState:
    """Pickles as an object whose state is set by BUILD."""

    def __init__(self, state: object) -> None:
        self.state = state

    def __reduce__(self) -> tuple[object, ...]:
        return (OrderedDict, (), self.state)


def nested(payload: object) -> dict[str, object]:
    """The payload among plain values."""
    return {
        "list": {"a": [1, (2, payload)]},
        "key": {"train_loss": [0.5], "odd": OrderedDict(x=payload)},
        "state": HasState({"x": payload}),
        "argument": Payload(OrderedDict, [("x", payload)]),
        "bare": payload,
    }


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("place", ["list", "key", "state", "argument", "bare"])
def test_a_payload_does_not_run(tmp_path: Path, protocol: int, place: str) -> None:
    marker = tmp_path / "ran"
    payloads: list[tuple[Payload, str]] = [
        (Payload(os.system, f"touch '{marker}'"), rf"carries {os.system.__module__}\.system"),
        (Payload(eval, f"open({str(marker)!r}, 'w').close()"), r"carries builtins\.eval"),
        (Payload(exec, f"open({str(marker)!r}, 'w').close()"), r"carries builtins\.exec"),
        (Payload(os.mkdir, str(marker)), rf"carries {os.mkdir.__module__}\.mkdir"),
        (Payload(getattr, "x", "upper"), r"carries builtins\.getattr"),
        (Payload(subprocess.check_call, ["touch", str(marker)]), r"carries (subprocess|commands)\.check_call"),
    ]
    for payload, message in payloads:
        data = pickle.dumps({"model_state_dict": {}, "training": nested(payload)[place]}, protocol=protocol)
        with pytest.raises(UnsafePickleError, match=message):
            read_pickle(data, "checkpoint.pth")
        assert not marker.exists()
    pickle.loads(pickle.dumps(payloads[3][0], protocol=protocol))
    assert marker.exists(), "the payload is a live one"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"(S'touch ran'\nios\nsystem\n.", r"carries os\.system"),
        (b"(cos\nsystem\nS'touch ran'\no.", r"carries os\.system"),
        (b"(i__builtin__\nset\n.", "the opcode INST"),
        (b"(c__builtin__\nset\no.", "the opcode OBJ"),
        (b"Pos.system\n.", "the opcode PERSID"),
        (b"cos\nsystem\n(S'touch ran'\ntR.", r"carries os\.system"),
        (b"\x80\x02csubprocess\nPopen\n(]X\x05\x00\x00\x00touchatR.", r"carries subprocess\.Popen"),
        (b"\x80\x02csubprocess\nPopen\n)\x81.", r"carries subprocess\.Popen"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", r"carries os\.system"),
        (b"\x80\x04\x8c\x05torch\x8c\x04load\x93.", r"carries torch\.load"),
        (b"\x80\x02\x82\x01.", "the opcode EXT1"),
        (b"\x80\x05\x97.", "the opcode NEXT_BUFFER"),
        (b"\x80\x02]]R.", "a call of something that is not a name"),
        (b"\x80\x02U\x02os)R.", "a call of something that is not a name"),
        (b"\x80\x02ccollections\nOrderedDict\n}U\x03new}sb.", "attributes for something that is not an object"),
        (b"\x80\x02ccollections\nOrderedDict\n)R)R.", "a call of something that is not a name"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR.", "a tensor without a storage"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\n(K\x01tR.", "a parameter that is not a tensor"),
        (b"\x80\x02K\x07Q.", "a reference that is not a tensor's storage"),
        (b"\x80\x02(U\x07storagecnumpy\ndtype\nU\x010U\x03cpuK\x01tQ.", "not a tensor's storage"),
        (b"\x80\x02ctorch.nn.modules.conv\nConv2d\n)\x81]b.", "without attributes"),
        (b"\x80\x02cos.path\nos.system\n.", "carries os.path.os.system"),
        (b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.", "carries collections.OrderedDict.__init__"),
    ],
)
def test_hand_made_attacks_are_refused(data: bytes, message: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafePickleError, match=message):
        read_pickle(data, "checkpoint.pth")
    assert not list(tmp_path.iterdir())


def test_no_unpickler_runs_and_nothing_that_is_named_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of the allowed names."""
    imported: list[str] = []
    real_import = builtins.__import__

    def watched(name: str, *args: Any, **kwargs: Any) -> Any:
        imported.append(name)
        return real_import(name, *args, **kwargs)

    datas = [data_pkl(case) for case in CASES]
    with monkeypatch.context() as patch:
        for name in ("Unpickler", "_Unpickler", "loads", "load"):
            patch.delattr(pickle, name)
        patch.setattr(builtins, "__import__", watched)
        contents = [read_pickle(data, "x") for data in datas]
    assert all(isinstance(content, dict) for content in contents)
    assert not {name.split(".")[0] for name in imported} & {
        "CryoLithe",
        "filter_models",
        "torch",
        "numpy",
        "collections",
    }


def data_pkl(case: str) -> bytes:
    """The pickle inside a golden checkpoint."""
    with zipfile.ZipFile(GOLDEN / case / "model" / "checkpoint.pth") as file:
        return file.read("checkpoint/data.pkl")


def test_training_state_with_numpy_objects_is_inert() -> None:
    content = read_pickle(data_pkl("wavelet-tall"), "x")
    assert isinstance(content, dict)
    assert content["train_loss"] == [Opaque("numpy._core.multiarray.scalar")] * 2
    assert content["optimizer_state_dict"]["param_groups"] == [{"lr": 1e-4, "params": [0, 1]}]
    assert isinstance(content["patch_scale"], StoredTensor)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_arrive_as_they_were(protocol: int) -> None:
    value = {
        "numbers": [0, -1, 255, 70000, 2**40, -(2**70), 1.5, float("inf"), True, False, None],
        "text": ("ä", "", "x" * 300),
        "nest": {1: [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], None: OrderedDict(a=1)},
    }
    assert read_pickle(pickle.dumps(value, protocol=protocol), "x") == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_numpy_objects_of_old_and_new_files_are_inert(protocol: int) -> None:
    value = {"a": np.float64(1.5), "b": np.arange(3), "c": {1, 2}, "d": np.float32(2), "e": bytearray(b"x"), "f": b"y"}
    data = pickle.dumps(value, protocol=protocol)
    for written in (data, data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")):
        if protocol >= 4 and written is not data:
            continue
        content = read_pickle(written, "x")
        assert isinstance(content, dict) and list(content) == list(value)


@given(cut=st.integers(0, 15000), flips=st.lists(st.tuples(st.integers(0, 15000), st.integers(0, 255)), max_size=6))
def test_a_damaged_pickle_gives_data_or_one_of_our_errors(cut: int, flips: list[tuple[int, int]]) -> None:
    data = bytearray(data_pkl("pixel-wide")[-1200:] if cut % 2 else data_pkl("wavelet-tall"))
    for place, value in flips:
        data[place % len(data)] = value
    try:
        read_pickle(bytes(data[: cut or None]), "checkpoint.pth")
    except (UnsafePickleError, DamagedPickleError) as error:
        assert "checkpoint.pth" in str(error)


@given(st.binary(max_size=60))
def test_any_bytes_give_data_or_one_of_our_errors(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        read_pickle(data + b".", "x")


def test_deep_nesting_and_shared_references_stay_cheap() -> None:
    """Nested tuples as a dict key, and a list that doubles itself by reference."""
    deep = b"\x80\x02}(" + b")" + b"\x85" * 200_000 + b"K\x01u."
    assert read_pickle(deep, "x") == {}
    doubling = b"\x80\x02]q\x00" + b"".join(
        b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60)
    )
    laughs = read_pickle(doubling + b".", "x")
    assert isinstance(laughs, list) and len(laughs) == 2
