"""Small MRC files on demand, and the folder of real files that are never copied."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from etomo_support import IDENTITY, newst_com, tilt_com

MrcMaker = Callable[..., Path]


@pytest.fixture
def data() -> Path:
    return Path(__file__).parents[1] / "data" / "read"


@pytest.fixture
def shared_data(shared: Path) -> Path:
    """Real files that are too large for the repository, or may not be copied into it."""
    if not (shared / "data").is_dir():
        pytest.skip(f"no data in {shared}")
    return shared / "data"


@pytest.fixture
def make_mrc(tmp_path: Path) -> MrcMaker:
    """Writes a stack of noise; keywords set header fields, `extended` the extended header, `raw` patches bytes."""

    def make(
        name: str = "ts.mrc",
        shape: tuple[int, int, int] = (5, 6, 8),
        *,
        dtype: str = "f4",
        pixel: float | None = 2.5,
        array: np.ndarray | None = None,
        extended: np.ndarray | None = None,
        exttyp: bytes = b"",
        raw: dict[int, bytes] | None = None,
        **fields: int,
    ) -> Path:
        path = tmp_path / name
        if array is None:
            array = np.random.default_rng(7).normal(50.0, 10.0, shape).astype(dtype)
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(array)
            if extended is not None:
                mrc.set_extended_header(extended)
                mrc.header.exttyp = exttyp
            if pixel is not None:
                mrc.voxel_size = pixel
            for field, value in fields.items():
                mrc.header[field] = value
        if raw:
            content = bytearray(path.read_bytes())
            for offset, patch in raw.items():
                content[offset : offset + len(patch)] = patch
            path.write_bytes(content)
        return path

    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write_text(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write_text


@pytest.fixture
def project(make_mrc, write):
    """An etomo folder with a raw stack of 5 views of 6 × 8 pixels; keywords replace files, None leaves one out."""

    def make(name="ts.mrc", **files):
        make_mrc(name)
        texts = {"tilt": tilt_com("THICKNESS 4"), "newst": newst_com(), "edf": None, **files}
        write("ts.tlt", "-20\n-10\n0\n10\n20\n")
        stack_folder = write("ts.xf", IDENTITY * 5).parent
        for key, file_name in (("tilt", "tilt.com"), ("newst", "newst.com"), ("edf", "ts.edf")):
            if texts[key] is not None:
                write(file_name, texts[key])
        return stack_folder / name

    return make
