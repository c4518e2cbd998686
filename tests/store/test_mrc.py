from __future__ import annotations

import pickle

import mrcfile
import numpy as np
import pytest

from cryolithe_stream.errors import DamagedStoreError, InputError, MissingFileError, OutputError
from cryolithe_stream.geometry import Box
from cryolithe_stream.store import (
    MrcVolume,
    Statistics,
    downsample_shard,
    export_mrc,
    fingerprint_label,
    finish_tomogram,
    is_ours,
    mrc_fingerprint,
    mrc_labels,
    remove_output,
    write_mrc,
)
from cryolithe_stream.store.layout import split

STEP = (32, 40, 50)


def blocks(values, step=STEP, seed=3):
    boxes = list(split(Box.whole(values.shape), step))
    for i in np.random.default_rng(seed).permutation(len(boxes)):
        yield boxes[i], values[boxes[i].slices]


@pytest.mark.parametrize(("dtype", "mode"), [("float32", 2), ("float16", 12), ("int16", 1)])
@pytest.mark.parametrize("step", [STEP, (7, 70, 133), (40, 11, 133)])
def test_blocks_in_any_order_make_the_file(tmp_path, volume, dtype, mode, step):
    scaling = (0.001, 0.5) if dtype == "int16" else None
    write_mrc(
        tmp_path / "v.mrc", blocks(volume, step), shape_zyx=volume.shape, voxel_angstrom=7.84, dtype=dtype,
        scaling=scaling, origin_zyx_angstrom=(1.0, 2.0, 3.0), labels=["made of noise"],
    )  # fmt: skip
    expected = np.rint((volume.astype(np.float64) - 0.5) / 0.001) if scaling else volume
    assert dtype == "float16" or mrcfile.validate(tmp_path / "v.mrc")  # it overflows its own float16 sums
    with mrcfile.open(tmp_path / "v.mrc") as file:
        np.testing.assert_array_equal(file.data, expected.astype(dtype))
        header = file.header
        assert header.mode == mode
        assert (header.nx, header.ny, header.nz) == (133, 70, 40)
        assert (header.mx, header.my, header.mz) == (133, 70, 40)
        assert (header.mapc, header.mapr, header.maps) == (1, 2, 3)
        assert (header.ispg, header.nsymbt) == (1, 0)
        assert header.cella.x == pytest.approx(133 * 7.84)
        assert file.voxel_size.z == pytest.approx(7.84)
        assert header.origin.tolist() == (3.0, 2.0, 1.0)
        stored = file.data.astype(np.float64)
        found = [float(header[k]) for k in ("dmin", "dmax", "dmean", "rms")]
        assert found == pytest.approx([stored.min(), stored.max(), stored.mean(), stored.std()], rel=1e-5, abs=1e-6)
        assert "made of noise" in file.get_labels()
        assert ("value = stored * 0.001 + 0.5" in file.get_labels()) == (dtype == "int16")
    assert [p.name for p in tmp_path.iterdir()] == ["v.mrc"]


def test_resumed_from_another_process(tmp_path, volume):
    partial = tmp_path / ".v.mrc.partial"
    volume_file = MrcVolume.create(
        partial, shape_zyx=volume.shape, voxel_angstrom=2.0, dtype="int16", scaling=(1 / 3, -0.1)
    )
    reports = []
    for i, (box, block) in enumerate(blocks(volume)):
        writer = MrcVolume.open(partial) if i % 2 else pickle.loads(pickle.dumps(volume_file))
        assert writer == volume_file
        reports.append(writer.write_box(box, block))
    statistics = Statistics()
    for report in reports:
        statistics = statistics.merge(report.statistics)
    volume_file.finish(tmp_path / "v.mrc", statistics)
    assert not partial.exists()
    with mrcfile.open(tmp_path / "v.mrc") as file:
        np.testing.assert_array_equal(file.data, np.rint((volume.astype(np.float64) + 0.1) * 3))
        assert file.header.dmax == file.data.max()


def test_a_volume_with_missing_blocks_is_not_finished(tmp_path, volume):
    with pytest.raises(ValueError, match="another number"):
        write_mrc(tmp_path / "v.mrc", list(blocks(volume))[1:], shape_zyx=volume.shape, voxel_angstrom=1.0)
    assert not list(tmp_path.iterdir())


def test_open_refuses_what_create_did_not_make(tmp_path):
    with pytest.raises(MissingFileError):
        MrcVolume.open(tmp_path / "none.mrc")
    (tmp_path / "text.mrc").write_text("x" * 2000)
    with pytest.raises(DamagedStoreError, match="not an intact"):
        MrcVolume.open(tmp_path / "text.mrc")
    MrcVolume.create(tmp_path / "short.mrc", shape_zyx=(4, 4, 4), voxel_angstrom=1.0, dtype="float32")
    with (tmp_path / "short.mrc").open("r+b") as file:
        file.truncate(1100)
    with pytest.raises(DamagedStoreError, match="wrong size"):
        MrcVolume.open(tmp_path / "short.mrc")


