"""RELION-5: a tilt series as its star file has it, images of one view each with their alignment."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from cryolithe_stream.errors import CryolitheError, CryolitheWarning, FormatError, InputError, UnsupportedError
from cryolithe_stream.geometry import Floats, Shape2
from cryolithe_stream.read.angles import Angles
from cryolithe_stream.read.header import MrcHeader
from cryolithe_stream.read.images import ImageStack, open_images
from cryolithe_stream.read.solution import Solution, VolumeHint
from cryolithe_stream.read.star import StarTable, read_star
from cryolithe_stream.read.text import Json, PathLike, existing_file
from cryolithe_stream.read.xf import upright
from cryolithe_stream.read.xtilt import LIMIT_PX, USUAL_THICKNESS_PX, moved_px

Half = Literal["odd", "even"]
SUFFIX = ".star"
_IMAGES = {None: "rlnMicrographName", "odd": "rlnMicrographNameOdd", "even": "rlnMicrographNameEven"}
_ALIGNMENT = ("rlnTomoYTilt", "rlnTomoZRot", "rlnTomoXShiftAngst", "rlnTomoYShiftAngst")
_NOMINAL = "rlnTomoNominalStageTiltAngle"
_TABLES = (  # what jobs of RELION-5 call the table of their tilt series
    "tomograms.star",
    "aligned_tilt_series.star",
    "selected_tilt_series.star",
    "tilt_series_ctf.star",
    "corrected_tilt_series.star",
    "tilt_series.star",
)


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A series that a star file lists, its views in order of their tilt.

    `header` describes the images as one stack. `solution` is None when the file aligns nothing. `pixel` is the pixel
    size in Å that the job's table names, and where. `dose_e_a2` `(view,)` is what the specimen received before;
    `halves` are those that the file names.
    """

    header: MrcHeader
    stack: ImageStack
    solution: Solution | None
    nominal: Angles | None
    dose_e_a2: Floats | None
    pixel: tuple[float, str] | None
    halves: tuple[Half, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What the table of the job says of a series: empty where there is none."""

    source: str = ""
    pixel_angstrom: float | None = None
    thickness_px: float | None = None
    deforms: bool = False
    hand: float | None = None


def is_star(path: PathLike) -> bool:
    """Whether a path has the name of a star file."""
    return Path(path).suffix == SUFFIX


def read_relion(
    path: PathLike, *, half: Half | None = None, pixel_angstrom: float | None = None, aligned: bool = True
) -> Listed:
    """The series in `TYPE/jobNNN/tilt_series/NAME.star` of a RELION-5 project, or its images of odd or even frames.

    The table in the job's folder tells pixel size and volume. Without it the images' headers do, then `pixel_angstrom`.
    RELION's hand says which way defocus grows (`Tomogram::getCtf`), nothing of where voxels lie: it is noted only.
    Without `aligned` its alignment is not looked at.
    Raises FormatError, InputError and MissingFileError for what cannot be used, UnsupportedError for tilts about the
    x axis that matter and for the projection matrices of RELION-4.
    """
    path = existing_file(path, "star file")
    table = _tilt_series(path)
    job = _job(path, table.name)
    order = _order(table)
    names = table.texts(_IMAGES[half])
    if half is not None:
        _check_independent(table, half)
    stack, header = open_images(path, [names[row] for row in order])
    own = header.pixel_xyz_angstrom[0]
    placeholder = abs(own - 1.0) < 1e-6
    pixel = job.pixel_angstrom or (pixel_angstrom if placeholder else None) or own or pixel_angstrom
    if job.pixel_angstrom and own and not placeholder and abs(own - job.pixel_angstrom) > 0.01 * own:
        _warn(f"{job.source} has pixels of {job.pixel_angstrom:.4g} angstrom, which holds; the images say {own:.4g}")
    if job.deforms:
        _warn(f"{job.source}: deformations of the images are not applied, only the alignment of whole images")
    return Listed(
        header,
        stack,
        _solution(table, order, job, pixel, header.shape[1:]) if aligned else None,
        Angles(table.numbers(_NOMINAL)[order], f"{path} (nominal)") if _NOMINAL in table else None,
        table.numbers("rlnMicrographPreExposure")[order] if "rlnMicrographPreExposure" in table else None,
        (job.pixel_angstrom, job.source) if job.pixel_angstrom else None,
        tuple(name for name in get_args(Half) if _IMAGES[name] in table),
    )


def _tilt_series(path: Path) -> StarTable:
    """The table of images in a star file. Raises FormatError when there is none, or several are as likely."""
    tables = [table for table in read_star(path) if any(label in table for label in _IMAGES.values())]
    if len(tables) > 1:
        tables = [table for table in tables if table.name == path.stem]
    if len(tables) != 1 or not tables[0].rows:
        lists = any("rlnTomoTiltSeriesStarFile" in table for table in read_star(path))
        raise FormatError(
            f"star file {path} lists {'tilt series, not their images' if lists else 'no images of one tilt series'}",
            fix="Name the star file of one tilt series, in the job's folder tilt_series/",
        )
    return tables[0]


def _check_independent(table: StarTable, half: Half) -> None:
    """Raises InputError when an image of a half is one of the other half, or of the whole."""
    own = set(table.texts(_IMAGES[half]))
    for label in _IMAGES.values():
        if label != _IMAGES[half] and label in table and (same := sorted(own & set(table.texts(label)))):
            raise InputError(
                f"star file {table.path}: {same[0][:200]} stands in {_IMAGES[half]} and in {label}, the halves "
                "would not be independent",
                fix="Leave --odd and --even out, or let MotionCorr write even and odd images",
            )


def _order(table: StarTable) -> list[int]:
    """Rows by nominal tilt, as RELION sorts them before it aligns; else by refined tilt, else as they are."""
    label = next((label for label in (_NOMINAL, "rlnTomoYTilt") if label in table), None)
    if label is None:
        return list(range(len(table.rows)))
    return [int(row) for row in np.argsort(table.numbers(label), kind="stable")]


def _job(path: Path, name: str) -> _Job:
    """What the table beside `tilt_series/` says of the series called `name`."""
    for file in _TABLES:
        source = path.absolute().parent.parent / file
        try:
            for table in read_star(source) if source.is_file() else []:
                if "rlnTomoName" in table and name in table.texts("rlnTomoName"):
                    return _row_of(table, table.texts("rlnTomoName").index(name))
        except CryolitheError as error:
            _warn(f"not used: {error}")
    return _Job()


def _row_of(table: StarTable, row: int) -> _Job:
    def number(label: str, least: float, most: float) -> float | None:
        value = float(table.numbers(label)[row]) if label in table else 0.0
        return value if least <= value <= most else None

    hand = table.numbers("rlnTomoHand")[row] if "rlnTomoHand" in table else None
    return _Job(
        str(table.path),
        number("rlnTomoTiltSeriesPixelSize", 0.01, 1e5),
        number("rlnTomoSizeZ", 1, 2**20),
        "rlnTomoDeformationGridSizeX" in table,
        None if hand is None else float(hand),
    )


def _solution(
    table: StarTable, order: Sequence[int], job: _Job, pixel: float | None, image_yx: Shape2
) -> Solution | None:
    """The alignment, by what RELION projects with (`Tomogram::setProjectionMatrix`, tomogram.cpp).

    A point p of the specimen is seen at the pixel n // 2 + shift + Rz(ZRot) Ry(YTilt) Rx(XTilt) (p − centre), pixels
    counted from 0. So Rz(−ZRot) after −shift makes the tilt axis vertical: A = R(−ZRot), D = −A (shift + h), with
    h = n // 2 − (n − 1)/2, half a pixel for even sizes. Ry moves z towards +x for positive tilts, as `frame` does.
    """
    if "rlnTomoProjX" in table:
        raise UnsupportedError(
            f"star file {table.path} holds projection matrices of RELION-4 (rlnTomoProjX), which RELION-5 prefers",
            fix="Let a job of RELION-5 write the series anew: its files hold angles and shifts instead",
        )
    if not any(label in table for label in _ALIGNMENT):
        return None
    tilts, turns, x_angstrom, y_angstrom = (table.numbers(label)[order] for label in _ALIGNMENT)
    if pixel is None:
        raise InputError(
            f"star file {table.path} has shifts in angstrom, and nothing tells the pixel size",
            fix="Keep the job's table beside tilt_series/, or give --pixel-size",
        )
    if "rlnTomoXTilt" in table:
        _check_x_tilts(table, table.numbers("rlnTomoXTilt")[order], tilts, job, image_yx)
    centre_yx = np.array([n // 2 - (n - 1) / 2 for n in image_yx])
    matrix_yx, shift_yx = upright(turns, np.stack([y_angstrom, x_angstrom], -1) / pixel + centre_yx)
    notes: dict[str, Json] = {"table": job.source, "hand_of_defocus": job.hand}
    return Solution(
        source=table.path,
        matrix_yx=matrix_yx,
        shift_yx_px=shift_yx,
        angles=Angles(tilts, str(table.path)),
        views=np.arange(len(order), dtype=np.int64),
        hint=VolumeHint(job.thickness_px),
        in_angstrom=True,
        notes=notes,
    )


def _check_x_tilts(table: StarTable, x_tilts: Floats, tilts: Floats, job: _Job, image_yx: Shape2) -> None:
    """Raises UnsupportedError for tilts about the x axis that move what is seen by more than ¼ pixel.

    What all views share turns the whole volume, and counts at its faces; what differs between views counts at the ends
    of the tilt axis too, where a tilted view moves across it.
    """
    depth = (job.thickness_px or USUAL_THICKNESS_PX) / 2
    shared = float(np.mean(x_tilts))
    own = np.abs(np.sin(np.deg2rad(x_tilts - shared)))
    ends = np.abs(np.sin(np.deg2rad(tilts))) * max(image_yx) / 2
    turned, bent = moved_px(shared, 2 * depth), float(np.max(own * np.maximum(depth, ends)))
    if not max(turned, bent) <= LIMIT_PX:
        raise UnsupportedError(
            f"star file {table.path}: rlnTomoXTilt tilts views about the x axis by up to {np.max(np.abs(x_tilts)):.2f} "
            f"degrees, which moves what is seen by {max(turned, bent):.2f} pixels; the limit is {LIMIT_PX:g}",
            fix="Set it to 0 in a copy: the volume is then the same, but not level"
            if bent <= LIMIT_PX
            else "Take the series from a job before it was refined with tilts about the x axis",
        )
    if np.any(x_tilts != 0.0):
        moved = max(turned, bent)
        _warn(f"{table.path}: tilts about the x axis are not applied; they move what is seen by {moved:.2f} pixels")


def _warn(text: str) -> None:
    warnings.warn(text, CryolitheWarning, stacklevel=5)
