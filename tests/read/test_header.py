"""MRC headers: modes, byte orders, axes, extended headers, and everything that is no stack."""

from __future__ import annotations

import gzip
import pickle
import struct
import tempfile
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import CryolitheError, CryolitheWarning, FormatError, MissingFileError, UnsupportedError
from cryolithe_stream.read import Stack, describe_stack, looks_like_stack
from cryolithe_stream.read.extended import extended_pixel_angstrom, extended_tilts_deg
from cryolithe_stream.read.header import read_header


@pytest.mark.parametrize(("dtype", "mode"), [("i1", 0), ("i2", 1), ("f4", 2), ("u2", 6), ("f2", 12)])
def test_every_mode_reads_as_float32(make_mrc, dtype, mode):
    path = make_mrc(dtype=dtype)
    header = read_header(path)
    assert (header.mode, header.shape) == (mode, (5, 6, 8))
    stack = Stack.of(header)
    for view in range(5):
        frame = stack.frame(view)
        assert frame.dtype == np.float32
        np.testing.assert_array_equal(frame, mrcfile.read(path)[view].astype(np.float32))


def test_bytes_are_signed_unless_imods_flag_says_otherwise(make_mrc):
    array = np.array([[[-1, 5]], [[3, 4]]], dtype=np.int8)
    imod = struct.pack("<i", 1146047817)
    first = {
        "plain": make_mrc("plain.mrc", array=array),
        "signed": make_mrc("signed.mrc", array=array, raw={152: imod, 156: struct.pack("<i", 1)}),
        "unsigned": make_mrc("unsigned.mrc", array=array, raw={152: imod, 156: struct.pack("<i", 0)}),
    }
    values = {name: Stack.of(read_header(path)).frame(0)[0, 0] for name, path in first.items()}
    assert values == {"plain": -1.0, "signed": -1.0, "unsigned": 255.0}


def test_big_endian_files(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(">f4")
    with mrcfile.new(tmp_path / "big.mrc") as mrc:
        mrc.set_data(array)
        mrc.voxel_size = 3.0
    header = read_header(tmp_path / "big.mrc")
    assert header.byte_order == ">"
    assert header.pixel_xyz_angstrom == (3.0, 3.0, 3.0)
    np.testing.assert_array_equal(Stack.of(header).frame(2), array[2].astype(np.float32))


@pytest.mark.parametrize("mapped", [(1, 2, 3), (2, 1, 3), (3, 1, 2), (2, 3, 1), (3, 2, 1), (1, 3, 2)])
def test_axes_are_honoured(make_mrc, mapped):
    """The voxel (z, y, x) is the same whatever the order on disk."""
    zyx = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    place = {1: 2, 2: 1, 3: 0}  # axis of zyx that x, y, z are
    stored = np.ascontiguousarray(zyx.transpose([place[axis] for axis in mapped[::-1]]))
    path = make_mrc(array=stored, mapc=mapped[0], mapr=mapped[1], maps=mapped[2])
    stack = Stack.of(read_header(path))
    assert stack.shape == (2, 3, 4)
    np.testing.assert_array_equal(np.stack([stack.frame(z) for z in range(2)]), zyx)


def test_axes_that_are_none_are_refused_and_unset_ones_are_usual(make_mrc):
    assert read_header(make_mrc(mapc=0, mapr=0, maps=0)).axes == (0, 1, 2)
    with pytest.raises(FormatError, match="mapc, mapr, maps"):
        read_header(make_mrc(mapc=1, mapr=1, maps=3))


def test_a_missing_map_id_and_stamp_are_read_with_a_warning(make_mrc):
    path = make_mrc(raw={208: bytes(8)})
    with pytest.warns(CryolitheWarning) as caught:
        assert read_header(path).shape == (5, 6, 8)
    assert [("map id" in str(w.message), "stamp" in str(w.message)) for w in caught] == [(True, False), (False, True)]


def test_a_wrong_machine_stamp_is_seen_through(make_mrc):
    path = make_mrc(raw={212: b"\x11\x11\0\0"})
    with pytest.warns(CryolitheWarning, match="wrong byte order"):
        assert read_header(path).shape == (5, 6, 8)


def test_bytes_after_the_data_are_told(make_mrc):
    path = make_mrc()
    path.write_bytes(path.read_bytes() + b"abc")
    with pytest.warns(CryolitheWarning, match="3 bytes follow"):
        read_header(path)


def test_a_truncated_stack_is_refused_and_described(make_mrc):
    path = make_mrc()
    path.write_bytes(path.read_bytes()[: -6 * 8 * 4 - 1])
    with pytest.raises(FormatError, match=r"truncated.*3 of 5 views are whole"):
        read_header(path)
    assert describe_stack(path)["missing_bytes"] == 6 * 8 * 4 + 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"short", "holds 5 bytes"),
        (b"text, not an image\n" * 100, "is not an MRC file"),
        (b"II*\0" + bytes(2000), "is a TIFF file"),
        (b"\x89HDF\r\n" + bytes(2000), "is a HDF5 file"),
        (bytes(4096), "is not an MRC file"),
    ],
)
def test_what_is_no_mrc_file(tmp_path, content, message):
    path = tmp_path / "ts.mrc"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=message):
        read_header(path)
    assert not looks_like_stack(path)


