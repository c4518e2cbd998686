from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from cryolithe_stream.errors import DamagedStoreError, MissingFileError, OutputError
from cryolithe_stream.geometry import StripLayout
from cryolithe_stream.store import ProjectionStore, strips_bytes

SHAPE = (5, 37, 29)
TILTS = np.linspace(-40.0, 44.0, SHAPE[0])


def create(path, **options):
    return ProjectionStore.create(
        path, shape_tyx=SHAPE, tilts_deg=TILTS, pixel_angstrom=5.0, attributes={"stack": "a.mrc"}, **options
    )


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory, frames):
    store = create(tmp_path_factory.mktemp("store") / "projections.zarr", rows_per_chunk=8)
    for index in (3, 0, 4, 1, 2):
        store.write_frame(index, frames[index])
    return store.finish({"hash": "abc"})


def test_xarray_opens_it_with_dimensions_angles_and_units(store, frames):
    data = xr.open_zarr(store.path)
    assert data.projections.dims == ("tilt", "y", "x")
    np.testing.assert_array_equal(data.projections.values, frames)
    np.testing.assert_array_equal(data.projections.coords["tilt_angle"].values, TILTS)
    assert data.tilt_angle.dims == ("tilt",)
    assert data.tilt_angle.attrs["units"] == "degree"
    assert data.x.attrs["units"] == data.y.attrs["units"] == "angstrom"
    assert data.projections.attrs["units"] == "1"
    assert data.attrs["pixel_angstrom"] == 5.0
    assert data.attrs["cryolithe_stream"] == {"stack": "a.mrc", "hash": "abc"}
    assert float(data.x[1] - data.x[0]) == 5.0
    assert float(data.x[14]) == 0.0  # the centre of 29 pixels


def test_each_tilt_is_one_shard_file(store):
    files = [f for f in (store.path / "projections" / "c").rglob("*") if f.is_file()]
    assert len(files) == SHAPE[0]


@settings(max_examples=30, deadline=None)
@given(
    first_row=st.integers(-12, 50),
    n_rows=st.integers(1, 60),
    n_columns=st.integers(1, 50),
    first_column=st.lists(st.integers(-60, 60), min_size=5, max_size=5),
)
def test_strips_are_cut_from_the_zero_padded_projections(store, frames, first_row, n_rows, n_columns, first_column):
    pad = 128
    padded = np.pad(frames, ((0, 0), (pad, pad), (pad, pad)))
    strips = store.read_strips(StripLayout(first_row, n_rows, np.array(first_column), n_columns))
    assert strips.dtype == np.float32
    for tilt, column in enumerate(first_column):
        rows = slice(pad + first_row, pad + first_row + n_rows)
        np.testing.assert_array_equal(strips[tilt], padded[tilt, rows, pad + column : pad + column + n_columns])


def test_it_travels_by_pickle(store):
    copy = pickle.loads(pickle.dumps(store))
    layout = StripLayout(0, 37, np.zeros(5, np.int64), 29)
    np.testing.assert_array_equal(copy.read_strips(layout), store.read_strips(layout))
    assert copy.shape_tyx == SHAPE
    assert copy.attributes == store.attributes
    assert copy.rows_per_chunk == 8


def test_unfinished_is_refused(tmp_path, frames):
    store = create(tmp_path / "p")
    store.write_frame(0, frames[0])
    with pytest.raises(DamagedStoreError, match="unfinished"):
        ProjectionStore.open(tmp_path / "p")


def test_missing_and_foreign_are_refused(tmp_path):
    with pytest.raises(MissingFileError):
        ProjectionStore.open(tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("x")
    with pytest.raises(DamagedStoreError):
        ProjectionStore.open(tmp_path / "folder")
    with pytest.raises(OutputError, match="no projections of ours"):
        create(tmp_path / "folder")
    assert (tmp_path / "folder" / "thesis.txt").read_text() == "x"


def test_a_store_of_ours_is_replaced(tmp_path, frames):
    create(tmp_path / "p").write_frame(0, frames[0])
    store = create(tmp_path / "p").finish({})
    assert not store.read_strips(StripLayout(0, 37, np.zeros(5, np.int64), 29)).any()


def test_a_flipped_bit_is_noticed(tmp_path, frames):
    store = create(tmp_path / "p")
    for index, frame in enumerate(frames):
        store.write_frame(index, frame)
    store = store.finish({})
    file = store.path / "projections" / "c" / "2" / "0" / "0"
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedStoreError, match="damaged"):
        store.read_strips(StripLayout(0, 4, np.zeros(5, np.int64), 29))


def test_wrong_frames_and_angles_are_refused(tmp_path, frames):
    store = create(tmp_path / "p")
    with pytest.raises(ValueError, match="does not fit"):
        store.write_frame(0, frames[0][:-1])
    with pytest.raises(ValueError, match="does not fit"):
        store.write_frame(5, frames[0])
    with pytest.raises(ValueError, match="tilt angles"):
        ProjectionStore.create(tmp_path / "q", shape_tyx=SHAPE, tilts_deg=TILTS[:3], pixel_angstrom=1.0, attributes={})


def test_one_tilt_and_one_row(tmp_path):
    store = ProjectionStore.create(
        tmp_path / "p", shape_tyx=(1, 1, 3), tilts_deg=np.zeros(1), pixel_angstrom=1.0, attributes={}
    )
    store.write_frame(0, np.array([[1, 2, 3]], np.float32))
    strips = store.finish({}).read_strips(StripLayout(-1, 3, np.array([-1]), 5))
    np.testing.assert_array_equal(strips[0], [[0] * 5, [0, 1, 2, 3, 0], [0] * 5])
    assert strips_bytes(StripLayout(-1, 3, np.array([-1]), 5), width=3) > strips.nbytes
