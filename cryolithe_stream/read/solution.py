"""What an alignment says, in the pixels that it was solved in: the common form of all alignment files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cryolithe_stream.geometry import Floats, Ints, Shape2
from cryolithe_stream.read.angles import Angles
from cryolithe_stream.read.text import Json


@dataclass(frozen=True, slots=True)
class VolumeHint:
    """The volume that an alignment proposes, in unbinned pixels of the stack and the signs of `geometry.frame`.

    `thickness_px` is None where nothing proposes one; `shift_zx_px` and `axis_offset_px` as in `VolumeFrame`.
    """

    thickness_px: float | None = None
    shift_zx_px: tuple[float, float] = (0.0, 0.0)
    axis_offset_px: float = 0.0

    def scaled(self, factor: float) -> VolumeHint:
        """The same volume in pixels `1/factor` times as large."""
        thickness = None if self.thickness_px is None else self.thickness_px * factor
        z, x = self.shift_zx_px
        return VolumeHint(thickness, (z * factor, x * factor), self.axis_offset_px * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """An alignment as its files have it: one row per aligned view, in pixels of the stack that it was solved on.

    `matrix_yx` and `shift_yx_px` are None when the stack is aligned already; `views` (0-based, of each row) is None
    when the files do not tell; `excluded` holds 1-based view numbers; `solved_yx` is the size of the raw stack and
    `output_yx` that of the aligned one, where the files name them (the output is else as
    large as the stack, turned with it). `tilt_offset_deg` is still to be
    added. `stack_binning` tells how much coarser the stack at hand is when it is the aligned one; `pixel_angstrom` is
    the stack's pixel size as the project `pixel_from` has it. `in_angstrom` says that the files hold lengths in Å, so
    that they were solved at no pixel size.
    """

    source: Path
    matrix_yx: Floats | None = None
    shift_yx_px: Floats | None = None
    angles: Angles | None = None
    views: Ints | None = None
    excluded: frozenset[int] = frozenset()
    solved_yx: Shape2 | None = None
    output_yx: Shape2 | None = None
    tilt_offset_deg: float = 0.0
    hint: VolumeHint = field(default_factory=VolumeHint)
    stack_binning: int = 1
    pixel_angstrom: float | None = None
    pixel_from: str = "etomo's .edf"
    in_angstrom: bool = False
    notes: dict[str, Json] = field(default_factory=dict)

    @property
    def pixel(self) -> tuple[float, str] | None:
        """Pixel size of the stack in Å and where it is from, where the alignment tells."""
        return None if self.pixel_angstrom is None else (self.pixel_angstrom, self.pixel_from)

    @property
    def n_rows(self) -> int | None:
        """Views that are aligned, or None when the stack is aligned already."""
        return None if self.matrix_yx is None else len(self.matrix_yx)
