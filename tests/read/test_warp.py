"""Warp's XML: points are seen where Warp sees them, IMOD's files come out the same, the rest is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryolithe_stream.errors import CryolitheWarning, FormatError, InputError, UnsupportedError
from cryolithe_stream.read import read_angles, read_tilt_series, read_xf
from cryolithe_stream.read.warp import read_warp

ANGLES = (-40.0, -20.0, 0.0, 20.0, 40.0)


def column(name, values):
    return f"<{name}>" + "\n".join(str(value) for value in values) + f"</{name}>"


def grid(name, values_zyx):
    depth, height, width = np.shape(values_zyx)
    nodes = [f'<Node X="{x}" Y="{y}" Z="{z}" Value="{v}" />' for (z, y, x), v in np.ndenumerate(np.asarray(values_zyx))]
    return f'<{name} Width="{width}" Height="{height}" Depth="{depth}">{"".join(nodes)}</{name}>'


def xml(angles=ANGLES, *, axis=85.0, x=None, y=None, used=None, image=(80.0, 60.0), depth=40.0, extra="", **attributes):
    """The text of an XML of Warp; lengths in Å."""
    n = len(angles)
    told = {"AreAnglesInverted": "False", "LevelAngleX": "0", "LevelAngleY": "0", **attributes}
    told["ImageDimensionsAngstrom"] = ", ".join(str(side) for side in image)
    told["VolumeDimensionsAngstrom"] = f"100, 100, {depth}"
    columns = [
        column("Angles", angles),
        column("AxisAngle", np.broadcast_to(axis, n)),
        column("AxisOffsetX", np.arange(n) * 1.5 + 1 if x is None else x),
        column("AxisOffsetY", np.arange(n) * -0.5 if y is None else y),
        "" if used is None else column("UseTilt", used),
    ]
    attribute_text = " ".join(f'{key}="{value}"' for key, value in told.items() if value is not None)
    head = '\ufeff<?xml version="1.0" encoding="utf-8"?>'
    return f"{head}\n<TiltSeries {attribute_text}>{''.join(columns)}{extra}</TiltSeries>"


def euler(tilt, psi):
    """Matrix3.Euler(0, tilt, psi) of WarpLib/Tools/Matrix3.cs."""
    cb, sb, cg, sg = np.cos(tilt), np.sin(tilt), np.cos(psi), np.sin(psi)
    return np.array([[cg * cb, sg, -cg * sb], [-sg * cb, cg, sg * sb], [sb, 0.0, cb]])


def seen_by_warp(points, angle, level_y, axis, offset_xy, image, shape_yx):
    """Pixels (x, y) from 0 of points (x, y, z) in Å from the volume's centre: GetPositionInAllTilts, the rest zero."""
    matrix = euler(np.deg2rad(angle + level_y), -np.deg2rad(axis))
    at = points @ matrix.T
    return (at[:, :2] + offset_xy + np.array(image) / 2) * np.array(shape_yx[::-1]) / np.array(image)


def seen_by_us(solution, row, points, shape_yx):
    """The same by the solution: points in our frame, through the aligned frame, back to the raw one."""
    pixel = solution.pixel_angstrom
    theta = np.deg2rad(solution.angles.tilts_deg[row])
    x, y, z = points.T / pixel
    aligned_yx = np.stack([y, x * np.cos(theta) + z * np.sin(theta)], axis=-1)
    raw = np.linalg.solve(solution.matrix_yx[row], (aligned_yx - solution.shift_yx_px[row]).T).T
    return (raw + (np.array(shape_yx) - 1) / 2)[:, ::-1]


