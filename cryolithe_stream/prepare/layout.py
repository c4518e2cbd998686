"""The shape of the prepared projections, known from the header alone."""

from __future__ import annotations

from dataclasses import dataclass

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Shape2, Shape3
from cryolithe_stream.prepare.geometry import Resampling, binned_shape, resampling
from cryolithe_stream.read import TiltSeries


@dataclass(frozen=True, slots=True)
class ProjectionLayout:
    """What preparation will make of a series, in pixels of the prepared projections.

    `shape_tyx` is the stored stack's, its padding included; `padding_yx` pixels of zeros stand on both sides of each
    axis. `axis_offset_px`, `shift_zx_px` and `thickness_px` (None: not known) are the alignment's, with the signs of
    `geometry.frame`.
    """

    shape_tyx: Shape3
    pixel_angstrom: float
    axis_offset_px: float
    shift_zx_px: tuple[float, float]
    thickness_px: float | None
    padding_yx: Shape2

    @property
    def unpadded_yx(self) -> Shape2:
        """Shape of the frames before they are padded."""
        (_, rows, columns), (pad_y, pad_x) = self.shape_tyx, self.padding_yx
        return rows - 2 * pad_y, columns - 2 * pad_x


def layout(series: TiltSeries, bin: int = 1, pad_to_square: bool = False) -> ProjectionLayout:
    """The shape and scale of a series' prepared projections; reads no frame.

    `pad_to_square` is the public program's way: ⌊difference/2⌋ zeros on both sides of the shorter axis, so that an
    odd difference leaves it one short. Raises InputError when the binning does not fit.
    """
    rows, columns = binned_shape(series.output_yx, bin)
    pad = abs(rows - columns) // 2 if pad_to_square else 0
    padding = (pad, 0) if rows < columns else (0, pad)
    hint = series.hint
    return ProjectionLayout(
        shape_tyx=(series.n_tilts, rows + 2 * padding[0], columns + 2 * padding[1]),
        pixel_angstrom=series.pixel_angstrom * bin,
        axis_offset_px=hint.axis_offset_px / bin,
        shift_zx_px=(hint.shift_zx_px[0] / bin, hint.shift_zx_px[1] / bin),
        thickness_px=None if hint.thickness_px is None else hint.thickness_px / bin,
        padding_yx=padding,
    )


def frame_resampling(series: TiltSeries, index: int, bin: int) -> Resampling:
    """How frame `index` of the kept tilts is aligned and binned.

    Raises InputError when the alignment moves the frame out of sight.
    """
    rows, columns = series.stack.shape[1:]
    aligned = series.alignment
    if aligned is None:
        return resampling((rows, columns), series.output_yx, bin)
    matrix, shift = aligned.matrix_yx[index], aligned.shift_yx_px[index]
    to = resampling((rows, columns), series.output_yx, bin, matrix_yx=matrix, shift_yx_px=shift)
    if not to.sees_frame:
        raise InputError(
            f"the alignment moves view {int(series.views[index]) + 1} out of sight, "
            f"by {shift[1]:.0f} pixels along x and {shift[0]:.0f} along y",
            fix="Give the pixel size that it was solved on (--alignment-pixel-size), or --exclude the view",
        )
    return to
