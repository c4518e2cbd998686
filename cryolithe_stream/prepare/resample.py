"""Alignment and binning in one resampling, without aliasing.

The frame's spectrum is cut to what the output can hold, in the frame of the output and with a short roll-off; where
nothing is turned, that cut alone gives the output. Otherwise the cut spectrum becomes an image that is sampled twice
as finely as it needs, and a cubic spline reads the turned pixels off it. The spectrum is divided by the spline's own
response first, so that only the spline's replicas remain as an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape2
from cryolithe_stream.prepare.geometry import Resampling
from cryolithe_stream.prepare.surround import surrounded

_PASS, _STOP = 0.45, 0.5
_OVERSAMPLING = 2.0
_SPLINE = 3
_ROWS_AT_ONCE = 64

Spectrum = NDArray[np.complex64]
Gain = NDArray[np.float64] | NDArray[np.complex128]


def resample(frame: Float32s, to: Resampling, *, threads: int = 1) -> Float32s:
    """An aligned and binned frame, float32 `(y, x)`, of a raw one.

    Frequencies up to 0.45 cycles per output pixel (along either axis) pass, those from 0.5 on are gone. Outside of
    the raw frame stands its mean (see `surrounded`). Whole shifts and quarter turns without binning move pixels
    unchanged; where there is nothing to do, the frame itself is returned. `threads` changes the time only.
    """
    if frame.shape != to.frame_yx:
        raise ValueError(f"frame of {frame.shape}, resampling made for {to.frame_yx}")
    if to.is_identity:
        return frame
    mean = float(frame.mean(dtype=np.float64))
    if to.is_lattice:
        return _window(
            *_unturned(_around(frame, mean, to), to.matrix_yx, to.start_yx + to.border_px), to.output_yx, mean
        )
    with fft.set_workers(threads):
        image = _shrunk(frame, mean, to) if to.shrink else _turned(frame, mean, to, threads)
    image += np.float32(mean)
    return image


def resampling_bytes(to: Resampling) -> int:
    """Upper bound of the bytes that `resample` holds at once, its argument not counted, its result counted."""
    if to.is_identity:
        return 0
    output, padded = 4 * math.prod(to.output_yx), _padded_shape(to)
    around, spectrum = 4 * math.prod(padded), 8 * padded[0] * (padded[1] // 2 + 1)
    if to.is_lattice:
        return around + output
    grid_yx = _grid_shape(padded, to)
    grid, cut = 4 * math.prod(grid_yx), 4 * grid_yx[0] * min(padded[1], grid_yx[1])
    return max(around + spectrum, spectrum + cut, cut + grid, grid + output)


def _grid_shape(padded: Shape2, to: Resampling) -> Shape2:
    """Shape of the image that the cut spectrum becomes: the output's pixels, or a finer grid to interpolate on."""
    if to.shrink:
        return padded[0] // to.shrink, padded[1] // to.shrink
    highest = np.minimum(_STOP, _STOP * np.abs(np.linalg.inv(to.matrix_yx)).sum(axis=0))
    rows, columns = (
        fft.next_fast_len(math.ceil(2 * _OVERSAMPLING * f * n), real=True) for f, n in zip(highest, padded, strict=True)
    )
    return rows, columns


def _around(frame: Float32s, mean: float, to: Resampling) -> Float32s:
    """The frame with its borders."""
    return surrounded(frame, mean, border_px=to.border_px, taper_px=to.taper_px, shape_yx=_padded_shape(to))