@pytest.mark.parametrize("shape_yx", [(60, 80), (30, 40), (15, 20)])
@pytest.mark.parametrize("inverted", ["False", "True"])
def test_points_are_seen_where_warp_sees_them(write, tmp_path, shape_yx, inverted):
    """Whatever the binning of the stack; AreAnglesInverted moves nothing."""
    rng = np.random.default_rng(4)
    offset = rng.normal(0, 5, (5, 2))
    axis = 85 + rng.normal(0, 0.2, 5)
    text = xml(axis=axis, x=offset[:, 0], y=offset[:, 1], LevelAngleY="-3.5", AreAnglesInverted=inverted)
    solution = read_warp(write("a.xml", text), tmp_path / "a.st", (5, *shape_yx))
    points = rng.uniform(-20, 20, (50, 3))
    for row, angle in enumerate(ANGLES):
        expected = seen_by_warp(points, angle, -3.5, axis[row], offset[row], (80.0, 60.0), shape_yx)
        np.testing.assert_allclose(seen_by_us(solution, row, points, shape_yx), expected, atol=1e-9)
        mirrored = points * (1, 1, -1)
        assert angle == 3.5 or np.max(np.abs(seen_by_us(solution, row, mirrored, shape_yx) - expected)) > 0.1
    assert solution.hint.thickness_px == pytest.approx(40.0 * shape_yx[0] / 60.0)


def test_a_real_file(data, tmp_path, write):
    """EMPIAR-10491 after M: shifts of whole images are applied; points stray by no more than the warning says."""
    path = data / "warpylib-1.1.2" / "TS_1.xml"
    with pytest.raises(UnsupportedError, match=r"LevelAngleX 1.45703 .*Set it to 0 in a copy"):
        read_warp(path, tmp_path / "TS_1.st", (41, 1023, 1440))
    copy = write("TS_1.xml", path.read_text(encoding="utf-8").replace('LevelAngleX="1.457031"', 'LevelAngleX="0"'))
    with pytest.warns(CryolitheWarning) as told:
        solution = read_warp(copy, tmp_path / "TS_1.st", (41, 1023, 1440))
    texts = [str(warning.message) for warning in told]
    assert any("up to 5.49 pixels" in text for text in texts)
    assert any("MagnificationCorrection (up to 0.62 %)" in text for text in texts)
    assert solution.pixel_angstrom == pytest.approx(3.336)
    assert solution.hint.thickness_px == pytest.approx(250)
    np.testing.assert_allclose(solution.angles.tilts_deg[[0, -1]], [-(40.01 - 5.920115), 39.98 + 5.920115])


@pytest.mark.parametrize("pixel", [10.0, 2.5])
def test_an_imod_alignment_that_warp_imported(data, tmp_path, write, pixel):
    """ImportAlignments: AxisAngle = atan2(−M21, M11), offset = −Mᵀ D in Å. By its own file the transform is the same.

    But for half a pixel, as Warp's centre is n/2, the magnification, and the sign of the tilts.
    """
    matrix_yx, shift_yx = read_xf(data / "empiar-10499-ts254" / "00254.xf")
    tilts = read_angles(data / "empiar-10499-ts254" / "00254.tlt")
    matrix_xy, shift_xy = matrix_yx[:, ::-1, ::-1], shift_yx[:, ::-1]
    axis = np.rad2deg(np.arctan2(-matrix_xy[:, 1, 0], matrix_xy[:, 0, 0]))
    offset = np.einsum("tji,tj->ti", matrix_xy, -shift_xy) * pixel
    text = xml(tilts, axis=axis, x=offset[:, 0], y=offset[:, 1], image=(630 * pixel, 652 * pixel))
    solution = read_warp(write("00254.xml", text), tmp_path / "00254.st", (len(tilts), 652, 630))
    np.testing.assert_allclose(solution.matrix_yx, matrix_yx, atol=2e-3)
    half = np.einsum("tij,j->ti", solution.matrix_yx, [0.5, 0.5])
    np.testing.assert_allclose(solution.shift_yx_px + half, shift_yx, atol=2e-3 * np.abs(shift_yx).max())
    np.testing.assert_allclose(solution.angles.tilts_deg, -tilts)