@pytest.mark.parametrize(("mode", "name"), [(3, "complex 16-bit"), (4, "complex floats"), (16, "RGB"), (101, "4-bit")])
def test_other_modes_are_refused_by_name(make_mrc, mode, name):
    with pytest.raises(UnsupportedError, match=name):
        read_header(make_mrc(mode=mode))


def test_looks_like_stack(make_mrc, tmp_path):
    assert looks_like_stack(make_mrc())
    assert not looks_like_stack(tmp_path)
    assert not looks_like_stack(tmp_path / "no")


@given(head=st.binary(min_size=0, max_size=1100), tail=st.integers(0, 5000))
def test_random_bytes_raise_nothing_but_our_errors(head, tail):
    _read_random(head + bytes(tail))


@given(data=st.data())
def test_a_damaged_header_raises_nothing_but_our_errors(data):
    content = bytearray(1024 + 4 * 4 * 4 * 3)
    content[:16] = struct.pack("<4i", 4, 4, 3, 2)
    content[208:216] = b"MAP DD\0\0"
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 216))
        patch = data.draw(st.binary(min_size=1, max_size=4))
        content[at : at + len(patch)] = patch
    _read_random(bytes(content))


def _read_random(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", CryolitheWarning)
        path = Path(folder) / "ts.mrc"
        path.write_bytes(content)
        looks_like_stack(path)
        try:
            describe_stack(path)
            Stack.of(read_header(path)).frame(0)
        except CryolitheError as error:
            assert error.exit_code == 2


def test_a_stack_is_small_and_picklable_and_says_when_its_file_went(make_mrc):
    path = make_mrc()
    stack = Stack.of(read_header(path))
    assert len(pickle.dumps(stack)) < 2000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stack)).frame(1), stack.frame(1))
    path.unlink()
    with pytest.raises(MissingFileError, match="view 2"):
        stack.frame(1)


def test_only_one_frame_of_a_huge_stack_is_read(tmp_path):
    """A sparse file of 64 GB opens at once and costs one frame."""
    path = tmp_path / "huge.mrc"
    head = bytearray(1024)
    head[:16] = struct.pack("<4i", 4000, 4000, 1000, 2)
    head[208:216] = b"MAP DD\0\0"
    with path.open("wb") as stream:
        stream.write(head)
        stream.truncate(1024 + 4 * 4000 * 4000 * 1000)
    assert not Stack.of(read_header(path)).frame(999)[:100, :100].any()


def test_angles_and_pixel_of_old_fei_headers(make_mrc):
    records = np.zeros((1024, 32), dtype="<f4")
    records[:5, 0] = [-40, -20, 0, 20, 40]
    records[:5, 11] = 3.36e-9
    header = read_header(make_mrc(extended=records.view("V128").ravel(), raw={128: struct.pack("<2h", 0, 32)}))
    assert header.data_offset == 1024 + 131072
    np.testing.assert_array_equal(extended_tilts_deg(header), [-40, -20, 0, 20, 40])
    assert extended_pixel_angstrom(header) == pytest.approx(33.6)


def test_angles_of_serialem_headers(make_mrc):
    tilts = np.array([0.0, 3.0, -3.0, 6.01, -6.0])
    record = np.zeros(5, dtype=[("tilt", "<i2"), ("piece", "<i2", 3), ("mag", "<i2")])
    record["tilt"] = np.round(tilts * 100)
    words = struct.pack("<2h", 10, 1 | 2 | 8)
    header = read_header(make_mrc(extended=record, exttyp=b"SERI", raw={128: words}))
    np.testing.assert_allclose(extended_tilts_deg(header), tilts)
    assert extended_pixel_angstrom(header) is None


def test_useless_extended_headers_give_nothing(make_mrc):
    same = np.full((5, 32), 10.0, dtype="<f4")
    for words in ((0, 32), (14, 61), (-3, 40), (0, 4000), (0, 0)):
        header = read_header(make_mrc(extended=same.view("V128").ravel(), raw={128: struct.pack("<2h", *words)}))
        assert extended_tilts_deg(header) is None


def test_fei1_header_of_a_real_file(data, tmp_path):
    path = tmp_path / "fei.mrc"
    path.write_bytes(gzip.decompress((data / "mrcfile-1.5.4" / "DERIVED_fei-extended_crop.mrc.gz").read_bytes()))
    header = read_header(path)
    assert header.extended_type == "FEI1"
    assert extended_pixel_angstrom(header) == pytest.approx(header.pixel_xyz_angstrom[0], rel=1e-4)
    assert describe_stack(path)["guess"] == "single image"


def test_description_of_a_real_volume(data):
    facts = describe_stack(data / "mrcfile-1.5.4" / "EMD-3197.map")
    assert facts["shape_vyx"] == [20, 20, 20]
    assert facts["pixel_xyz_angstrom"] == pytest.approx([11.4] * 3)
    assert (facts["ispg"], facts["mode"], facts["dtype"]) == (1, 2, "float32")
    assert facts["guess"] == "tilt series or volume (its header does not tell)"


def test_a_volume_of_a_crystal_with_turned_axes(shared_data):
    facts = describe_stack(shared_data / "mrc-headers" / "EMD-3001.map")
    assert facts["stored_axes_zyx"] == [2, 0, 1]
    assert facts["shape_vyx"] == [73, 25, 43]
    assert facts["guess"] == "volume"
