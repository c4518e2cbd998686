"""Projections of a volume along the geometry of `frame`: the exact area overlap of voxels and detector pixels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape2


def project(
    volume: Float32s, tilts_deg: Floats, detector_yx: Shape2, *, periodic_x: bool = False, device: str = "cpu"
) -> Float32s:
    """Projections `(tilt, y, x)` of a volume `(z, y, x)`: sums of density along the rays, in density times voxels.

    A voxel is a unit square of the (z, x) plane whose centre is seen at u = x·cos θ + z·sin θ (`geometry.frame`);
    what a detector pixel receives is the area that the voxel and the pixel's strip share, so that mass is kept
    as long as it falls on the detector. Rows are voxel rows. The volume may be larger than the detector along y
    (by an even number of rows) and along x; it may be narrower along x. `periodic_x` repeats it along x without end.

    Raises InputError for rows that do not match and for tilts of 90° or more.
    """
    images = np.empty((len(tilts_deg), *detector_yx), np.float32)
    for image, found in zip(
        images, projections(volume, tilts_deg, detector_yx, periodic_x=periodic_x, device=device), strict=True
    ):
        image[:] = found
    return images


def projections(
    volume: Float32s, tilts_deg: Floats, detector_yx: Shape2, *, periodic_x: bool = False, device: str = "cpu"
) -> Iterator[Float32s]:
    """The images `(y, x)` of `project`, one after another; beside the volume a copy of its seen rows is held."""
    nz, ny, nx = volume.shape
    rows, width = detector_yx
    if ny < rows or (ny - rows) % 2:
        raise InputError(
            f"the volume has {ny} rows, the detector {rows}", fix="Give as many rows, or an even number more"
        )
    if np.abs(tilts_deg).max() >= 90.0:
        raise InputError("tilts reach 90° or more", fix="Keep tilts between -90° and 90°")
    trim = (ny - rows) // 2
    lines = np.ascontiguousarray(volume[:, trim : trim + rows].transpose(0, 2, 1), dtype=np.float32)
    table = torch.from_numpy(lines.reshape(nz * nx, rows)).to(device)
    for theta in np.deg2rad(tilts_deg):
        voxels, pixels, areas = strip_areas((nz, nx), width, float(theta), periodic_x=periodic_x)
        yield np.ascontiguousarray(_gather(table, voxels, pixels, areas, width).T)


def strip_areas(
    shape_zx: Shape2, width: int, theta_rad: float, *, periodic_x: bool = False
) -> tuple[Ints, Ints, Float32s]:
    """Voxel index (z·nx + x), detector pixel and shared area of every pair of them that overlaps at one tilt."""
    nz, nx = shape_zx
    cos, sin = np.cos(theta_rad), np.sin(theta_rad)
    z = np.arange(nz) - (nz - 1) / 2
    columns = np.arange(nx)
    if periodic_x:
        reach = int(np.ceil(((width + 2) / 2 + nz / 2 * abs(sin)) / cos / nx)) + 1
        columns = np.arange(-reach * nx, (reach + 1) * nx)
    x = columns - (nx - 1) / 2
    centre = (x[None, :] * cos + z[:, None] * sin + (width - 1) / 2).ravel()
    voxel = (np.arange(nz)[:, None] * nx + (columns % nx)[None, :]).ravel()
    half = (abs(cos) + abs(sin)) / 2
    seen = (centre + half > -0.5) & (centre - half < width - 0.5)
    centre, voxel = centre[seen], voxel[seen]
    first = np.floor(centre - half + 0.5).astype(np.int64)
    edges = first[:, None] + np.arange(4) - 0.5 - centre[:, None]
    share = np.diff(_shadow(edges, abs(cos), abs(sin)), axis=1)
    pixel = first[:, None] + np.arange(3)
    kept = (share > 0) & (pixel >= 0) & (pixel < width)
    return np.broadcast_to(voxel[:, None], kept.shape)[kept], pixel[kept], share[kept].astype(np.float32)


def _shadow(u: Floats, a: float, b: float) -> Floats:
    """Area of a unit square's shadow (a trapezium, the convolution of boxes of widths a and b) left of u."""
    if min(a, b) < 1e-6:
        return np.asarray(np.clip(u / max(a, b) + 0.5, 0.0, 1.0))
    ends = ((a + b) / 2, (a - b) / 2, (b - a) / 2, -(a + b) / 2)
    signs = (1.0, -1.0, -1.0, 1.0)
    area = sum(s * np.maximum(u + e, 0.0) ** 2 for s, e in zip(signs, ends, strict=True)) / (2 * a * b)
    return np.asarray(np.clip(np.asarray(area), 0.0, 1.0))


def _gather(table: torch.Tensor, voxels: Ints, pixels: Ints, areas: Float32s, width: int) -> Float32s:
    """Sums of table rows, `(pixel, row)`, each weighted by its area."""
    order = np.argsort(pixels, kind="stable")
    offsets = np.searchsorted(pixels[order], np.arange(width))
    sums = torch.nn.functional.embedding_bag(
        torch.from_numpy(voxels[order]).to(table.device),
        table,
        torch.from_numpy(offsets).to(table.device),
        mode="sum",
        per_sample_weights=torch.from_numpy(areas[order]).to(table.device),
    )
    return np.asarray(sums.cpu().numpy(), dtype=np.float32)
