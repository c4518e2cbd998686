"""Where the pixels of the aligned, binned frame lie on the raw frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Floats, Shape2

_TOLERANCE = 1e-6
_TAPER_OUTPUT_PX = 8


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """One frame's way from raw to aligned and binned: output pixel (i, j) lies at `matrix_yx @ (i, j) + start_yx`.

    Positions are pixels of the raw frame, 0 at the centre of its first pixel; `frame_yx` is the raw frame's shape
    and `output_yx` that of the result.
    """

    frame_yx: Shape2
    output_yx: Shape2
    matrix_yx: Floats
    start_yx: Floats

    @property
    def is_identity(self) -> bool:
        """Whether the result is the raw frame."""
        whole = self.frame_yx == self.output_yx and bool(np.all(np.abs(self.start_yx) < _TOLERANCE))
        return whole and _close(self.matrix_yx, np.eye(2))

    @property
    def is_lattice(self) -> bool:
        """Whether every output pixel is one raw pixel: whole shifts, quarter turns and mirrors only."""
        whole = _close(self.start_yx, np.round(self.start_yx)) and _close(self.matrix_yx, np.round(self.matrix_yx))
        return whole and _close(np.abs(self.matrix_yx) @ np.ones(2), np.ones(2)) and abs(self.determinant) > 0.5

    @property
    def shrink(self) -> int | None:
        """The whole number of raw pixels per output pixel when nothing is turned or magnified, else None."""
        step = round(float(self.matrix_yx[0, 0]))
        return step if step >= 1 and _close(self.matrix_yx, step * np.eye(2)) else None

    @property
    def determinant(self) -> float:
        """Raw pixels under one output pixel (negative for a mirror)."""
        (a, b), (c, d) = self.matrix_yx
        return float(a * d - b * c)

    @property
    def sees_frame(self) -> bool:
        """Whether some of the output (tried at 33 × 33 places) lies on the raw frame."""
        rows, columns = (np.linspace(0, n - 1, 33) for n in self.output_yx)
        at = np.stack([part.ravel() for part in np.meshgrid(rows, columns, indexing="ij")])
        place = self.matrix_yx @ at + self.start_yx[:, None]
        last = np.array(self.frame_yx)[:, None] - 1
        return bool(np.any(np.all((place >= 0) & (place <= last), axis=0)))

    @property
    def taper_px(self) -> int:
        """Raw pixels over which the frame fades to its mean outside of its border (8 output pixels)."""
        return int(np.ceil(_TAPER_OUTPUT_PX * max(1.0, abs(self.determinant) ** 0.5)))

    @property
    def border_px(self) -> int:
        """Raw pixels of border that the frame gets, wide enough that nothing wraps around."""
        return 2 * self.taper_px


def binned_shape(aligned_yx: Shape2, binning: int) -> Shape2:
    """Shape of the binned frame: n // bin along each axis, the leftover cut equally from both ends.

    Raises InputError when `binning` is not a positive number or leaves no pixel.
    """
    if binning < 1:
        raise InputError(f"a binning of {binning} is not a whole number from 1 up", fix="Give --bin 1, 2, 3, …")
    rows, columns = (n // binning for n in aligned_yx)
    if rows < 1 or columns < 1:
        raise InputError(
            f"a binning of {binning} leaves no pixel of frames of {aligned_yx[0]} × {aligned_yx[1]}",
            fix="Give a smaller --bin",
        )
    return rows, columns


def resampling(
    frame_yx: Shape2,
    aligned_yx: Shape2,
    binning: int,
    *,
    matrix_yx: Floats | None = None,
    shift_yx_px: Floats | None = None,
) -> Resampling:
    """Where a frame's aligned and binned pixels lie on it.

    The alignment maps raw to aligned positions, X' = A(X − Xc_in) + D + Xc_out with Xc = (n − 1)/2 of `frame_yx` and
    of `aligned_yx` (IMOD's `.xf`), A = `matrix_yx` and D = `shift_yx_px`; none given, none applied. Binned pixel i
    covers b aligned pixels and its centre is theirs; what n // b leaves over is cut from both ends, half a pixel each
    where it is odd, so that the centre of the frame stays its centre.

    Raises InputError for a matrix that cannot be inverted.
    """
    output_yx = binned_shape(aligned_yx, binning)
    forward = np.eye(2) if matrix_yx is None else np.asarray(matrix_yx, dtype=np.float64)
    shift = np.zeros(2) if shift_yx_px is None else np.asarray(shift_yx_px, dtype=np.float64)
    if not np.all(np.isfinite(forward)) or abs(float(np.linalg.det(forward))) < _TOLERANCE:
        raise InputError(f"the alignment matrix {forward.tolist()} cannot be inverted", fix="Check the alignment file")
    inverse = np.asarray(np.linalg.inv(forward), dtype=np.float64)
    matrix = inverse * binning
    centre_in, centre_out = ((np.array(shape) - 1) / 2 for shape in (frame_yx, output_yx))
    start: Floats = centre_in - inverse @ shift - matrix @ centre_out
    return Resampling(frame_yx, output_yx, matrix, start)


def _close(a: Floats, b: Floats) -> bool:
    return bool(np.all(np.abs(a - b) < _TOLERANCE))
