"""What a stack's header says, and whether it looks like a tilt series."""

from __future__ import annotations

import numpy as np

from cryolithe_stream.errors import CryolitheError
from cryolithe_stream.read.angles import read_angles, sibling
from cryolithe_stream.read.extended import extended_pixel_angstrom, extended_tilts_deg
from cryolithe_stream.read.header import MrcHeader, read_header
from cryolithe_stream.read.relion import Listed, is_star, read_relion
from cryolithe_stream.read.text import Json, PathLike


def describe_stack(path: PathLike) -> dict[str, Json]:
    """The header of an MRC file as JSON: shape `(view, y, x)`, mode, pixel size in Å, extended header, statistics.

    `guess` says what the file looks like, and why. A truncated file is described too. A star file of RELION-5 is
    described by the images that it lists. Raises as `read_header` and `read_relion` do.
    """
    if is_star(path):
        return _describe_star(read_relion(path))
    header = read_header(path, complete=False)
    missing = max(0, header.data_offset + header.data_bytes - header.file_bytes)
    low, high, mean, rms = (value if np.isfinite(value) else None for value in header.statistics)
    tilts = extended_tilts_deg(header)
    return {
        "path": str(header.path),
        "bytes": header.file_bytes,
        "missing_bytes": missing,
        "shape_vyx": list(header.shape),
        "mode": header.mode,
        "dtype": header.dtype.name,
        "byte_order": "big" if header.byte_order == ">" else "little",
        "stored_axes_zyx": list(header.axes),
        "pixel_xyz_angstrom": list(header.pixel_xyz_angstrom),
        "extended_pixel_angstrom": extended_pixel_angstrom(header),
        "ispg": header.ispg,
        "grid_xyz": list(header.grid_xyz),
        "extended_header": {"bytes": header.data_offset - 1024, "type": header.extended_type},
        "extended_tilts_deg": None if tilts is None else [float(tilts.min()), float(tilts.max())],
        "header_min_max_mean_rms": [low, high, mean, rms],
        "labels": list(header.labels),
        "doubts": list(header.doubts),
        "guess": _guess(header, has_tilts=tilts is not None),
    }


def _describe_star(listed: Listed) -> dict[str, Json]:
    header, tilts = listed.header, None
    if listed.solution is not None and listed.solution.angles is not None:
        tilts = listed.solution.angles.tilts_deg
    pixel, source = listed.pixel or (header.pixel_xyz_angstrom[0], "header")
    return {
        "path": str(header.path),
        "images": len(listed.stack.files) - 1,
        "shape_vyx": list(header.shape),
        "mode": header.mode,
        "dtype": header.dtype.name,
        "pixel_angstrom": pixel,
        "pixel_from": source,
        "aligned": listed.solution is not None,
        "tilts_deg": None if tilts is None else [float(tilts.min()), float(tilts.max())],
        "halves": list(listed.halves),
        "ispg": 0,
        "guess": "tilt series (a star file of RELION-5)",
    }


def _guess(header: MrcHeader, *, has_tilts: bool) -> str:
    if 401 <= header.ispg <= 630:
        return f"stack of volumes (space group {header.ispg})"
    if header.shape[0] == 1:
        return "single image"
    if has_tilts:
        return "tilt series (angles in its extended header)"
    for suffix in (".tlt", ".rawtlt"):
        if (found := sibling(header.path, suffix)) is not None and _count(str(found)) == header.shape[0]:
            return f"tilt series ({found.name} has an angle for each view)"
    if header.axes != (0, 1, 2) or header.ispg > 1:
        return "volume"
    return "tilt series or volume (its header does not tell)"


def _count(path: str) -> int:
    try:
        return len(read_angles(path))
    except CryolitheError:
        return 0
