"""How `tilt.com` reconstructs: angles, excluded views, the volume's size and place, in this project's frame."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import CryolitheWarning, FormatError, UnsupportedError
from cryolithe_stream.geometry import Shape2
from cryolithe_stream.read.angles import Angles, read_angles
from cryolithe_stream.read.comfile import ComFile, program_in
from cryolithe_stream.read.solution import VolumeHint
from cryolithe_stream.read.text import PathLike, parse_floats, parse_views, read_numbers
from cryolithe_stream.read.xtilt import LIMIT_PX, USUAL_THICKNESS_PX, moved_px

_USED = (
    "inputprojections imagebinned tiltfile angles thickness xaxistilt xtiltfile zfactorfile localfile fullimage "
    "subsetstart offset shift excludelist excludelist2 exclude include log weightfile width slice"
)
_NO_GEOMETRY = (  # weighting, grey values, interpolation, order of the output's axes, hardware
    "outputfile radial falloffistruesigma scale perpendicular parallel rotateby90 mode adjustorigin actionifgpufails "
    "usegpu cosinterp fbpinterp xtiltinterp densweight hamminglikefilter exactfiltersize fakesirtiterations "
    "flatfilterfraction mask title localscale minmaxmean done weightanglefile dividebyweight "
    "starthammingatlimit compfraction"
)
_KNOWN = frozenset([*_USED.split(), *_NO_GEOMETRY.split()])


@dataclass(frozen=True, slots=True, eq=False)
class TiltCom:
    """A tilt command in pixels of the raw stack, whatever the binning of the aligned one.

    `full_xy` and `subset_xy` are FULLIMAGE and SUBSETSTART; `shift_xz_px` and `axis_offset_px` as IMOD signs them.
    """

    path: Path
    projections: str
    binning: int
    com: ComFile
    excluded: frozenset[int]
    included: frozenset[int]
    thickness_px: float | None
    full_xy: tuple[float, float] | None
    subset_xy: tuple[float, float]
    tilt_offset_deg: float
    axis_offset_px: float
    shift_xz_px: tuple[float, float]

    def read_angles(self) -> Angles | None:
        """Angles of all views, from TILTFILE or ANGLES, without OFFSET; None when neither is there."""
        if (path := self.com.file("tiltfile")) is not None:
            return Angles(read_angles(path), str(path))
        if not self.com.entries.get("angles"):
            return None
        text, where = " ".join(self.com.entries["angles"]), f"{self.path}: ANGLES"
        return Angles(np.array(parse_floats(text, where, (len(text.replace(",", " ").split()),))), where)

    @property
    def raw_yx(self) -> Shape2 | None:
        """Size of the raw stack, where FULLIMAGE names it."""
        return None if self.full_xy is None else (round(self.full_xy[1]), round(self.full_xy[0]))

    @property
    def aligned_yx(self) -> Shape2 | None:
        """Unbinned size of the aligned stack when it is centred, as etomo leaves it."""
        if self.full_xy is None:
            return None
        x, y = (full - 2 * start for full, start in zip(self.full_xy, self.subset_xy, strict=True))
        return (round(y), round(x))

    def hint(self, aligned_width: float) -> VolumeHint:
        """The volume in this project's frame, over an aligned stack of `aligned_width` unbinned pixels.

        tilt.f90: column = (j − jc)·cos θ − (i − ic)·sin θ + axis, the centre of the slice at ic = centre + SHIFT Z and
        jc = centre + SHIFT X + offset of the axis. With z = −(i − ic), as `trimvol -rx` turns the volume, SHIFT Z
        keeps its sign and SHIFT X changes it. Half voxels that IMOD drops for odd sizes are not imitated.
        """
        axis = self.axis_offset_px
        if self.full_xy is not None:
            axis += self.full_xy[0] / 2 - self.subset_xy[0] - aligned_width / 2
        return VolumeHint(self.thickness_px, (self.shift_xz_px[1], -self.shift_xz_px[0] - axis), axis)


def read_tilt_com(path: PathLike, *, transforms: str = "") -> TiltCom:
    """What a `tilt.com` says of angles, views and volume (manual page of tilt); `transforms` is newst.com's file.

    Raises UnsupportedError, naming it, for every entry that this project cannot honour: tilt about the x axis, local
    alignments, z factors, parts of a volume, and entries it does not know.
    """
    com = program_in(path, "tilt")
    com.refuse_unknown(_KNOWN)
    thickness = com.floats("thickness", [], (0, 1))
    _refuse_x_tilt(com, thickness[0] if thickness else USUAL_THICKNESS_PX)
    _refuse_local(com, transforms)
    _refuse_parts(com)
    full = com.floats("fullimage", [], (0, 2))
    subset = com.floats("subsetstart", [0.0, 0.0], (2,))
    offset = com.floats("offset", [0.0], (1, 2))
    shift = com.floats("shift", [0.0], (1, 2))
    binning = int(max(1.0, com.floats("imagebinned", [1.0], (1,))[0]))
    if full and min(*full, *(size - 2 * start for size, start in zip(full, subset, strict=True))) < 1:
        raise FormatError(f"{path}: FULLIMAGE {full} and SUBSETSTART {subset} leave no image")
    if thickness and not 1 <= thickness[0] <= 2**20:
        raise FormatError(f"{path}: THICKNESS is {thickness[0]:g}, not a number of voxels")
    return TiltCom(
        path=Path(path),
        projections=Path(com.text("inputprojections") or "").name,
        binning=binning,
        com=com,
        excluded=_views(com, "excludelist", "excludelist2", "exclude"),
        included=_views(com, "include"),
        thickness_px=thickness[0] if thickness else None,
        full_xy=(full[0], full[1]) if full else None,
        subset_xy=(subset[0], subset[1]),
        tilt_offset_deg=offset[0],
        axis_offset_px=offset[1] if len(offset) == 2 else 0.0,
        shift_xz_px=(shift[0], shift[1] if len(shift) == 2 else 0.0),
    )


def _views(com: ComFile, *names: str) -> frozenset[int]:
    lists = [(name, text) for name in names for text in com.entries.get(name, [])]
    return frozenset(view for name, text in lists for view in parse_views(text, f"{com.path}: {name.upper()}"))


def _refuse_x_tilt(com: ComFile, thickness: float) -> None:
    """Refuses tilt about the x axis; IMOD's rounding noise in an .xtilt file passes, with a warning."""
    if abs(tilt := com.floats("xaxistilt", [0.0], (1,))[0]) > 1e-5:
        raise UnsupportedError(
            f"{com.path}: XAXISTILT {tilt:g} is not supported, only 0",
            fix="Set it to 0 in a copy of the file: the volume is then the same, but not level",
        )
    if (path := com.file("xtiltfile")) is not None:
        check_x_tilts(path, thickness)


