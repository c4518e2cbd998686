from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from cryolithe_stream.errors import CryolitheError, OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.store import Ledger, MrcVolume, ProjectionStore, create_tomogram, write_box
from cryolithe_stream.store.atomic import write_atomically
from cryolithe_stream.store.faults import output_faults

SHAPE = (64, 64, 64)
OPTIONS = {
    "shape_zyx": SHAPE, "voxel_angstrom": 1.0, "dtype": "float32", "chunk_zyx": (32, 32, 32), "shard_zyx": (64, 64, 64),
}  # fmt: skip
NOISE = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)


def test_a_full_disk_is_one_clear_sentence(mounted):
    folder = mounted("size=600k")
    create_tomogram(folder / "t", **OPTIONS)
    ledger = Ledger.create(folder / "ledger", {}, "f")
    ledger.mark("first", {"x": 1})
    with pytest.raises(OutputError, match=r"the disk is full.*Free space there"):
        write_box(folder / "t", Box.whole(SHAPE), NOISE)
    assert not list((folder / "t" / "0").rglob("*.partial"))
    with pytest.raises(OutputError, match="the disk is full"):
        MrcVolume.create(folder / "v.mrc", shape_zyx=SHAPE, voxel_angstrom=1.0, dtype="float32")
    assert not (folder / "v.mrc").exists()
    store = ProjectionStore.create(
        folder / "p", shape_tyx=(1, 512, 512), tilts_deg=np.zeros(1), pixel_angstrom=1.0, attributes={}
    )
    with pytest.raises(OutputError, match="the disk is full"):
        store.write_frame(0, NOISE.reshape(512, 512))
    with pytest.raises(OutputError, match="the disk is full"):
        for _ in range(300):
            ledger.mark("second", {"text": "x" * 5000})
    done = ledger.done()
    ledger.close()
    with Ledger.open(folder / "ledger") as reopened:
        assert reopened.done() == done
    with pytest.raises(OutputError, match="the disk is full"):
        write_atomically(folder / "plan", bytes(800_000))
    assert not list(folder.glob(".plan*"))


def test_a_read_only_disk(mounted, tmp_path):
    folder = mounted("size=600k,ro")
    for attempt in (
        lambda: create_tomogram(folder / "t", **OPTIONS),
        lambda: Ledger.create(folder / "ledger", {}, "f"),
        lambda: MrcVolume.create(folder / "v.mrc", shape_zyx=SHAPE, voxel_angstrom=1.0, dtype="float32"),
    ):
        with pytest.raises(OutputError, match=r"cannot be written .*Read-only.*folder that you may write"):
            attempt()


def test_a_file_where_a_folder_is_meant(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"folder of .* cannot be used"):
        create_tomogram(tmp_path / "file" / "t.ome.zarr", **OPTIONS)
    with pytest.raises(OutputError):
        Ledger.create(tmp_path / "file" / "ledger", {}, "f")


def test_a_file_size_limit():
    script = """
import resource, sys, tempfile
import numpy as np
from pathlib import Path
from cryolithe_stream.errors import OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.store import create_tomogram, write_box
with tempfile.TemporaryDirectory() as folder:
    create_tomogram(Path(folder) / "t", shape_zyx=(64, 64, 64), voxel_angstrom=1.0, dtype="float32",
                    chunk_zyx=(64, 64, 64), shard_zyx=(64, 64, 64))
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    noise = np.random.default_rng(0).standard_normal((64, 64, 64)).astype(np.float32)
    try:
        write_box(Path(folder) / "t", Box.whole((64, 64, 64)), noise)
    except OutputError as error:
        print(error)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert "larger than the limit" in result.stdout, result.stderr


def test_faults_explain_themselves(tmp_path):
    with (
        pytest.raises(OutputError, match=r"cannot be written \(Input/output error\). Check the disk"),
        output_faults(tmp_path),
    ):
        raise OSError(5, os.strerror(5))
    error = OutputError("as it was", fix="Leave it")
    with pytest.raises(OutputError, match="as it was"), output_faults(tmp_path):
        raise error
    with pytest.raises(CryolitheError), output_faults(tmp_path):
        raise CryolitheError("bug")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
