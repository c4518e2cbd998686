"""Projections by ASTRA: an independent program."""

from __future__ import annotations

import numpy as np
import pytest

astra = pytest.importorskip("astra", reason="ASTRA is the independent projector")


def project_with_astra(volume: np.ndarray, width: int, tilts_deg: np.ndarray) -> np.ndarray:
    """Projections `(tilt, y, x)` of a volume `(z, y, x)`, slice by slice along the tilt axis.

    ASTRA's parallel geometry has x to the right and y up, u = x·cos θ + y·sin θ; image rows run down. With z as y,
    the slice is handed over with its highest z in its first row.
    """
    nz, ny, nx = volume.shape
    volume_geometry = astra.create_vol_geom(nz, nx)
    geometry = astra.create_proj_geom("parallel", 1.0, width, np.deg2rad(tilts_deg))
    projector = astra.create_projector("linear", geometry, volume_geometry)
    out = np.empty((len(tilts_deg), ny, width), np.float32)
    for j in range(ny):
        identifier, sinogram = astra.create_sino(np.ascontiguousarray(volume[::-1, j]), projector)
        out[:, j] = sinogram
        astra.data2d.delete(identifier)
    astra.projector.delete(projector)
    return out
