"""Warp's metadata of a tilt series (`NAME.xml`): its global alignment, for the stack that WarpTools wrote."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cryolithe_stream.errors import CryolitheError, CryolitheWarning, FormatError, InputError, UnsupportedError
from cryolithe_stream.geometry import Floats, Ints, Shape3
from cryolithe_stream.read.angles import Angles, read_angles, sibling
from cryolithe_stream.read.solution import Solution, VolumeHint
from cryolithe_stream.read.text import Json, parse_floats, read_text
from cryolithe_stream.read.xf import upright
from cryolithe_stream.read.xtilt import LIMIT_PX, USUAL_THICKNESS_PX, moved_px

_LEAST_THICKNESS = 4.0  # ts_import_alignments leaves a depth of 1 Å behind


@dataclass(frozen=True, slots=True, eq=False)
class _Series:
    """What the file says, angles in degrees, lengths in Å, one row per tilt; sizes are 0 where it does not say."""

    path: Path
    tilts_deg: Floats
    used: Floats
    axis_deg: Floats
    offset_yx: Floats
    image_yx: Floats
    depth: float
    level_deg: tuple[float, float]
    movement_yx: Floats
    left_out: float
    magnified: float


def read_warp(path: Path, stack: Path, shape_vyx: Shape3, header_angstrom: float = 0.0) -> Solution:
    """The global alignment in a Warp XML for a stack `(view, y, x)` of all of its tilts, or of those in use.

    A point p is seen at Rz(AxisAngle) q + AxisOffset + image's centre, q = Ry(−T) Rx(LevelAngleX) (p − its centre) and
    T = Angles + LevelAngleY, centres at pixel n/2 (TiltSeries.cs, `GetPositionInAllTilts`). So A = R(−AxisAngle) and
    D = −A (offset + ½), and the tilt here is −T: Warp turns the other way than IMOD, which is why `ts_import` inverts
    angles. `AreAnglesInverted` changes defocus only. Shifts of whole images in GridMovement are applied; what differs
    within an image, and GridVolumeWarp, is not, and a CryolitheWarning tells how far that moves what is seen.
    `header_angstrom` is the stack's pixel size by its header, where it has one; a CryolitheWarning tells another.
    Raises FormatError for damaged files and those without an alignment, InputError when the stack is another one,
    UnsupportedError for a LevelAngleX that matters.
    """
    series = _parse(path)
    views, rows = _views(series, stack, shape_vyx[0])
    px_per_angstrom = _scale(series, stack, shape_vyx)
    pixel = float(np.mean(1.0 / px_per_angstrom))
    if header_angstrom and abs(header_angstrom - 1.0) > 1e-6 and abs(header_angstrom / pixel - 1.0) > 0.02:
        _warn(
            f"{path} is for images that have pixels of {pixel:.4g} angstrom at the size of {stack}, whose header says "
            f"{header_angstrom:.4g}: is it cut, or of another series?"
        )
    told = series.depth / pixel
    thickness = told if _LEAST_THICKNESS <= told <= 2**20 else None
    _check_level(series, thickness or USUAL_THICKNESS_PX)
    if series.magnified > 1e-3:
        percent = 100 * series.magnified
        _warn(
            f"{path}: MagnificationCorrection (up to {percent:.2f} %) is not applied; Warp places nothing by it either"
        )
    if series.left_out > 0:
        _warn(
            f"{path}: local warps are not applied, only shifts of whole images; they move what is seen by up to "
            f"{series.left_out / pixel:.2f} pixels"
        )
    seen_yx_px = (series.offset_yx - series.movement_yx)[rows] * px_per_angstrom + 0.5
    matrix_yx, shift_yx = upright(series.axis_deg[rows], seen_yx_px)
    notes: dict[str, Json] = {
        "level_angles_xy_deg": list(series.level_deg),
        "local_warps_not_applied_angstrom": series.left_out,
    }
    return Solution(
        source=path,
        matrix_yx=matrix_yx,
        shift_yx_px=shift_yx,
        angles=Angles(-(series.tilts_deg + series.level_deg[1])[rows], f"{path} (of opposite sign)"),
        views=views,
        hint=VolumeHint(thickness),
        pixel_angstrom=pixel,
        pixel_from=str(path),
        in_angstrom=True,
        notes=notes,
    )


def warn_of_mirror(stack: Path, alignment: Path | None) -> None:
    """Warns when a stack that WarpTools wrote is read by other files than the XML above it."""
    folder = stack.absolute().parent
    xml = folder.parent.parent / f"{stack.stem.removesuffix('_ali')}.xml"
    other = alignment is None or alignment.suffix != ".xml"
    if other and folder.parent.name == "tiltstack" and xml.is_file():
        by = stack.name if alignment is None else alignment.name
        _warn(
            f"{stack} is Warp's, which turns the other way than IMOD: by {by} the tomogram is the mirror image "
            f"(along z) of Warp's, which --alignment {xml} gives"
        )


def _parse(path: Path) -> _Series:
    text = read_text(path, "alignment").lstrip("\ufeff \r\n\t")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(
            f"alignment {path} declares entities, which Warp does not", fix="Give the file that Warp wrote"
        )
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 (files that declare entities are refused above)
    except ElementTree.ParseError as error:
        raise FormatError(f"alignment {path} is no XML: {error}", fix="Copy it again") from error
    if root.tag != "TiltSeries":
        raise FormatError(
            f"alignment {path} is Warp's <{root.tag[:40]}>, not <TiltSeries>", fix="Give that of the series"
        )
    tilts = _column(path, root, "Angles", None)
    n_tilts = len(tilts)
    used = root.findtext("UseTilt", "").lower().split() or ["true"] * n_tilts
    if len(used) != n_tilts or not set(used) <= {"true", "false"}:
        raise FormatError(f"alignment {path}: UseTilt is not {n_tilts} times True or False")
    offset_yx = np.stack([_column(path, root, f"AxisOffset{axis}", n_tilts) for axis in "YX"], axis=-1)
    grids = [_movement(path, root, axis, n_tilts) for axis in "YX"]
    movement_yx = np.stack([grid[0] for grid in grids], axis=-1)
    if not np.any(offset_yx) and not np.any(movement_yx):
        raise FormatError(
            f"alignment {path} holds none: every tilt's offset is 0",
            fix="Run ts_import_alignments first, or give the .xf or .aln file with --alignment",
        )
    image_xy, volume_xyz = (
        _attribute(path, root, "ImageDimensionsAngstrom", 2),
        _attribute(path, root, "VolumeDimensionsAngstrom", 3),
    )
    level_x, level_y = (_attribute(path, root, f"LevelAngle{axis}", 1)[0] for axis in "XY")
    warp = np.array([np.max(np.abs(_nodes(path, root, f"GridVolumeWarp{axis}")[1]), initial=0.0) for axis in "XYZ"])
    left_out = float(np.linalg.norm([grid[1] for grid in grids]) + np.linalg.norm(warp))
    return _Series(
        path,
        tilts,
        np.array([text == "true" for text in used]),
        _column(path, root, "AxisAngle", n_tilts),
        offset_yx,
        np.array(image_xy[::-1]),
        volume_xyz[2],
        (level_x, level_y),
        movement_yx,
        left_out,
        float(np.max(np.abs(np.array(_attribute(path, root, "MagnificationCorrection", 4, "1 0 0 1")) - (1, 0, 0, 1)))),
    )


def _column(path: Path, root: ElementTree.Element, name: str, n_tilts: int | None) -> Floats:
    """The numbers of an element, one per tilt; 0 where it is missing, as for Warp."""
    text = root.findtext(name, "")
    if n_tilts is not None and not text.strip():
        return np.zeros(n_tilts)
    count = len(text.split()) if n_tilts is None else n_tilts
    return np.array(parse_floats(text, f"alignment {path}: {name}", (max(count, 2),)), dtype=np.float64)


def _attribute(path: Path, root: ElementTree.Element, name: str, count: int, missing: str = "") -> list[float]:
    return parse_floats(root.get(name) or missing or "0 " * count, f"alignment {path}: {name}", (count,))


def _nodes(path: Path, root: ElementTree.Element, name: str) -> tuple[Ints, Floats]:
    """Places `(node, 3)` in (z, y, x) and values in Å `(node,)` of a grid; empty where there is none."""
    places, values = [], []
    for node in root.iterfind(f"{name}/Node"):
        text = " ".join(node.get(key) or "-" for key in ("Z", "Y", "X", "Value"))
        *place, value = parse_floats(text, f"alignment {path}: {name}, a node", (4,))
        places.append([int(n) for n in place])
        values.append(value)
    return np.array(places, dtype=np.int64).reshape(-1, 3), np.array(values, dtype=np.float64)


def _movement(path: Path, root: ElementTree.Element, axis: str, n_tilts: int) -> tuple[Floats, float]:
    """What GridMovement moves whole images by along an axis, `(tilt,)` in Å, and the most that it moves beyond that.

    With a layer for each tilt the mean of its nodes is the image's; layers that spread over several tilts are left out.
    """
    places, values = _nodes(path, root, f"GridMovement{axis}")
    layers = np.unique(places[:, 0])
    if not np.any(values):
        return np.zeros(n_tilts), 0.0
    if not np.array_equal(layers, np.arange(n_tilts)):
        return np.zeros(n_tilts), float(np.max(np.abs(values)))
    sums, counts = (np.bincount(places[:, 0], weights=of, minlength=n_tilts) for of in (values, None))
    means = sums / counts
    return means, float(np.max(np.abs(values - means[places[:, 0]])))


def _views(series: _Series, stack: Path, n_views: int) -> tuple[Ints, Ints]:
    """Views (0-based) that are in use, and their tilts; the stack holds all tilts, or those in use when it was made."""
    n_tilts, tilts = len(series.tilts_deg), np.flatnonzero(series.used)
    if n_views not in (n_tilts, len(tilts)):
        raise InputError(
            f"alignment {series.path} has {n_tilts} tilts, {len(tilts)} of them in use; {stack} has {n_views} views",
            fix="Write the stack again with ts_stack",
        )
    views = tilts if n_views == n_tilts else np.arange(n_views, dtype=np.int64)
    if (path := sibling(stack, ".rawtlt")) is not None:
        try:
            nominal = read_angles(path)
        except CryolitheError:
            return views, tilts
        if len(nominal) == n_views:
            difference = nominal[views] - series.tilts_deg[tilts]
            if len(tilts) and float(np.max(np.abs(difference - np.median(difference)))) > 1.0:
                raise InputError(
                    f"{path} and {series.path} do not have the same tilts in use, by their angles",
                    fix="Write the stack again with ts_stack",
                )
    return views, tilts


def _scale(series: _Series, stack: Path, shape_vyx: Shape3) -> Floats:
    """Pixels of the stack per Å along (y, x): Warp scales images to even sizes, each axis by itself."""
    if not np.all(series.image_yx > 0):
        raise FormatError(
            f"alignment {series.path} does not tell the size of its images (ImageDimensionsAngstrom)",
            fix="Let WarpTools write it anew, such as with ts_import_alignments",
        )
    scale = np.array(shape_vyx[1:]) / series.image_yx
    if abs(scale[0] / scale[1] - 1.0) > 0.01 + 2.0 / min(shape_vyx[1:]):
        y, x = series.image_yx
        raise InputError(
            f"alignment {series.path} is for images of {x:.1f} x {y:.1f} angstrom, {stack} has {shape_vyx[2]} x "
            f"{shape_vyx[1]} pixels, which is another shape",
            fix="Give the stack of this series",
        )
    return np.asarray(scale, dtype=np.float64)


def _check_level(series: _Series, thickness: float) -> None:
    """Raises UnsupportedError for a LevelAngleX that moves rows by more than ¼ pixel at the faces of the volume."""
    angle = series.level_deg[0]
    moved = moved_px(angle, thickness)
    if not moved <= LIMIT_PX:
        raise UnsupportedError(
            f"alignment {series.path}: LevelAngleX {angle:g} (a turn about the x axis) is not supported, only 0",
            fix="Set it to 0 in a copy of the file: the volume is then the same, but not level",
        )
    if moved > 0:
        _warn(f"{series.path}: LevelAngleX is not applied; it moves rows by {moved:.2f} pixels at most")


def _warn(text: str) -> None:
    warnings.warn(text, CryolitheWarning, stacklevel=5)
