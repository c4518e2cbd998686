"""The edge of a holey carbon film that enters a field of view from one side."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from cryolithe_stream.geometry import Float32s, Shape3

Rng = np.random.Generator

CARBON_DENSITY = -2.1
"""Amorphous carbon of 2.0 g/cm³ (0.10 atoms/Å³ of 2.51 Å) above water, in units of dense protein."""

_ATOMS_PER_A3 = 0.10
_GRAIN_ANGSTROM = 60.0


def carbon_edge(rng: Rng, shape_zyx: Shape3, field_x: int, voxel_angstrom: float, middle_z: float) -> Float32s:
    """A carbon film's share of every voxel, `(z, y, x)`, 0 to 1, with a random curved edge on the low or high x side.

    The film is 150–300 Å thick, takes 12–35 % of the middle `field_x` columns, and is the rim of a hole of 0.6–1.2 µm
    radius.
    """
    nz, ny, nx = shape_zyx
    half = rng.uniform(75.0, 150.0) / voxel_angstrom
    radius = rng.uniform(6000.0, 12000.0) / voxel_angstrom
    reach = (nx - field_x) / 2 + rng.uniform(0.12, 0.35) * field_x
    from_right = rng.random() < 0.5
    y = np.arange(ny) - rng.uniform(0.2, 0.8) * ny
    x = np.arange(nx)[::-1] if from_right else np.arange(nx)
    # The hole is a circle whose rim is tangent to x = reach; carbon lies outside it.
    rim = reach - np.sqrt(np.maximum(radius**2 - y**2, 0.0)) + radius
    rough = gaussian_filter(rng.standard_normal((nz, ny)), 25.0 / voxel_angstrom, mode="nearest")
    rim = rim[None, :] + 12.0 / voxel_angstrom * rough / max(float(rough.std()), 1e-9)
    bow = gaussian_filter(rng.standard_normal((ny, nx)), 300.0 / voxel_angstrom, mode="wrap")
    bow = middle_z + 20.0 / voxel_angstrom * bow / max(float(bow.std()), 1e-9)
    film = np.empty(shape_zyx, np.float32)
    for z, section in enumerate(film):
        within = np.clip(half - np.abs(z - bow) + 0.5, 0.0, 1.0)
        section[:] = within * np.clip(rim[z][:, None] - x[None, :] + 0.5, 0.0, 1.0)
    return film


def carbon_texture(rng: Rng, film: Float32s, voxel_angstrom: float) -> None:
    """Turns a film's share of the voxels into its density, in place: grains, and atoms at random.

    The number of atoms in a voxel of v Å scatters by its root, as if they were independent, and grains of some 60 Å
    vary by 5 %.
    """
    shot = 1.0 / np.sqrt(_ATOMS_PER_A3 * voxel_angstrom**3)
    (sections,) = np.nonzero(film.any(axis=(1, 2)))
    if not len(sections):
        return
    part = film[sections[0] : sections[-1] + 1]
    atoms = gaussian_filter(rng.standard_normal(part.shape, dtype=np.float32), 0.5, truncate=3.0)
    grains = gaussian_filter(
        rng.standard_normal(part.shape, dtype=np.float32), _GRAIN_ANGSTROM / 2.355 / voxel_angstrom
    )
    grains *= np.float32(0.05 / max(float(grains.std()), 1e-9))
    part *= CARBON_DENSITY * (1 + np.float32(shot) * atoms + grains)
