"""Binning, thickness and region of a volume, where the options leave them to the series and the model."""

from __future__ import annotations

import warnings

import numpy as np

from cryolithe_stream.errors import CryolitheWarning
from cryolithe_stream.geometry import Box, Shape3, VolumeFrame
from cryolithe_stream.network import Model
from cryolithe_stream.prepare import ProjectionLayout
from cryolithe_stream.read import TiltSeries
from cryolithe_stream.run.options import RunOptions


def binning_of(options: RunOptions, model: Model | None, series: TiltSeries) -> int:
    """The binning that was asked for, else the least that the model is meant for.

    Where thickness or region are given, in voxels, it stays 1: they would mean something else.
    """
    if options.bin is not None:
        return options.bin
    counted = options.thickness is not None or options.roi is not None
    fitting = [] if model is None or counted else _fitting(model, series)
    return fitting[0] if fitting else 1


def _fitting(model: Model, series: TiltSeries) -> list[int]:
    """How often the stack can be binned for the model's range of pixel sizes."""
    low, high = model.pixel_range_angstrom or (0.0, np.inf)
    return [b for b in range(1, 33) if low <= series.pixel_angstrom * b <= high]


def check_pixel(model: Model, series: TiltSeries, binning: int) -> None:
    """Warn when the prepared stack's pixels are outside the model's range."""
    if model.pixel_range_angstrom is None:
        return
    low, high = model.pixel_range_angstrom
    pixel = series.pixel_angstrom * binning
    if low <= pixel <= high:
        return
    fits = _fitting(model, series)
    advice = f"--bin {fits[0]} gives {series.pixel_angstrom * fits[0]:.3g} Å" if fits else "no --bin fits this stack"
    warnings.warn(
        f"the model {model.name} is meant for {low:g}–{high:g} Å/pixel, the prepared stack has {pixel:.3g}: {advice}",
        CryolitheWarning,
        stacklevel=3,
    )


def thickness_of(options: RunOptions, prepared: ProjectionLayout) -> tuple[int, str]:
    """Voxels along z, and where the number comes from, in words."""
    rows, width = prepared.shape_tyx[1:]
    if options.thickness is not None:
        thickness, origin = options.thickness, "--thickness"
    elif prepared.thickness_px is not None:
        thickness, origin = max(1, round(prepared.thickness_px)), "the alignment"
    else:
        thickness, origin = max(1, width // 4), "a quarter of the width"
    if options.grid == "public" and thickness > max(rows, width):
        warnings.warn(
            f"the public grid allows no more than {max(rows, width)} voxels of depth, {thickness} were asked for",
            CryolitheWarning,
            stacklevel=3,
        )
        thickness, origin = max(rows, width), "the public grid's limit"
    return thickness, origin


def window_of(options: RunOptions, frame: VolumeFrame, prepared: ProjectionLayout) -> Box:
    """The part of the full volume that is written: the region asked for, counted without the public grid's padding."""
    pad_y, pad_x = prepared.padding_yx
    nz, ny, nx = frame.volume_zyx
    inner: Shape3 = (nz, ny - 2 * pad_y, nx - 2 * pad_x)
    box = Box.whole(inner) if options.roi is None else Box.parse(options.roi, inner)
    return box.shifted((0, pad_y, pad_x))
