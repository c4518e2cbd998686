"""How `newst.com` makes the aligned stack: transforms, size, binning, offsets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import FormatError, UnsupportedError
from cryolithe_stream.geometry import Floats, Shape2
from cryolithe_stream.read.comfile import program_in
from cryolithe_stream.read.text import PathLike
from cryolithe_stream.read.xf import read_xf

_MOVES = ("transformfile", "sizetooutputinxandy", "binbyfactor", "offsetsinxandy", "applyoffsetsfirst", "inputfile")
_GREY_ONLY = (
    "outputfile antialiasfilter linearinterpolation nearestneighbor taperatfill modetooutput bytessignedinoutput "
    "floatdensities meananddeviation contrastblackwhite scaleminandmax noclip multiplyandadd fillvalue adjustorigin "
    "stripextraheader formatofoutputfile usemdocfiles imagesarebinned numberedfromone testlimits"
)
_NEUTRAL = {"rotatebyangle": 0.0, "expandbyfactor": 1.0, "shrinkbyfactor": 1.0}
_KNOWN = frozenset([*_MOVES, *_GREY_ONLY.split(), *_NEUTRAL])


@dataclass(frozen=True, slots=True, eq=False)
class Newst:
    """Transforms in (y, x) order with the output's offsets folded in, and the aligned stack's unbinned size.

    `output_yx` is None where the command file leaves it at the size of the input.
    """

    transforms: Path
    matrix_yx: Floats
    shift_yx_px: Floats
    output_yx: Shape2 | None
    aligned_name: str
    binning: int


def read_newst(path: PathLike) -> Newst:
    """What a `newst.com` does to the raw stack, in pixels of that stack.

    Sizes are of the binned output, offsets in unbinned pixels and to the place that the image is taken from, after
    the transform unless ApplyOffsetsFirst (manual page of newstack). Raises UnsupportedError for entries that move
    images in other ways, FormatError when there are no transforms.
    """
    com = program_in(path, "newstack")
    com.refuse_unknown(_KNOWN)
    for name, neutral in _NEUTRAL.items():
        if abs(com.floats(name, [neutral], (1,))[0] - neutral) > 1e-6:
            raise UnsupportedError(f"{path}: {name.upper()} {com.text(name)} is not supported", fix="Give the .xf file")
    transforms = com.file("transformfile")
    if transforms is None:
        raise FormatError(f"{path} has no TransformFile", fix="Give the .xf file with --alignment")
    matrix, shift = read_xf(transforms)
    offsets = np.array(com.floats("offsetsinxandy", [0.0, 0.0], (2, 2 * len(matrix)))).reshape(-1, 2)[:, ::-1]
    first = "applyoffsetsfirst" in com.entries and com.text("applyoffsetsfirst") != "0"
    moved = np.einsum("tij,tj->ti", matrix, np.broadcast_to(offsets, shift.shape)) if first else offsets
    binning = _whole(path, "BinByFactor", com.floats("binbyfactor", [1.0], (1,))[0])
    size = com.floats("sizetooutputinxandy", [], (0, 2))
    output = None
    if size:
        x, y = (_whole(path, "SizeToOutputInXandY", value) for value in size)
        output = (y * binning, x * binning)
    aligned = Path(com.text("outputfile") or "").name
    return Newst(transforms, matrix, shift - moved, output, aligned, binning)


def _whole(path: PathLike, name: str, value: float) -> int:
    if value != int(value) or not 1 <= value <= 2**20:
        raise FormatError(f"{path}: {name.upper()} is {value:g}, not a whole number from 1")
    return int(value)