def test_blocks_must_fill_boxes_inside_the_volume(tmp_path):
    file = MrcVolume.create(tmp_path / "v", shape_zyx=(4, 4, 4), voxel_angstrom=1.0, dtype="float32")
    for box in (Box((0, 0, 0), (4, 4, 5)), Box((0, 0, 0), (4, 4, 3))):
        with pytest.raises(ValueError, match="does not fill"):
            file.write_box(box, np.zeros((4, 4, 5) if box.stop[2] == 5 else (4, 4, 4), np.float32))


def test_others_files_are_never_replaced(tmp_path):
    values = np.ones((2, 3, 4), np.float32)
    options = {"shape_zyx": values.shape, "voxel_angstrom": 1.0}
    pairs = [(Box.whole(values.shape), values)]
    mrcfile.write(tmp_path / "theirs.mrc", values)
    (tmp_path / "notes.mrc").write_text("notes")
    for name in ("theirs.mrc", "notes.mrc"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(OutputError, match="exists and stays"):
            write_mrc(tmp_path / name, pairs, **options, overwrite=True)
        with pytest.raises(OutputError, match="not written by"):
            remove_output(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    write_mrc(tmp_path / "ours.mrc", pairs, **options)
    with pytest.raises(OutputError, match="exists and stays"):
        write_mrc(tmp_path / "ours.mrc", pairs, **options)
    write_mrc(tmp_path / "ours.mrc", [(pairs[0][0], values * 2)], **options, overwrite=True)
    assert mrcfile.read(tmp_path / "ours.mrc")[0, 0, 0] == 2
    with mrcfile.open(tmp_path / "ours.mrc", mode="r+") as file:
        file.add_label("trimvol: post-processed")
    assert not is_ours(tmp_path / "ours.mrc")


def test_too_many_labels(tmp_path):
    with pytest.raises(ValueError, match="labels do not fit"):
        MrcVolume.create(tmp_path / "v", shape_zyx=(1, 1, 1), voxel_angstrom=1.0, dtype="float32", labels=["x"] * 10)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int16"])
def test_export_copies_numbers_voxel_size_and_place(make_tomogram, fill, volume, tmp_path, dtype):
    scaling = (0.001, -0.25) if dtype == "int16" else None
    tomogram = make_tomogram(dtype, scaling=scaling, voxel_angstrom=10.0, origin_zyx_px=(0, 0, 8))
    fill(tomogram, volume)
    with pytest.raises(InputError, match="unfinished"):
        export_mrc(tomogram.path, tmp_path / "v.mrc")
    for index in tomogram.layout.shard_indices(1):
        downsample_shard(tomogram.path, 1, index)
    finish_tomogram(tomogram.path, {})
    for level in (0, 1):
        export_mrc(tomogram.path, tmp_path / "v.mrc", level=level, overwrite=True)
        with mrcfile.open(tmp_path / "v.mrc") as file:
            np.testing.assert_array_equal(file.data, tomogram.level(level)[:])
            assert file.voxel_size.x == pytest.approx(10.0 * 2**level)
            shift = 5.0 * level
            assert file.header.origin.tolist() == (80 + shift, shift, shift)
    with pytest.raises(OutputError, match="exists"):
        export_mrc(tomogram.path, tmp_path / "v.mrc")
    with pytest.raises(InputError, match="no level 7"):
        export_mrc(tomogram.path, tmp_path / "w.mrc", level=7)


def test_outputs_of_ours_are_removed_and_folders_of_others_stay(make_tomogram, tmp_path):
    tomogram = make_tomogram()
    remove_output(tomogram.path)
    assert not tomogram.path.exists()
    remove_output(tomogram.path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "zarr.json").write_text('{"attributes": {"multiscales": []}}')
    with pytest.raises(OutputError, match="not written by"):
        remove_output(tmp_path / "data")
    assert (tmp_path / "data" / "zarr.json").exists()


def test_the_fingerprint_is_found_again(tmp_path):
    values = np.ones((2, 3, 4), np.float32)
    pairs, options = [(Box.whole(values.shape), values)], {"shape_zyx": values.shape, "voxel_angstrom": 1.0}
    fingerprint = "0123456789abcdef" * 4
    write_mrc(tmp_path / "with.mrc", pairs, **options, labels=["a run", fingerprint_label(fingerprint)])
    write_mrc(tmp_path / "without.mrc", pairs, **options)
    mrcfile.write(tmp_path / "theirs.mrc", values)
    assert mrc_fingerprint(tmp_path / "with.mrc") == fingerprint
    assert mrc_fingerprint(tmp_path / "without.mrc") is None
    assert mrc_fingerprint(tmp_path / "theirs.mrc") is None
    (tmp_path / "short.mrc").write_bytes(b"x" * 40)
    assert mrc_labels(tmp_path / "short.mrc") == []
    assert mrc_labels(tmp_path / "with.mrc") == ["a run", f"fingerprint {fingerprint}", "cryolithe-stream tomogram"]
