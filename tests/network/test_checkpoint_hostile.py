"""Hostile and damaged public checkpoints: nothing is run, each is refused in words, a backup is read where it may."""

from __future__ import annotations

import os
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from network_support import CheckpointFolder
from torch import nn

from cryolithe_stream.errors import CryolitheWarning, ModelError
from cryolithe_stream.network import (
    load_checkpoint,
)
from cryolithe_stream.network.pickled import UnsafePickleError
from cryolithe_stream.network.torch_archive import TorchArchive

Classes = dict[str, type[nn.Module]]


class Payload:
    """Runs a shell command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.system, (self.command,))


@pytest.mark.parametrize("place", ["ramp", "random_state", "model_state_dict", "deep"])
def test_a_hostile_checkpoint_is_refused_and_no_backup_is_read(checkpoint: CheckpointFolder, place: str) -> None:
    marker = checkpoint.path.parent / "ran"
    checkpoint.write("checkpoint_BP.pth")
    payload = Payload(f"touch '{marker}'")
    if place == "model_state_dict":
        checkpoint.content[place]["combination_mlp.layers.0.weight"] = payload
    elif place == "deep":
        checkpoint.content["ramp"].hooks = {"a": [(payload,)]}
    else:
        checkpoint.content[place] = payload
    folder = checkpoint.write()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UnsafePickleError, match=r"checkpoint\.pth carries posix\.system.*nothing of it was run"):
            load_checkpoint(folder)
    assert not marker.exists()
    torch.load(folder / "checkpoint.pth", weights_only=False)
    assert marker.exists(), "the payload is a live one"


def test_a_hostile_backup_is_refused_too(checkpoint: CheckpointFolder) -> None:
    checkpoint.content["ramp"] = Payload("exit 1")
    folder = checkpoint.write("checkpoint_BP.pth")
    with pytest.warns(CryolitheWarning), pytest.raises(UnsafePickleError, match=r"checkpoint_BP\.pth carries"):
        load_checkpoint(folder)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "record"])
def test_backup_of_a_missing_or_damaged_checkpoint(checkpoint: CheckpointFolder, damage: str) -> None:
    good = checkpoint.write("checkpoint_BP.pth") / "checkpoint_BP.pth"
    bad, data = good.with_name("checkpoint.pth"), bytearray(good.read_bytes())
    if damage == "record":
        at = data.index(b"data/0") + 4000
        data[at : at + 8] = b"\x01" * 8
    content = {"empty": b"", "cut": bytes(data[: len(data) // 2]), "text": b"version https://git-lfs", "record": data}
    if damage != "missing":
        bad.write_bytes(content[damage])
    with pytest.warns(CryolitheWarning, match=r"checkpoint_BP\.pth is used in its place"):
        model = load_checkpoint(good.parent)
    assert model.card["file"] == "checkpoint_BP.pth"
    good.unlink()
    with pytest.raises(ModelError, match=r"checkpoint\.pth"):
        load_checkpoint(bad.parent)


def test_files_of_old_torch_are_refused_with_the_remedy(checkpoint: CheckpointFolder) -> None:
    checkpoint.write("checkpoint_BP.pth")
    checkpoint.content = {"model_state_dict": {"weight": torch.zeros(2)}}
    folder = checkpoint.write(_use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"before version 1\.6.*write it again with torch\.save"):
        load_checkpoint(folder)


def rewritten(folder: Path, change: str) -> Path:
    """The checkpoint with its zip written again: compressed, or with a record missing or too long."""
    path = folder / "checkpoint.pth"
    with zipfile.ZipFile(path) as file:
        records = {name: file.read(name) for name in file.namelist()}
    prefix = next(iter(records)).split("/")[0]
    if change == "lacking":
        del records[f"{prefix}/data/0"]
    elif change == "long":
        records[f"{prefix}/data/0"] += b"1234"
    elif change == "short":
        records[f"{prefix}/data/0"] = b"1234"
    elif change == "big-endian":
        records[f"{prefix}/byteorder"] = b"big"
    elif change == "two":
        records["other/data.pkl"] = b"N."
    kind = zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, data in records.items():
            file.writestr(name, data)
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("compressed", "a compressed record"),
        ("lacking", "lacks its record data/0"),
        ("long", "the limit is"),
        ("short", "has 4 bytes, expected"),
        ("big-endian", "big-endian"),
        ("two", "2 files named data.pkl"),
    ],
)
def test_archives_that_torch_never_writes(checkpoint: CheckpointFolder, change: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load_checkpoint(rewritten(checkpoint.write(), change))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ("(K\x00(K\x63t(K\x01tt", "its storage has 4 elements"),
        ("(K\x02(K\x03t(K\x01tt", "its storage has 4 elements"),
        ("(K\x00(K\x05t(K\x00tt", "its storage has 4 elements"),
        ("(K\x00(K\x02K\x02t(K\x01tt", "its storage has 4 elements"),
        ("(J\xff\xff\xff\xff(K\x02t(K\x01tt", "a tensor without a storage"),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(tmp_path: Path, tensor: str, message: str) -> None:
    offset, rest = tensor[1:].split("(", 1)
    storage = "(U\x07storagectorch\nFloatStorage\nU\x010U\x03cpuK\x04tQ"
    data = f"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n({storage}{offset}({rest[:-1]}tR.".encode("latin-1")
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", data)
        file.writestr("x/data/0", np.arange(4, dtype="<f4").tobytes())
    with pytest.raises(ModelError, match=message), TorchArchive(path) as archive:
        archive.tensor(archive.root, "weight")


@pytest.mark.parametrize("key", ["../../secret", "0/../1", "", "/etc/passwd"])
def test_records_with_odd_names_are_refused(tmp_path: Path, key: str) -> None:
    storage = f"(U\x07storagectorch\nFloatStorage\nU{chr(len(key))}{key}U\x03cpuK\x01tQ"
    data = f"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n({storage}K\x00(K\x01t(K\x01ttR.".encode("latin-1")
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("x/data.pkl", data)
    with pytest.raises(ModelError, match="which is not a number"), TorchArchive(path) as archive:
        archive.tensor(archive.root, "weight")


def test_a_folder_may_be_read_only_and_is_not_written_to(golden_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(golden_model, tmp_path / "m"))
    folder.chmod(0o500)
    load_checkpoint(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["checkpoint.pth", "config.json"]
    folder.chmod(0o700)