def _padded_shape(to: Resampling) -> Shape2:
    """A shape that holds frame and borders, good for the FFT, and a multiple of the binning where that is all."""
    step = to.shrink or 1
    rows, columns = (step * fft.next_fast_len(-(-(n + 2 * to.border_px) // step), real=True) for n in to.frame_yx)
    return rows, columns


def _unturned(image: Float32s, matrix: Floats, start: Floats) -> tuple[Float32s, Ints]:
    """A view of `image` whose pixel `first + j` is pixel `matrix @ j + start` of it, and `first`."""
    whole = np.round(matrix).astype(np.int64)
    first = np.round(start).astype(np.int64)
    if whole[0, 0] == 0:
        image, whole, first = image.T, whole[::-1], first[::-1].copy()
    for axis in (0, 1):
        if whole[axis, axis] < 0:
            image = np.flip(image, axis)
            first[axis] = image.shape[axis] - 1 - first[axis]
    return image, first


def _window(image: Float32s, first: Ints, shape_yx: Shape2, fill: float) -> Float32s:
    """The window of `image` that starts at pixel `first`, with `fill` where there is no image."""
    window = np.full(shape_yx, fill, dtype=np.float32)
    stop = [min(n, int(a) + m) for a, n, m in zip(first, image.shape, shape_yx, strict=True)]
    from_, to_ = ([max(0, sign * int(a)) for a in first] for sign in (1, -1))
    size = [max(0, b - a) for a, b in zip(from_, stop, strict=True)]
    source, target = (tuple(slice(a, a + n) for a, n in zip(at, size, strict=True)) for at in (from_, to_))
    window[target] = image[source]
    return window


def _shrunk(frame: Float32s, mean: float, to: Resampling) -> Float32s:
    """The low-passed frame less its mean, at output pixels that are not turned: a crop of its spectrum, exact."""
    padded, start = _padded_shape(to), to.start_yx + to.border_px
    grid = _grid_shape(padded, to)
    step = np.array(padded) / np.array(grid)
    first = np.floor(start / step)
    rest = start - first * step
    rows, columns = (np.exp(2j * np.pi * _bins(p, q) * r / p) for p, q, r in zip(padded, grid, rest, strict=True))
    return _window(_low_passed(frame, mean, to, (rows, columns)), first.astype(np.int64), to.output_yx, 0.0)


def _turned(frame: Float32s, mean: float, to: Resampling, threads: int) -> Float32s:
    """The low-passed frame less its mean, at turned output pixels, read off a finer grid by a cubic spline."""
    padded = _padded_shape(to)
    grid = _grid_shape(padded, to)
    rows, columns = (np.sinc(_bins(p, q) / q) ** -(_SPLINE + 1) for p, q in zip(padded, grid, strict=True))
    image = _low_passed(frame, mean, to, (rows, columns))
    scale = np.array(grid) / np.array(padded)
    matrix, offset = to.matrix_yx * scale[:, None], (to.start_yx + to.border_px) * scale
    turned = np.empty(to.output_yx, dtype=np.float32)

    def fill(row: int) -> None:
        band = turned[row : row + _ROWS_AT_ONCE]
        at = offset + matrix[:, 0] * row
        ndimage.affine_transform(image, matrix, at, band.shape, band, order=_SPLINE, mode="constant", prefilter=False)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fill, range(0, len(turned), _ROWS_AT_ONCE)))
    return turned


def _low_passed(frame: Float32s, mean: float, to: Resampling, gains: tuple[Gain, Gain]) -> Float32s:
    """The frame with its borders, less its mean, without what the output cannot hold, on the grid of `_grid_shape`."""
    padded = _padded_shape(to)
    grid = _grid_shape(padded, to)
    around = _around(frame, mean, to)
    around -= np.float32(mean)
    spectrum = fft.rfft2(around)
    del around
    cut = _cut(spectrum, padded, grid, to.matrix_yx, gains)
    del spectrum
    rows = fft.ifft(cut, axis=0, overwrite_x=True)
    del cut
    image = np.empty(grid, dtype=np.float32)
    for first in range(0, grid[0], _ROWS_AT_ONCE):
        image[first : first + _ROWS_AT_ONCE] = fft.irfft(rows[first : first + _ROWS_AT_ONCE], n=grid[1], axis=1)
    return image


def _bins(padded: int, grid: int) -> Ints:
    """Signed frequencies that both lengths share, without the Nyquist one, from low to high."""
    half = (min(padded, grid) - 1) // 2
    return np.arange(-half, half + 1, dtype=np.int64)


def _cut(
    spectrum: Spectrum,
    padded: Shape2,
    grid: Shape2,
    matrix: Floats,
    gains: tuple[Gain, Gain],
) -> Spectrum:
    """What the output can hold of the padded image's half spectrum, times a gain per row and one per column.

    The result is the half spectrum of a `grid`, without those of its last columns that stay empty. `matrix` is that
    of the `Resampling`: a frequency f of the raw frame is `matrixᵀ f` in the output's.
    """
    rows, columns = (_bins(p, q) for p, q in zip(padded, grid, strict=True))
    kept = columns >= 0
    cut = np.zeros((grid[0], int(kept.sum())), dtype=np.complex64)
    fx = (columns[kept] / padded[1]).astype(np.float32)
    row_gain = gains[0] * (grid[0] * grid[1] / (padded[0] * padded[1]))
    column_gain = _single(gains[1][kept])
    for first, last in _runs(-int(rows[0])):
        at = slice(first % padded[0], first % padded[0] + last - first)
        to = slice(first % grid[0], first % grid[0] + last - first)
        fy = (np.arange(first, last) / padded[0]).astype(np.float32)[:, None]
        passed = _response(matrix[0, 0] * fy + matrix[1, 0] * fx)
        passed *= _response(matrix[0, 1] * fy + matrix[1, 1] * fx)
        np.multiply(spectrum[at, : cut.shape[1]], passed, out=cut[to])
        cut[to] *= column_gain
        cut[to] *= _single(row_gain[first - rows[0] : last - rows[0], None])
    return cut


def _runs(half: int) -> Iterator[tuple[int, int]]:
    """Half-open runs of the signed frequencies -half … half, none across zero."""
    for low, high in ((0, half + 1), (-half, 0)):
        for first in range(low, high, _ROWS_AT_ONCE):
            yield first, min(first + _ROWS_AT_ONCE, high)


def _response(frequency: Floats) -> Float32s:
    """1 up to the pass frequency, 0 from the stop frequency on, a smooth step between."""
    step: Float32s = np.abs(frequency, dtype=np.float32)
    np.subtract(_STOP, step, out=step)
    step *= 1 / (_STOP - _PASS)
    np.clip(step, 0.0, 1.0, out=step)
    step *= step * (3.0 - 2.0 * step)
    return step


def _single(gain: Gain) -> Spectrum | Float32s:
    """The gain in single precision."""
    return gain.astype(np.complex64) if np.iscomplexobj(gain) else gain.real.astype(np.float32)
