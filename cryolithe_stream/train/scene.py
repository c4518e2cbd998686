"""What examples are cut from: projections, the truth behind them and where both lie, as they are or mirrored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from cryolithe_stream.geometry import Box, Float32s, Floats, Ints, Shape3, VolumeFrame

Range = tuple[int, int]
Mirrors = tuple[bool, bool, bool]


class Scene(Protocol):
    """Projections and truth of one specimen, read by parts."""

    @property
    def frame(self) -> VolumeFrame:
        """Where the truth's voxels lie over the projections."""

    @property
    def tilts_deg(self) -> Floats:
        """Tilt angles `(tilt,)`."""

    @property
    def spread(self) -> float:
        """Standard deviation of the truth, by which the loss is measured."""

    @property
    def inside(self) -> Box:
        """The voxels that examples may be made of."""

    def projections(self, rows: Range, columns: Range) -> Float32s:
        """Detector rows and columns (half-open, on the detector) of all tilts, `(tilt, row, column)`."""

    def truth(self, box: Box) -> Float32s:
        """Voxels of a box inside the volume, `(z, y, x)`."""


def truth_around(scene: Scene, box: Box) -> Float32s:
    """The truth of a box that may leave the volume; zero outside."""
    shape = scene.frame.volume_zyx
    start = [min(max(a, 0), n) for a, n in zip(box.start, shape, strict=True)]
    stop = [min(max(b, a), n) for b, a, n in zip(box.stop, start, shape, strict=True)]
    values = np.zeros(box.shape, np.float32)
    if all(a < b for a, b in zip(start, stop, strict=True)):
        there = Box(_shape3(start), _shape3(stop))
        z, y, x = box.start
        values[there.shifted((-z, -y, -x)).slices] = scene.truth(there)
    return values


@dataclass(frozen=True, slots=True, eq=False)
class Mirrored:
    """The scene of the mirrored specimen: exact for every geometry.

    Mirrors along z and x turn θ into −θ, those along x and y flip the frames; z and x together are the turn by 180°
    about the tilt axis.
    """

    scene: Scene
    mirrors_zyx: Mirrors

    @property
    def frame(self) -> VolumeFrame:
        """The mirrored specimen's frame: the tilt axis moves to the other side with x."""
        frame, (mz, _, mx) = self.scene.frame, self.mirrors_zyx
        z, x = frame.shift_zx_px
        axis = -frame.axis_offset_px if mx else frame.axis_offset_px
        return replace(frame, axis_offset_px=axis, shift_zx_px=(-z if mz else z, -x if mx else x))

    @property
    def tilts_deg(self) -> Floats:
        """Tilt angles `(tilt,)`."""
        z, _, x = self.mirrors_zyx
        return -self.scene.tilts_deg if z != x else self.scene.tilts_deg

    @property
    def spread(self) -> float:
        """Standard deviation of the truth."""
        return self.scene.spread

    @property
    def inside(self) -> Box:
        """The voxels that examples may be made of."""
        return _mirrored_box(self.scene.inside, self.scene.frame.volume_zyx, self.mirrors_zyx)

    def projections(self, rows: Range, columns: Range) -> Float32s:
        """Detector rows and columns of all tilts, `(tilt, row, column)`."""
        _, y, x = self.mirrors_zyx
        height, width = self.scene.frame.detector_yx
        found = self.scene.projections(_flipped(rows, height, on=y), _flipped(columns, width, on=x))
        return found[:, :: -1 if y else 1, :: -1 if x else 1]

    def truth(self, box: Box) -> Float32s:
        """Voxels of a box, `(z, y, x)`."""
        found = self.scene.truth(_mirrored_box(box, self.scene.frame.volume_zyx, self.mirrors_zyx))
        z, y, x = (slice(None, None, -1 if on else 1) for on in self.mirrors_zyx)
        return found[z, y, x]


@dataclass(frozen=True, slots=True, eq=False)
class FewerTilts:
    """A scene of which only the tilts `kept` (indices) were recorded."""

    scene: Scene
    kept: Ints

    @property
    def frame(self) -> VolumeFrame:
        """Where the truth's voxels lie over the projections."""
        return self.scene.frame

    @property
    def tilts_deg(self) -> Floats:
        """Tilt angles `(tilt,)`."""
        return self.scene.tilts_deg[self.kept]

    @property
    def spread(self) -> float:
        """Standard deviation of the truth."""
        return self.scene.spread

    @property
    def inside(self) -> Box:
        """The voxels that examples may be made of."""
        return self.scene.inside

    def projections(self, rows: Range, columns: Range) -> Float32s:
        """Detector rows and columns of the kept tilts, `(tilt, row, column)`."""
        return self.scene.projections(rows, columns)[self.kept]

    def truth(self, box: Box) -> Float32s:
        """Voxels of a box, `(z, y, x)`."""
        return self.scene.truth(box)


def random_mirrors(rng: np.random.Generator) -> Mirrors:
    """Each axis mirrored or not."""
    z, y, x = rng.random(3) < 0.5
    return bool(z), bool(y), bool(x)


def random_tilt_subset(rng: np.random.Generator, tilts_deg: Floats) -> Ints:
    """Tilts of a series recorded with less: a narrower range, every second view, some views lost; at least 5 or all.

    A quarter of the draws narrows the range by up to a third, a quarter takes every second view, half of them lose
    k of n views, k uniform up to n/3.
    """
    kept = np.arange(len(tilts_deg))
    if rng.random() < 0.25:
        widest = np.abs(tilts_deg).max() * rng.uniform(2 / 3, 1)
        kept = _if_enough(kept[np.abs(tilts_deg[kept]) <= widest], kept)
    if rng.random() < 0.25:
        kept = _if_enough(kept[int(rng.integers(2)) :: 2], kept)
    if rng.random() < 0.5:
        n = len(kept)
        kept = _if_enough(np.delete(kept, rng.choice(n, int(rng.integers(0, n // 3 + 1)), replace=False)), kept)
    return kept.astype(np.int64)


def _if_enough(fewer: Ints, all_of_them: Ints) -> Ints:
    return fewer if len(fewer) >= 5 else all_of_them


def _flipped(part: Range, size: int, *, on: bool) -> Range:
    return (size - part[1], size - part[0]) if on else part


def _mirrored_box(box: Box, shape: Shape3, mirrors: Mirrors) -> Box:
    ranges = [_flipped((a, b), n, on=m) for a, b, n, m in zip(box.start, box.stop, shape, mirrors, strict=True)]
    return Box(_shape3([a for a, _ in ranges]), _shape3([b for _, b in ranges]))


def _shape3(values: list[int]) -> Shape3:
    z, y, x = values
    return (z, y, x)