def test_shifts_of_whole_images_and_local_ones(write, tmp_path):
    """GridMovement is subtracted: its mean over an image is applied, what differs within is told."""
    whole = write("a.xml", xml(x=np.zeros(5), extra=grid("GridMovementX", np.arange(5.0).reshape(5, 1, 1))))
    plain = write("b.xml", xml(x=-np.arange(5.0)))
    a, b = (read_warp(path, tmp_path / "a.st", (5, 60, 80)) for path in (whole, plain))
    np.testing.assert_allclose(a.shift_yx_px, b.shift_yx_px, atol=1e-12)
    local = np.arange(5.0).reshape(5, 1, 1) + np.array([-2.0, 2.0])
    path = write("c.xml", xml(x=np.zeros(5), extra=grid("GridMovementX", local)))
    with pytest.warns(CryolitheWarning, match=r"local warps are not applied, .* up to 4.00 pixels"):
        c = read_warp(path, tmp_path / "a.st", (5, 120, 160))
    np.testing.assert_allclose(c.shift_yx_px[2], read_warp(plain, tmp_path / "a.st", (5, 120, 160)).shift_yx_px[2])
    few = write("d.xml", xml(extra=grid("GridMovementY", np.full((2, 1, 1), 3.0))))
    with pytest.warns(CryolitheWarning, match=r"up to 3.00 pixels"):
        read_warp(few, tmp_path / "a.st", (5, 60, 80))
    warped = write("e.xml", xml(extra=grid("GridVolumeWarpZ", np.full((1, 2, 2), -7.0))))
    with pytest.warns(CryolitheWarning, match=r"up to 7.00 pixels"):
        read_warp(warped, tmp_path / "a.st", (5, 60, 80))


def test_the_stack_holds_all_tilts_or_those_in_use(write, make_mrc):
    used = ("True", "False", "True", "True", "False")
    path = write("TS.xml", xml(used=used, image=(200.0, 150.0)))
    whole = read_tilt_series(make_mrc("TS.mrc", (5, 60, 80)), alignment=path)
    part = read_tilt_series(make_mrc("TS2.mrc", (3, 60, 80)), alignment=path)
    np.testing.assert_array_equal(whole.views, [0, 2, 3])
    np.testing.assert_array_equal(part.views, [0, 1, 2])
    for series in (whole, part):
        np.testing.assert_array_equal(series.tilts_deg, [40, 0, -20])
        np.testing.assert_array_equal(series.alignment.matrix_yx, whole.alignment.matrix_yx)
        assert series.output_yx == (80, 60)
    with pytest.raises(InputError, match=r"has 5 tilts, 3 of them in use; .* has 4 views"):
        read_tilt_series(make_mrc("TS4.mrc", (4, 60, 80)), alignment=path)


def test_other_tilts_in_use_are_found_by_the_angles_of_the_stack(write, make_mrc):
    path = write("TS.xml", xml(used=("True", "True", "True", "False", "True"), image=(200.0, 150.0)))
    stack = make_mrc("TS.mrc", (4, 60, 80))
    write("TS.rawtlt", "-40.2\n-20.2\n-0.2\n39.8\n")
    assert read_tilt_series(stack, alignment=path).n_tilts == 4
    write("TS.rawtlt", "-40\n-20\n0\n20\n")
    with pytest.raises(InputError, match="do not have the same tilts in use"):
        read_tilt_series(stack, alignment=path)


def test_pixel_size_where_the_header_has_none(write, make_mrc):
    path = write("TS.xml", xml(image=(160.0, 120.0)))
    with pytest.warns(CryolitheWarning, match="pixel size 0"):
        series = read_tilt_series(make_mrc("TS.mrc", (5, 60, 80), pixel=None), alignment=path)
    assert series.pixel_angstrom == pytest.approx(2.0)
    assert series.provenance["pixel"]["source"] == str(path)


def test_a_stack_whose_header_tells_another_pixel_size(write, make_mrc):
    """A cut stack of the same shape would be shifted and scaled: the sizes in Å are told."""
    path = write("TS.xml", xml(image=(160.0, 120.0)))
    with pytest.warns(CryolitheWarning, match=r"pixels of 2 angstrom at the size of .*whose header says 1.6"):
        read_tilt_series(make_mrc("TS.mrc", (5, 60, 80), pixel=1.6), alignment=path)
    with pytest.raises(InputError, match=r"in angstrom.*Leave --alignment-pixel-size out"):
        read_tilt_series(make_mrc("TS.mrc", (5, 60, 80), pixel=2.0), alignment=path, alignment_angstrom=4.0)