def check_x_tilts(path: Path, thickness: float) -> None:
    """Raises UnsupportedError for an `.xtilt` file that moves rows by more than ¼ pixel at the faces of the volume."""
    angles = np.array([value for _, values in read_numbers(path, "x-axis tilts") for value in values])
    moved = moved_px(angles, thickness)
    if not moved <= LIMIT_PX:
        raise UnsupportedError(
            f"{path}: XTILTFILE tilts views about the x axis by up to {np.max(np.abs(angles)):.2f} degrees, which is "
            "not supported",
            fix="Solve the alignment without x-axis tilts",
        )
    if moved > 0:
        warnings.warn(
            f"{path}: tilts about the x axis are not applied; they move rows by {moved:.2f} pixels at most",
            CryolitheWarning,
            stacklevel=6,
        )


def _refuse_local(com: ComFile, transforms: str) -> None:
    local = com.text("localfile")
    if local is not None and Path(local).name != transforms:  # AreTomo 3 names the global .xf as LOCALFILE
        raise UnsupportedError(
            f"{com.path}: LOCALFILE {local} (local alignments) is not supported",
            fix="Solve a global alignment, or use a copy of the command file without that entry",
        )
    if (path := com.file("zfactorfile")) is not None:
        factors = [value for _, values in read_numbers(path, "z factors") for value in values]
        if any(factor != 0.0 for factor in factors):
            raise UnsupportedError(
                f"{com.path}: ZFACTORFILE {path.name} is not supported", fix="Solve the alignment without beam tilt"
            )


def _refuse_parts(com: ComFile) -> None:
    for name in ("width", "slice"):
        if com.text(name):
            raise UnsupportedError(
                f"{com.path}: {name.upper()} {com.text(name)} (a part of the volume) is not supported",
                fix="Take the entry out of a copy and give --roi",
            )
    for name, meaning in (("log", "projections stay linear"), ("weightfile", "views weigh the same")):
        if com.text(name):
            warnings.warn(f"{com.path}: {name.upper()} is not applied; {meaning}", CryolitheWarning, stacklevel=5)
