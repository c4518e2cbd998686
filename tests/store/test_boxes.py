from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest

from cryolithe_stream.errors import CryolitheError, FormatError
from cryolithe_stream.geometry import Box
from cryolithe_stream.store import Statistics, Written, box_checksum, open_tomogram, write_box

WRITER = """
import sys
import numpy as np
from cryolithe_stream.store import open_tomogram, write_box
path, which, values = sys.argv[1], int(sys.argv[2]), np.load(sys.argv[3])
layout = open_tomogram(path).layout
for index in layout.shard_indices(0)[which::4]:
    box = layout.shard_box(0, index)
    write_box(path, box, values[box.slices])
"""


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_floats_come_back_exactly(make_tomogram, fill, volume, dtype):
    tomogram = make_tomogram(dtype)
    reports = fill(tomogram, volume)
    np.testing.assert_array_equal(tomogram.level(0)[:], volume.astype(dtype))
    assert not sum(report.n_clipped for report in reports.values())
    assert all(box_checksum(tomogram.path, box) == report.checksum for box, report in reports.items())


def test_several_shards_in_one_box(make_tomogram, volume):
    tomogram = make_tomogram()
    box = Box((32, 0, 64), (40, 70, 133))
    report = write_box(tomogram.path, box, volume[box.slices])
    np.testing.assert_array_equal(tomogram.read_box(box), volume[box.slices])
    assert not tomogram.level(0)[:32].any()
    assert report.checksum == box_checksum(tomogram.path, box)
    assert report.statistics.count == box.n_voxels
    assert Written.from_json({"shard": 3, **report.to_json()}) == report


def test_the_checksum_is_that_of_the_stored_bytes(make_tomogram, volume):
    tomogram = make_tomogram("float16")
    box = tomogram.layout.shard_box(0, (0, 0, 0))
    report = write_box(tomogram.path, box, volume[box.slices])
    assert report.checksum == f"crc32:{zlib.crc32(volume[box.slices].astype('<f2').tobytes()):08x}"


def test_int16_rounds_clips_and_counts(make_tomogram):
    tomogram = make_tomogram("int16", scaling=(0.5, 10.0), shape_zyx=(1, 2, 4))
    values = np.array([[[10, 10.5, 9.5, 10.3], [10 - 16384, 10 - 16385, 10 + 16383.5, 1e9]]], np.float32)
    report = write_box(tomogram.path, Box.whole((1, 2, 4)), values)
    assert report.n_clipped == 2
    assert tomogram.level(0)[:].tolist() == [[[0, 1, -1, 1], [-32768, -32768, 32767, 32767]]]
    assert report.statistics.minimum == -32768


def test_float16_clips_instead_of_writing_infinity(make_tomogram):
    tomogram = make_tomogram("float16", shape_zyx=(1, 1, 3))
    report = write_box(tomogram.path, Box.whole((1, 1, 3)), np.array([[[1e6, -1e6, 65504]]], np.float32))
    assert report.n_clipped == 2
    assert tomogram.level(0)[:].tolist() == [[[65504, -65504, 65504]]]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_refused(make_tomogram, volume, dtype, bad):
    tomogram = make_tomogram(dtype)
    volume[3, 4, 5] = bad
    box = tomogram.layout.shard_box(0, (0, 0, 0))
    with pytest.raises(CryolitheError, match="1 of 4096 voxels"):
        write_box(tomogram.path, box, volume[box.slices])


@pytest.mark.parametrize(
    "box",
    [
        Box((0, 0, 0), (31, 64, 64)),
        Box((16, 0, 0), (32, 64, 64)),
        Box((0, 0, 0), (32, 64, 134)),
        Box((32, 64, 128), (40, 70, 132)),
        Box((0, 0, 64), (32, 64, 64)),
    ],
)
def test_only_whole_shards_may_be_written(make_tomogram, box):
    with pytest.raises(ValueError, match="not whole shards"):
        write_box(make_tomogram().path, box, np.zeros(box.shape, np.float32))


def test_the_block_must_fill_its_box(make_tomogram):
    with pytest.raises(ValueError, match="does not fill"):
        write_box(make_tomogram().path, Box((0, 0, 0), (32, 64, 64)), np.zeros((32, 64, 63), np.float32))


def test_a_torn_shard_is_written_again(make_tomogram, fill, volume):
    tomogram = make_tomogram()
    fill(tomogram, volume)
    files = [f for f in (tomogram.path / "0").rglob("*") if f.is_file() and f.name.isdigit()]
    assert len(files) == 2 * 2 * 3
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    box = Box((32, 64, 128), (40, 70, 133))
    with pytest.raises(FormatError, match="cannot be read"):
        box_checksum(tomogram.path, box)
    fill(tomogram, volume)
    np.testing.assert_array_equal(tomogram.level(0)[:], volume)


def test_zeros_replace_what_was_there(make_tomogram, fill, volume):
    tomogram = make_tomogram()
    fill(tomogram, volume)
    reports = fill(tomogram, np.zeros_like(volume))
    assert not tomogram.level(0)[:].any()
    box, report = next(iter(reports.items()))
    assert box_checksum(tomogram.path, box) == report.checksum


def test_processes_write_disjoint_shards_at_once(make_tomogram, volume, tmp_path):
    tomogram = make_tomogram()
    np.save(tmp_path / "v.npy", volume)
    jobs = [
        subprocess.Popen([sys.executable, "-c", WRITER, tomogram.path, str(i), tmp_path / "v.npy"]) for i in range(4)
    ]
    assert [job.wait(60) for job in jobs] == [0] * 4
    np.testing.assert_array_equal(open_tomogram(tomogram.path).level(0)[:], volume)


def test_statistics_of_parts_are_those_of_the_whole(volume):
    parts = [Statistics.of(volume[a:b] + 100) for a, b in [(0, 7), (7, 8), (8, 40)]]
    merged = Statistics()
    for part in parts:
        merged = merged.merge(part)
    values = (volume + 100).astype(np.float64)
    assert merged.count == values.size
    assert (merged.minimum, merged.maximum) == (values.min(), values.max())
    assert merged.mean == pytest.approx(values.mean(), rel=1e-12)
    assert merged.deviation == pytest.approx(values.std(), rel=1e-10)
    assert Statistics().merge(Statistics()) == Statistics()
    assert Statistics().deviation == 0.0
