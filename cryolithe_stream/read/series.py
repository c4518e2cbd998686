"""A tilt series: lazy frames, angles, alignment, pixel size, and where all of it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape2
from cryolithe_stream.read.images import ImageStack
from cryolithe_stream.read.solution import VolumeHint
from cryolithe_stream.read.stack import Stack
from cryolithe_stream.read.text import Json, format_views


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """How raw frames become aligned ones: X' = A(X − input's centre) + D + output's centre, centres at (n − 1)/2.

    `matrix_yx` `(tilt, 2, 2)` is A and `shift_yx_px` `(tilt, 2)` is D, in (y, x) order and pixels of the stack that
    was read; `output_yx` is the size of the aligned stack in the same pixels, the tilt axis along y.
    """

    matrix_yx: Floats
    shift_yx_px: Floats
    output_yx: Shape2


@dataclass(frozen=True, slots=True, eq=False)
class TiltSeries:
    """A tilt series `(tilt, y, x)` whose frames are read when asked for; immutable, small, picklable.

    `views` are the kept views (0-based, ascending) of `stack`; `tilts_deg` `(tilt,)` their angles, as in IMOD's
    `.tlt` with every offset added; `alignment` is None for a stack that is aligned; `dose_e_a2` `(tilt,)` what the
    specimen received before each view, where it is known; `provenance` is JSON.
    """

    stack: Stack | ImageStack
    views: Ints
    tilts_deg: Floats
    pixel_angstrom: float
    alignment: Alignment | None = None
    hint: VolumeHint = field(default_factory=VolumeHint)
    dose_e_a2: Floats | None = None
    provenance: dict[str, Json] = field(default_factory=dict)

    @property
    def n_tilts(self) -> int:
        """Views that are kept."""
        return len(self.views)

    @property
    def output_yx(self) -> Shape2:
        """Size of an aligned frame, unbinned."""
        return self.stack.shape[1:] if self.alignment is None else self.alignment.output_yx

    def frame(self, index: int) -> Float32s:
        """Raw frame of kept tilt `index` (0-based), float32 `(y, x)`.

        Raises InputError that names the view (1-based) when it is constant or holds NaN or infinity.
        """
        view = int(self.views[index])
        image = self.stack.frame(view)
        if not (fault := _fault(image)):
            return image
        text, them = f"view {view + 1} of {self.stack.path} {fault}", "it"
        bad = frozenset({view + 1, *(int(v) + 1 for v in self.views if v != view and _fault(self.stack.frame(int(v))))})
        if len(bad) > 1:
            text, them = f"{text}; {len(bad)} of {self.n_tilts} views hold nothing usable", "them"
        fix = f"Leave {them} out: --exclude {format_views(bad)}"
        raise InputError(text, fix=fix if len(bad) < self.n_tilts - 1 else "Check how the stack was made")


def _fault(image: Float32s) -> str:
    """What makes a frame unusable; empty when nothing does."""
    low, high = float(np.min(image)), float(np.max(image))
    if not (np.isfinite(low) and np.isfinite(high)):
        return f"holds {int(np.count_nonzero(~np.isfinite(image)))} pixels that are NaN or infinite"
    return f"is {low:g} everywhere" if low == high else ""
