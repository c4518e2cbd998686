"""Beads that Warp's own formula puts on images come back where Warp's tomogram has them, through its XML."""

from __future__ import annotations

import numpy as np
from run_support import options, write_stack
from test_relion_beads import BEADS_XYZ, SIGMA, errors

from cryolithe_stream.geometry import Box
from cryolithe_stream.run import reconstruct_series
from cryolithe_stream.store import open_tomogram

PIXEL = 1.7
SHAPE_YX = (60, 80)
LEVEL = 4.0


def test_beads_come_back_where_warp_has_them(tmp_path):
    """GetPositionInAllTilts with Matrix3.Euler(0, T, −axis), T = Angles + LevelAngleY; movements are subtracted."""
    rng = np.random.default_rng(12)
    angles = np.arange(-60.0, 60.1, 2.0) - LEVEL
    axis = -4.3 + rng.normal(0, 0.3, len(angles))
    offset, movement = rng.normal(0, 6, (len(angles), 2)), rng.normal(0, 3, (len(angles), 2))
    rows, columns = np.meshgrid(*(np.arange(n) for n in SHAPE_YX), indexing="ij")
    image_xy = np.array(SHAPE_YX[::-1]) * PIXEL
    frames = np.zeros((len(angles), *SHAPE_YX), np.float32)
    for i, angle in enumerate(angles):
        cb, sb = np.cos(np.deg2rad(angle + LEVEL)), np.sin(np.deg2rad(angle + LEVEL))
        cg, sg = np.cos(-np.deg2rad(axis[i])), np.sin(-np.deg2rad(axis[i]))
        matrix = np.array([[cg * cb, sg, -cg * sb], [-sg * cb, cg, sg * sb]])
        for bead in BEADS_XYZ:
            x, y = (matrix @ (bead * PIXEL) + offset[i] - movement[i] + image_xy / 2) / PIXEL
            frames[i] += np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * SIGMA**2))
    columns_of = {"Angles": angles, "AxisAngle": axis, "AxisOffsetX": offset[:, 0], "AxisOffsetY": offset[:, 1]}
    parts = [f"<{name}>" + "\n".join(map(str, values)) + f"</{name}>" for name, values in columns_of.items()]
    for number, name in enumerate("XY"):
        nodes = [f'<Node X="0" Y="0" Z="{z}" Value="{value}" />' for z, value in enumerate(movement[:, number])]
        parts.append(
            f'<GridMovement{name} Width="1" Height="1" Depth="{len(nodes)}">{"".join(nodes)}</GridMovement{name}>'
        )
    (tmp_path / "TS.xml").write_text(
        f'<TiltSeries LevelAngleX="0" LevelAngleY="{LEVEL}" ImageDimensionsAngstrom="{image_xy[0]}, {image_xy[1]}" '
        f'VolumeDimensionsAngstrom="136, 102, {44 * PIXEL}">{"".join(parts)}</TiltSeries>'
    )
    stack = write_stack(tmp_path / "TS.st", frames, PIXEL)
    out = tmp_path / "TS.ome.zarr"
    reconstruct_series(options(out, stack=stack, alignment=tmp_path / "TS.xml", method="fbp"))
    tomogram = open_tomogram(out)
    shape = tomogram.layout.shape_zyx
    assert shape == (44, *SHAPE_YX)
    volume = tomogram.read_box(Box.whole(shape))
    places = BEADS_XYZ[:, ::-1] + (np.array(shape) - 1) / 2
    found = errors(volume, places)
    assert found.mean() <= 0.05, found
    assert found.max() <= 0.1, found
    assert errors(np.flip(volume, 0), places).mean() > 2
