"""A project as RELION-5 leaves it, and its projection matrix, written from RELION's source and nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import mrcfile
import numpy as np

COLUMNS = (
    "rlnMicrographName",
    "rlnMicrographNameEven",
    "rlnMicrographNameOdd",
    "rlnTomoNominalStageTiltAngle",
    "rlnMicrographPreExposure",
    "rlnTomoXTilt",
    "rlnTomoYTilt",
    "rlnTomoZRot",
    "rlnTomoXShiftAngst",
    "rlnTomoYShiftAngst",
)


def star_text(name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table in the form that RELION writes."""
    head = [f"_{label} #{number}" for number, label in enumerate(columns, 1)]
    body = ["  ".join(str(entry) for entry in row) for row in rows]
    return "\n".join(["", "# version 50001", "", f"data_{name}", "", "loop_", *head, *body, "", ""])


def image(path: Path, pixels: np.ndarray, pixel: float) -> Path:
    """An image of one section."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(np.asarray(pixels, dtype=np.float32))
        mrc.voxel_size = pixel
    return path


def rotation(axis: str, degrees: float) -> np.ndarray:
    """Right-handed rotation as a 4 × 4 matrix (t3Matrix::rotation of gravis: the formula of OpenGL)."""
    n = np.eye(3)["xyz".index(axis)]
    s = np.array([[0, -n[2], n[1]], [n[2], 0, -n[0]], [-n[1], n[0], 0]])
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:3, :3] = np.outer(n, n) + np.cos(angle) * (np.eye(3) - np.outer(n, n)) + np.sin(angle) * s
    return matrix


def translation(xyz: Sequence[float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = xyz
    return matrix


def projection_matrix(
    specimen_xyz: Sequence[int], image_xy: Sequence[int], pixel: float, row: Mapping[str, float]
) -> np.ndarray:
    """From voxels to pixels, both (x, y, z) from 0: Tomogram::setProjectionMatrix, s1 · s2 · r2 · r1 · r0 · s0."""
    s0 = translation([-float(n // 2) for n in specimen_xyz])
    r0 = rotation("x", row["rlnTomoXTilt"])
    r1 = rotation("y", row["rlnTomoYTilt"])
    r2 = rotation("z", row["rlnTomoZRot"])
    s1 = translation([row["rlnTomoXShiftAngst"] / pixel, row["rlnTomoYShiftAngst"] / pixel, 0.0])
    s2 = translation([float(n // 2) for n in image_xy] + [0.0])
    return s1 @ s2 @ r2 @ r1 @ r0 @ s0


def write_project(
    root: Path,
    *,
    name: str = "TS_01",
    tilts: Sequence[float] = (20.0, -20.0, 0.0, 10.0, -10.0),
    shape_yx: tuple[int, int] = (6, 8),
    pixel: float = 2.5,
    header_pixel: float | None = None,
    pixels: Sequence[np.ndarray] | None = None,
    columns: Sequence[str] = COLUMNS,
    table: str | None = "aligned_tilt_series.star",
    size_z: int | None = 40,
    **values: Sequence[float] | float,
) -> Path:
    """A project with one aligned series; returns its star file. `values` fill columns by their label."""
    rng = np.random.default_rng(5)
    rows = []
    for number, tilt in enumerate(tilts):
        entries: dict[str, object] = {}
        for label, ending in (("Name", ""), ("NameEven", "_EVN"), ("NameOdd", "_ODD")):
            file = f"MotionCorr/job002/frames/{name}_{number:03d}{ending}.mrc"
            frame = rng.normal(50, 10, shape_yx) if pixels is None else pixels[number]
            image(root / file, frame, header_pixel or pixel)
            entries[f"rlnMicrograph{label}"] = file
        entries |= {
            "rlnTomoNominalStageTiltAngle": tilt,
            "rlnMicrographPreExposure": 3.0 * number,
            "rlnTomoXTilt": 0.0,
            "rlnTomoYTilt": tilt,
            "rlnTomoZRot": 85.0,
            "rlnTomoXShiftAngst": 0.0,
            "rlnTomoYShiftAngst": 0.0,
        }
        for label, value in values.items():
            entries[label] = value[number] if isinstance(value, Sequence | np.ndarray) else value
        rows.append([entries[label] for label in columns])
    job = root / "AlignTiltSeries" / "job005"
    star = job / "tilt_series" / f"{name}.star"
    star.parent.mkdir(parents=True, exist_ok=True)
    star.write_text(star_text(name, columns, rows))
    if table is not None:
        labels = ["rlnTomoName", "rlnTomoHand", "rlnTomoTiltSeriesPixelSize", "rlnTomoTiltSeriesStarFile"]
        row: list[object] = [name, -1.0, pixel, star.relative_to(root)]
        if size_z is not None:
            labels, row = [*labels, "rlnTomoSizeZ"], [*row, size_z]
        (job / table).write_text(star_text("global", labels, [row]))
    return star


def replaced(star, old, new, count=1):
    star.write_text(star.read_text().replace(old, new, count))
    return star
