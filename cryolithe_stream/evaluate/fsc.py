"""Fourier shell correlation of two volumes, whole or in tiles, and the resolutions that it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from scipy.fft import rfftn

from cryolithe_stream.errors import InputError
from cryolithe_stream.evaluate.shells import VISIBLE, WEDGE, ShellGrid, ShellSums, Spectrum, checked_tilt_range
from cryolithe_stream.evaluate.tiles import Tiles, plan_tiles
from cryolithe_stream.evaluate.volumes import Volume, VolumeLike, as_volume, common_voxel, require_same_shape
from cryolithe_stream.evaluate.window import DEFAULT_TAPER, Window, cosine_edge, windowed
from cryolithe_stream.geometry import Box, Floats, Shape3

RegionName = Literal["all", "visible", "wedge"]
Outcome = Literal["crosses", "stays above", "stays below"]
THRESHOLDS = (0.5, 0.143)
_REGIONS: dict[RegionName, int | None] = {"all": None, "visible": VISIBLE, "wedge": WEDGE}


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where a curve first falls below a threshold, from low frequencies up, linear between shells.

    `frequency` is in cycles per voxel. It is None, and so is the resolution, when the curve does not fall below the
    threshold up to the Nyquist frequency ("stays above"), or is nowhere at or above it ("stays below").
    """

    threshold: float
    outcome: Outcome
    frequency: float | None
    resolution_angstrom: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Fsc:
    """Fourier shell correlation of two volumes, shell by shell.

    `frequency` `(shell,)` in cycles per voxel; `sums` for each region, `(shell,)` each: all frequencies, and with a
    tilt range those that the tilts measured ("visible") and those that they did not ("wedge"). `n_tiles` boxes of
    `tile_zyx` voxels were transformed: one, of the volume's shape, when the volume was not cut.
    """

    voxel_angstrom: float
    frequency: Floats
    sums: Mapping[RegionName, ShellSums]
    tilt_range_deg: tuple[float, float] | None
    shape_zyx: Shape3
    tile_zyx: Shape3
    n_tiles: int
    taper: float

    @property
    def regions(self) -> tuple[RegionName, ...]:
        """The regions that were told apart."""
        return tuple(self.sums)

    @property
    def frequency_per_angstrom(self) -> Floats:
        """Centres of the shells in 1/Å."""
        return self.frequency / self.voxel_angstrom

    @property
    def resolution_angstrom(self) -> Floats:
        """Centres of the shells as resolutions in Å."""
        return self.voxel_angstrom / self.frequency

    def curve(self, region: RegionName = "all") -> Floats:
        """Correlation `(shell,)` in a region; NaN for shells in which it has no power. KeyError without the region."""
        return self.sums[region].fsc

    @property
    def wedge_power(self) -> tuple[float, float] | None:
        """Mean power of a Fourier voxel in the wedge over that in the visible region, of either volume.

        Of a plain back-projection it is small: there the wedge holds what leaked in from the visible region, which two
        halves share, so that their correlation in the wedge is high and says nothing. None without a tilt range.
        """
        if self.tilt_range_deg is None:
            return None
        wedge, visible = self.sums["wedge"], self.sums["visible"]
        voxels = max(1, int(wedge.n_voxels.sum())) / max(1, int(visible.n_voxels.sum()))
        powers = ((wedge.power_a, visible.power_a), (wedge.power_b, visible.power_b))
        a, b = (float(inside.sum() / max(outside.sum(), 1e-300) / voxels) for inside, outside in powers)
        return a, b

    def crossing(self, threshold: float, region: RegionName = "all") -> Crossing:
        """Where the curve of a region first falls below a threshold. Shells without power are passed over."""
        values = self.curve(region)
        known = np.flatnonzero(np.isfinite(values))
        f, c = self.frequency[known], values[known]
        falls = np.flatnonzero((c[:-1] >= threshold) & (c[1:] < threshold))
        if not len(falls):
            outcome: Outcome = "stays above" if len(c) and c[-1] >= threshold else "stays below"
            return Crossing(threshold, outcome, None, None)
        i = int(falls[0])
        where = float(f[i] + (f[i + 1] - f[i]) * (c[i] - threshold) / (c[i] - c[i + 1]))
        return Crossing(threshold, "crosses", where, self.voxel_angstrom / where)

    def rows(self) -> list[dict[str, float | int | None]]:
        """A row for each shell: frequency, resolution, and correlation and Fourier voxels of each region."""
        columns: dict[str, Any] = {
            "shell": np.arange(1, len(self.frequency) + 1),
            "frequency_per_voxel": self.frequency,
            "frequency_per_angstrom": self.frequency_per_angstrom,
            "resolution_angstrom": self.resolution_angstrom,
        }
        for region in self.regions:
            columns[f"fsc_{region}"] = self.curve(region)
            columns[f"voxels_{region}"] = self.sums[region].n_voxels
        lists = [[_number(value) for value in column.tolist()] for column in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON; None stands for shells without power and thresholds that are not crossed."""
        return {
            "voxel_angstrom": self.voxel_angstrom,
            "shape_zyx": list(self.shape_zyx),
            "tilt_range_deg": None if self.tilt_range_deg is None else list(self.tilt_range_deg),
            "taper": self.taper,
            "wedge_power": None if self.wedge_power is None else list(self.wedge_power),
            "tiles": {"count": self.n_tiles, "shape_zyx": list(self.tile_zyx)},
            "resolution": {
                region: {
                    f"{threshold:g}": {
                        "angstrom": (found := self.crossing(threshold, region)).resolution_angstrom,
                        "outcome": found.outcome,
                    }
                    for threshold in THRESHOLDS
                }
                for region in self.regions
            },
            "shells": self.rows(),
        }


def fourier_shell_correlation(
    a: VolumeLike,
    b: VolumeLike,
    *,
    voxel_angstrom: float | None = None,
    tilt_range_deg: tuple[float, float] | None = None,
    mask: VolumeLike | None = None,
    taper: float = DEFAULT_TAPER,
    memory_bytes: int | None = None,
) -> Fsc:
    """Correlation of two volumes `(z, y, x)` over shells of equal spatial frequency (paper, eq. 8).

    `a` and `b` are arrays or volumes on disk (`open_volume`); `voxel_angstrom` is theirs where they have one, else 1.
    With a tilt range the missing wedge, the frequencies that no tilt between the first and the last measures, is also
    told apart; the tilt axis runs along y.

    Both volumes lose their mean and are multiplied by one window: a cosine over the share `taper` of each side at its
    ends, and the mask (weights from 0 up). The transform is periodic: without a taper the steps between opposite faces,
    which both volumes have, correlate along the axes at all frequencies, and raise the curve and the resolution.
    So the default is an eighth of each side; 0 is eq. 8 to the letter, right for volumes that are periodic. A window
    smears over as many Fourier voxels as its inverse width, so neighbouring shells are not independent, and at the
    lowest frequencies some of what was measured leaks into the wedge.

    Volumes whose transforms exceed `memory_bytes` (half of what is free, at most 8 GiB) are compared in tapered tiles
    that cover them: the sums of eq. 8 run over all tiles, and shells are as wide as a tile allows.

    Raises InputError for shapes or voxel sizes that differ, NaN, constant volumes and empty masks, MemoryBudgetError.
    """
    first, second = as_volume(a, "the first volume"), as_volume(b, "the second volume")
    voxel = common_voxel(first, second)
    cosine_edge(1, taper)  # refuses shares that are none
    window = Window(taper, None if mask is None else as_volume(mask, "the mask"))
    if window.mask is not None:
        require_same_shape(first, window.mask)
    tilts = None if tilt_range_deg is None else checked_tilt_range(tilt_range_deg)
    size = voxel_angstrom or voxel or 1.0
    if not (math.isfinite(size) and size > 0):
        raise InputError(f"a voxel size of {size} angstrom", fix="Give a size above 0")
    ShellGrid(first.shape_zyx)  # refuses volumes that are too thin
    tiles = plan_tiles(first, second, window, memory_bytes=memory_bytes)
    grid = ShellGrid(tiles.tile_zyx, tilts)
    total = _summed(first, second, tiles, grid, window)
    names: tuple[RegionName, ...] = get_args(RegionName) if tilts else ("all",)
    return Fsc(
        voxel_angstrom=size,
        frequency=grid.frequency,
        sums={name: total.of(_REGIONS[name]) for name in names},
        tilt_range_deg=tilts,
        shape_zyx=first.shape_zyx,
        tile_zyx=tiles.tile_zyx,
        n_tiles=len(tiles.boxes),
        taper=taper,
    )


def _summed(a: Volume, b: Volume, tiles: Tiles, grid: ShellGrid, window: Window) -> ShellSums:
    """The shell sums of all tiles; a tile in which a volume is constant adds the power of the other alone."""
    total: ShellSums | None = None
    varies_a = varies_b = False
    for box in tiles.boxes:
        spectrum_a, spectrum_b = _spectrum(a, box, window), _spectrum(b, box, window)
        varies_a, varies_b = varies_a or spectrum_a is not None, varies_b or spectrum_b is not None
        if spectrum_a is None and spectrum_b is None:
            continue
        present = spectrum_a if spectrum_a is not None else spectrum_b
        assert present is not None
        nothing = np.broadcast_to(np.complex64(0), present.shape)
        sums = grid.sums(
            nothing if spectrum_a is None else spectrum_a,
            nothing if spectrum_b is None else spectrum_b,
        )
        total = sums if total is None else total + sums
        del spectrum_a, spectrum_b, present
    for volume, varies in ((a, varies_a), (b, varies_b)):
        if not varies:
            inside = " within the mask" if window.mask is not None else ""
            raise InputError(
                f"{volume.name} has one value everywhere{inside}: it correlates with nothing",
                fix="Name a volume with content" + (", and a mask with voxels above 0 in it" if inside else ""),
            )
    assert total is not None
    return total


def _spectrum(volume: Volume, box: Box, window: Window) -> Spectrum | None:
    values = windowed(volume, box, window)
    if values is None:
        return None
    spectrum: Spectrum = rfftn(values, overwrite_x=True)
    return spectrum


def _number(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None
