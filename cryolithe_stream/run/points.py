"""A model at arbitrary real coordinates of a volume (paper, section 3.3)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.ndimage import map_coordinates

from cryolithe_stream.engines import (
    BlockReconstructor,
    ContextHead,
    ExactEngine,
    FeaturesEngine,
    Strips,
    resolve_device,
)
from cryolithe_stream.errors import InputError, UnsupportedError
from cryolithe_stream.geometry import Box, Float32s, Floats, StripLayout, VolumeFrame
from cryolithe_stream.network import Model
from cryolithe_stream.prepare import layout, prepare_projections
from cryolithe_stream.read import TiltSeries
from cryolithe_stream.store import ProjectionStore, output_faults

POINTS_AT_ONCE = 4096
TILE = 48
"""Side in voxels of the tiles in which points share their voxels."""


def reconstruct_points(
    series: TiltSeries,
    points_zyx: ArrayLike,
    model: Model,
    *,
    thickness: int | None = None,
    bin: int = 1,
    invert: bool = False,
    patch_scale: float | None = None,
    device: str = "auto",
) -> Float32s:
    """Values of a model at `points_zyx` `(point, 3)`, in voxels of the volume that `run` would make of the series.

    Coordinates are real: (0, 0, 0) is the centre of the first voxel, and points may lie between voxels and outside of
    the volume. `thickness` (voxels) places the volume's first section; without it, the alignment's or a quarter of
    the width. Gives `(point,)`, or `(point, 8)` wavelet coefficients for a wavelet model. Patches are sampled as the
    paper defines them, in float32. A model with a context network knows voxels only: points between them are
    interpolated linearly, and wavelet coefficients are refused. Raises InputError when points are not finite or not
    `(point, 3)`.
    """
    points = np.asarray(points_zyx, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError(
            f"points have shape {points.shape}", fix="Give finite numbers of shape (point, 3), order z, y, x"
        )
    shape = layout(series, bin)
    rows, width = shape.shape_tyx[1:]
    depth = thickness or (max(1, round(shape.thickness_px)) if shape.thickness_px else max(1, width // 4))
    frame = VolumeFrame((depth, rows, width), (rows, width), shape.axis_offset_px, shape.shift_zx_px)
    scale, on = patch_scale or model.patch_scale, resolve_device(device)
    if model.context is not None and model.wavelet is not None:
        raise UnsupportedError(
            f"{model.name} gives wavelet coefficients of whole volumes only", fix="Take a pixel model for single points"
        )
    with tempfile.TemporaryDirectory(prefix="cryolithe-") as folder:
        path = Path(folder) / "projections.zarr"
        with output_faults(path):
            store = prepare_projections(series, path, bin=bin, invert=invert, filter=model.filter).store
        if model.context is not None:
            features = FeaturesEngine(model.network, model.oversample or 8, scale, torch.float32, on)
            blocks = BlockReconstructor(frame, features, context=ContextHead(model.context, torch.float32, on))
            return _between_voxels(blocks, store, points)
        engine = ExactEngine(model.network, scale, torch.float32, on)
        values = np.empty((len(points), engine.n_channels), np.float32)
        order = np.argsort(points[:, 1])  # neighbours along y share rows of the projections
        for a in range(0, len(points), POINTS_AT_ONCE):
            part = order[a : a + POINTS_AT_ONCE]
            values[part] = _values(engine, frame, store, points[part])
    return values[:, 0] if engine.n_channels == 1 else values


def _between_voxels(blocks: BlockReconstructor, store: ProjectionStore, points: Floats) -> Float32s:
    """Values `(point,)`, linear between the eight voxels around each point; points of one tile share their voxels."""
    values = np.empty(len(points), np.float32)
    lower = np.floor(points).astype(np.int64)
    _, tile_of = np.unique(lower // TILE, axis=0, return_inverse=True)
    for tile in range(int(tile_of.max()) + 1 if len(points) else 0):
        (part,) = np.nonzero(tile_of.ravel() == tile)
        start, stop = lower[part].min(axis=0), lower[part].max(axis=0) + 2
        box = Box((int(start[0]), int(start[1]), int(start[2])), (int(stop[0]), int(stop[1]), int(stop[2])))
        layout = blocks.layout(box, store.tilts_deg)
        voxels = blocks.voxels(box, Strips.of(layout, store.read_strips(layout), store.tilts_deg))[0]
        values[part] = map_coordinates(voxels, (points[part] - start).T, order=1, output=np.float32)
    return values


def _values(engine: ExactEngine, frame: VolumeFrame, store: ProjectionStore, points: Floats) -> Float32s:
    """Values `(point, channel)` from the strips that hold all patches of some points."""
    nz, _, nx = frame.volume_zyx
    z = points[:, 0] - (nz - 1) / 2 + frame.shift_zx_px[0]
    x = points[:, 2] - (nx - 1) / 2 + frame.shift_zx_px[1]
    theta = np.deg2rad(store.tilts_deg)[:, None]
    columns = x * np.cos(theta) + z * np.sin(theta) + frame.axis_px
    halo_y, halo_x = engine.halo_yx_px
    first_row = int(np.floor(points[:, 1].min() - halo_y))
    first_column = np.floor(columns.min(axis=1) - halo_x).astype(np.int64)
    last_column = np.floor(columns.max(axis=1) + halo_x).astype(np.int64) + 2
    strips = StripLayout(
        first_row,
        int(np.floor(points[:, 1].max() + halo_y)) + 2 - first_row,
        first_column,
        int((last_column - first_column).max()),
    )
    data = Strips.of(strips, store.read_strips(strips), store.tilts_deg)
    values = engine.at(columns, points[:, 1], data, [list(range(len(store.tilts_deg)))])
    return np.ascontiguousarray(values[0].numpy().T)