def test_angles_of_other_files_are_refused(write, make_mrc):
    with pytest.raises(InputError, match="Leave --angles out"):
        read_tilt_series(
            make_mrc("TS.mrc", (5, 60, 80)),
            alignment=write("TS.xml", xml()),
            angles=write("TS.tlt", "-40\n-20\n0\n20\n40\n"),
        )


def test_a_stack_of_warps_by_other_files_is_told_to_be_mirrored(tmp_path, make_mrc, write):
    folder = tmp_path / "tiltstack" / "TS"
    folder.mkdir(parents=True)
    stack = make_mrc("TS.mrc", (5, 60, 80)).rename(folder / "TS.st")
    write("TS.xml", xml(image=(200.0, 150.0)))
    write("tiltstack/TS/TS.xf", "1 0 0 1 0 0\n" * 5)
    write("tiltstack/TS/TS.tlt", "-40\n-20\n0\n20\n40\n")
    with pytest.warns(CryolitheWarning, match=r"by TS.xf the tomogram is the mirror image \(along z\) of Warp's"):
        mirrored = read_tilt_series(stack, alignment=folder / "TS.xf")
    own = read_tilt_series(stack, alignment=tmp_path / "TS.xml")
    np.testing.assert_array_equal(own.tilts_deg, -mirrored.tilts_deg)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", FormatError, "is no XML"),
        (xml()[:-20], FormatError, "is no XML"),
        ("<Movie/>", FormatError, "<Movie>, not <TiltSeries>"),
        ("<TiltSeries/>", FormatError, "Angles"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><TiltSeries>&b;</TiltSeries>', FormatError, "declares entities"),
        (xml(x=np.zeros(5), y=np.zeros(5)), FormatError, "every tilt's offset is 0.*ts_import_alignments"),
        (xml(x=np.zeros(4)), FormatError, "AxisOffsetX"),
        (xml(x=["nan"] * 5), FormatError, "AxisOffsetX"),
        (xml(axis=["x"] * 5), FormatError, "AxisAngle"),
        (xml(used=["True"] * 4), FormatError, "UseTilt is not 5 times"),
        (xml(used=["yes"] * 5), FormatError, "UseTilt is not 5 times"),
        (xml(LevelAngleX="x"), FormatError, "LevelAngleX"),
        (xml(MagnificationCorrection="1, 0"), FormatError, "MagnificationCorrection"),
        (xml(extra='<GridMovementX><Node X="0" /></GridMovementX>'), FormatError, "GridMovementX, a node"),
        (xml(LevelAngleX="1"), UnsupportedError, "LevelAngleX 1 .*Set it to 0"),
        (xml(image=(60.0, 80.0)), InputError, "is for images of 60.0 x 80.0 angstrom"),
        (xml(image=(0.0, 0.0)), FormatError, "does not tell the size of its images"),
    ],
)
def test_what_is_damaged_or_of_another_series(write, tmp_path, text, error, message):
    with pytest.raises(error, match=message):
        read_warp(write("a.xml", text), tmp_path / "a.st", (5, 60, 80))


def test_a_level_angle_that_does_not_matter(write, tmp_path):
    with pytest.warns(CryolitheWarning, match="LevelAngleX is not applied; it moves rows by 0.03 pixels"):
        read_warp(write("a.xml", xml(LevelAngleX="0.1")), tmp_path / "a.st", (5, 60, 80))


TEXT = xml(extra=grid("GridMovementX", np.ones((5, 2, 2))))


@given(st.integers(0, len(TEXT)), st.integers(0, len(TEXT)), st.text(max_size=5))
def test_any_damage_is_read_or_refused(tmp_path_factory, first, last, between):
    path = tmp_path_factory.getbasetemp() / "hostile.xml"
    path.write_text(TEXT[: min(first, last)] + between + TEXT[max(first, last) :], encoding="utf-8", errors="replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cryolithe_stream.read.warp._warn", lambda text: None)
        try:
            solution = read_warp(path, tmp_path_factory.getbasetemp() / "a.st", (5, 60, 80))
        except InputError:
            return
    assert np.all(np.isfinite(solution.shift_yx_px)) and np.all(np.isfinite(solution.matrix_yx))
