"""Sums over shells of Fourier space, apart for what the tilts measured and for the missing wedge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Floats, Ints, Shape3

SMALLEST_SIDE = 8
VISIBLE, WEDGE = 0, 1
Spectrum = NDArray[np.complex64]


def checked_tilt_range(tilt_range_deg: tuple[float, float]) -> tuple[float, float]:
    """First and last tilt in degrees; InputError unless they rise and lie within ±90°."""
    low, high = (float(tilt) for tilt in tilt_range_deg)
    if not -90 <= low < high <= 90:
        raise InputError(f"a tilt range of {low:g} to {high:g} degrees", fix="Give the first and the last tilt: -60,60")
    return low, high


@dataclass(frozen=True, slots=True, eq=False)
class ShellSums:
    """What shells sum up, each `(region, shell)`: Re F·G*, |F|², |G|², and Fourier voxels, all in the full space.

    Regions are [visible, wedge], or [all] without a tilt range. `+` adds the sums of another box.
    """

    cross: Floats
    power_a: Floats
    power_b: Floats
    n_voxels: Ints

    def __add__(self, other: ShellSums) -> ShellSums:
        return ShellSums(
            self.cross + other.cross,
            self.power_a + other.power_a,
            self.power_b + other.power_b,
            self.n_voxels + other.n_voxels,
        )

    def of(self, region: int | None) -> ShellSums:
        """The sums `(shell,)` of one region, or of all."""
        if region is None:
            return ShellSums(
                self.cross.sum(axis=0), self.power_a.sum(axis=0), self.power_b.sum(axis=0), self.n_voxels.sum(axis=0)
            )
        return ShellSums(self.cross[region], self.power_a[region], self.power_b[region], self.n_voxels[region])

    @property
    def fsc(self) -> Floats:
        """Fourier shell correlation (paper, eq. 8): cross / √(|F|²·|G|²); NaN where there is no power."""
        power = np.sqrt(self.power_a * self.power_b)
        return np.asarray(np.divide(self.cross, power, out=np.full(power.shape, np.nan), where=power > 0))


@dataclass(frozen=True, slots=True)
class ShellGrid:
    """Shells of the discrete Fourier transform of boxes `(z, y, x)`.

    A shell is as wide as a Fourier voxel of the box's shortest side, 1/n cycles per voxel, so that each holds voxels
    in all directions; shell i, from 0, is centred at (i + 1)/n, the last at or below the Nyquist frequency.
    """

    shape_zyx: Shape3
    tilt_range_deg: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if min(self.shape_zyx) < SMALLEST_SIDE:
            raise InputError(
                f"a volume of {' x '.join(map(str, self.shape_zyx))} voxels (z, y, x) is too thin for shells",
                fix=f"Give at least {SMALLEST_SIDE} voxels along each axis",
            )

    @property
    def frequency(self) -> Floats:
        """Centres of the shells in cycles per voxel."""
        n = min(self.shape_zyx)
        return np.arange(1, n // 2 + 1) / n

    def sums(self, a: Spectrum, b: Spectrum) -> ShellSums:
        """Sums over two spectra as `rfftn` makes them, `(z, y, x // 2 + 1)`, in float64, plane by plane.

        Columns whose mirror image is not stored count twice. A tilt θ measures the frequencies (x, z) along
        (cos θ, sin θ), as `geometry.frame` projects; the tilt axis itself, x = z = 0, is measured by all.
        """
        (nz, ny, nx), n_shells = self.shape_zyx, len(self.frequency)
        n_regions, bins = (1 if self.tilt_range_deg is None else 2), n_shells + 2
        fz, fy, fx = np.fft.fftfreq(nz), np.fft.fftfreq(ny)[:, None], np.asarray(np.fft.rfftfreq(nx), np.float64)
        twice = np.full(len(fx), 2.0)
        twice[0] = 1.0
        if nx % 2 == 0:
            twice[-1] = 1.0
        weights = np.broadcast_to(twice, (ny, len(fx))).ravel()
        totals = np.zeros((4, n_regions * bins))
        for z, plane_a, plane_b in zip(fz, a, b, strict=True):
            radius = np.sqrt(z * z + (fy * fy + fx * fx))
            shell = np.minimum(np.rint(radius * min(self.shape_zyx)).astype(np.int64), n_shells + 1)
            index = (shell + bins * self._region(z, fx)).ravel()
            f, g = plane_a.astype(np.complex128), plane_b.astype(np.complex128)
            parts = (f.real * g.real + f.imag * g.imag, f.real**2 + f.imag**2, g.real**2 + g.imag**2)
            for total, part in zip(totals, parts, strict=False):
                total += np.bincount(index, part.ravel() * weights, len(total))
            totals[3] += np.bincount(index, weights, totals.shape[1])
        cross, power_a, power_b, count = totals.reshape(4, n_regions, bins)[:, :, 1:-1]
        return ShellSums(cross, power_a, power_b, np.rint(count).astype(np.int64))

    def _region(self, z: float, x: Floats) -> Ints:
        """Region of each column of a plane of the spectrum."""
        if self.tilt_range_deg is None:
            return np.zeros(len(x), np.int64)
        return np.where(measured(z, x, self.tilt_range_deg), VISIBLE, WEDGE)


def measured(z: Floats | float, x: Floats, tilt_range_deg: tuple[float, float]) -> NDArray[np.bool_]:
    """Whether frequencies (z, x), with x ≥ 0, lie on a projection between the first and the last tilt."""
    low, high = (np.deg2rad(tilt) for tilt in checked_tilt_range(tilt_range_deg))
    angle = np.arctan2(z, x)
    tolerance = 1e-9
    inside = (angle >= low - tolerance) & (angle <= high + tolerance)
    opposite = (np.abs(x) == 0) & ((-angle >= low - tolerance) & (-angle <= high + tolerance))
    return np.asarray(inside | opposite | ((np.abs(x) == 0) & (np.abs(z) == 0)))
