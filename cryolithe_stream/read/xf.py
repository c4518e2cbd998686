"""IMOD's linear transforms: `.xf` files, and the turn of a detector that they hold."""

from __future__ import annotations

import numpy as np

from cryolithe_stream.errors import FormatError
from cryolithe_stream.geometry import Floats, Shape2
from cryolithe_stream.read.text import PathLike, read_numbers


def read_xf(path: PathLike) -> tuple[Floats, Floats]:
    """Matrices `(row, 2, 2)` and shifts `(row, 2)` of an `.xf` file, both in (y, x) order.

    A line holds A11 A12 A21 A22 DX DY of X' = A(X − centre of the input) + D + centre of the output, with X = (x, y),
    in pixels of the stack that it was solved on (IMOD, "Linear transform files").
    Raises FormatError when a line has not six finite numbers, or its matrix is singular, mirrors, or scales beyond 2.
    """
    rows = read_numbers(path, "alignment")
    for number, values in rows:
        where = f"alignment {path}, line {number}"
        if len(values) != 6 or not all(abs(v) < 1e7 for v in values):
            raise FormatError(f"{where}: {len(values)} entries, an .xf line is six numbers A11 A12 A21 A22 DX DY")
        a11, a12, a21, a22 = values[:4]
        if not 0.25 < a11 * a22 - a12 * a21 < 4.0:
            raise FormatError(f"{where}: the matrix scales the area by {a11 * a22 - a12 * a21:.3g}, not about 1")
    table = np.array([values for _, values in rows], dtype=np.float64)
    return table[:, [3, 2, 1, 0]].reshape(-1, 2, 2), table[:, [5, 4]]


def upright(axis_deg: Floats, seen_yx_px: Floats) -> tuple[Floats, Floats]:
    """Matrices and shifts, as of `read_xf`, for programs that tell where the tilt axis is in each image.

    `axis_deg` `(row,)` is its angle to the y axis and `seen_yx_px` `(row, 2)` where the specimen's centre is seen from
    the image's: A = R(−axis), D = −A·seen.
    """
    cos, sin = np.cos(np.deg2rad(axis_deg)), np.sin(np.deg2rad(axis_deg))
    matrix_yx = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=1)
    return matrix_yx, -np.einsum("tij,tj->ti", matrix_yx, seen_yx_px)


def turned_shape(shape_yx: Shape2, matrix_yx: Floats) -> Shape2:
    """Size of the aligned stack: sides swapped where the transforms turn by more than 45°, as etomo and AreTomo do."""
    along, across = np.median(np.abs(matrix_yx[:, 1, 1])), np.median(np.abs(matrix_yx[:, 1, 0]))
    return shape_yx if along >= across else (shape_yx[1], shape_yx[0])
