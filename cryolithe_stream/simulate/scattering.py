"""Electron scattering of atomic models in vitreous ice: their contrast against the water that they displace.

Atoms scatter as tabulated for neutral atoms (International Tables C, 4.3.2.2, through gemmi), hydrogens that a model
leaves out are added to the atoms of their residue. A residue displaces water of its mass times its partial specific
volume (0.73 cm³/g for protein and the rest, 0.55 for nucleic acids; Harpaz et al. 1994, Voss & Gerstein 2005), spread
over its atoms as Gaussians (Fraser et al. 1978). Water of 0.94 g/cm³ scatters 0.0955 Å of f(0) per Å³ (4.6 V). Protein
then stands 0.073 Å⁻² (3.5 V) above it: one unit of a phantom's density, and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.fft

from cryolithe_stream.errors import FormatError, InputError, UnsupportedError
from cryolithe_stream.geometry import Float32s, Floats, Shape3
from cryolithe_stream.simulate.memory import require_memory

if TYPE_CHECKING:
    import gemmi

WATER_PER_A3 = 0.0955
UNIT_PER_A3 = 0.073
VOLTS_PER_UNIT = UNIT_PER_A3 * 47.878
"""Mean inner potential of one unit: h²/(2π m e) = 47.878 V Å² times its scattering."""

_A3_PER_DALTON = 1.6605
_PROTEIN_CM3_PER_G, _NUCLEIC_CM3_PER_G = 0.73, 0.55
_LARGEST_B = 100.0
_MOST_ATOMS = 2_000_000
_BYTES_PER_POINT = 32  # two densities, a spectrum, its inverse, spline coefficients


@dataclass(frozen=True, slots=True, eq=False)
class Atoms:
    """Atoms without waters and buffer: positions `(n, 3)` (z, y, x) in Å, elements, B factors in Å².

    `scattering` `(n,)` is f(0) in Å with occupancy and hydrogens that were left out, `displaced` `(n,)` Å³ of water.
    """

    points_zyx: Floats
    elements: list[str]
    b_factors: Floats
    scattering: Floats
    displaced: Floats


def read_atoms(path: Path) -> Atoms:
    """The atoms of a PDB or mmCIF file (optionally `.gz`): its first model, as its first biological assembly if told.

    Raises FormatError for files that are none or hold no atom, InputError above two million atoms.
    """
    gemmi = load_gemmi()
    try:
        structure = gemmi.read_structure(str(path))
        structure.setup_entities()
        if structure.assemblies:
            structure.transform_to_assembly(structure.assemblies[0].name, gemmi.HowToNameCopiedChain.Dup)
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise FormatError(f"structure {path} cannot be read ({error})", fix="Give PDB or mmCIF files") from error
    if not len(structure) or not (n := structure[0].count_atom_sites()):
        raise FormatError(f"structure {path} holds no atoms", fix="Give PDB or mmCIF files with coordinates")
    if n > _MOST_ATOMS:
        raise InputError(f"{path} has {n} atoms, the limit is {_MOST_ATOMS}", fix="Give a density map of it instead")
    rows = [row for residue in _residues(structure[0]) for row in _rows(residue)]
    if not rows:
        raise FormatError(f"structure {path} holds nothing but water", fix="Give another file")
    positions, elements, numbers = zip(*rows, strict=True)
    b, scattering, displaced = np.array(numbers, dtype=np.float64).T
    points = np.array(positions, dtype=np.float64)
    if not (np.isfinite(points).all() and np.isfinite(scattering).all() and scattering.sum() > 0):
        raise FormatError(f"structure {path} has atoms at no place or of no occupancy", fix="Give another file")
    return Atoms(points, list(elements), np.clip(np.nan_to_num(b), 0.0, _LARGEST_B), scattering, displaced)


def contrast_of(atoms: Atoms, spacing: float, blur_b: float) -> tuple[Float32s, Floats]:
    """Scattering above that of water, `(z, y, x)` in Å⁻² on a grid of `spacing` Å, and the grid index of the centre.

    Every atom is widened by a B factor `blur_b` (which the caller takes back in Fourier space), so that the grid holds
    it without aliasing. The centre is that of the scattering. Raises MemoryBudgetError when the grid is too large.
    """
    centre = np.average(atoms.points_zyx, axis=0, weights=np.maximum(atoms.scattering, 1e-9))
    relative = atoms.points_zyx - centre
    margin = 6.0 * np.sqrt((blur_b + _LARGEST_B) / (8 * np.pi**2)) + 4 * spacing
    reach = np.abs(relative).max(axis=0) + margin
    sides = [scipy.fft.next_fast_len(int(np.ceil(2 * r / spacing)) + 1, real=True) for r in reach]
    require_memory(_BYTES_PER_POINT * math.prod(sides), f"a structure in a box of {sides} points")
    middle = np.array(sides) // 2
    shape: Shape3 = (sides[0], sides[1], sides[2])
    places = (relative + middle * spacing)[:, ::-1]
    density = _on_grid(places, atoms.elements, atoms.scattering, atoms.b_factors, shape, spacing, blur_b)
    water = WATER_PER_A3 * atoms.displaced
    spread = np.maximum(4 * np.pi * atoms.displaced ** (2 / 3) - _mean_b("C"), 0.0)
    density -= _on_grid(places, ["C"] * len(places), water, spread, shape, spacing, blur_b)
    return density, middle.astype(np.float64)


def _on_grid(
    places_xyz: Floats, elements: list[str], scattering: Floats, b: Floats, shape: Shape3, spacing: float, blur_b: float
) -> Float32s:
    """The sum of atoms, each of its element's shape and given f(0), on a periodic grid `(z, y, x)`."""
    gemmi = load_gemmi()
    model, chain, residue = gemmi.Model(1), gemmi.Chain("A"), gemmi.Residue()
    own = {name: gemmi.Element(name).c4322.calculate_sf(0.0) for name in set(elements)}
    for place, name, weight, b_iso in zip(places_xyz, elements, scattering, b, strict=True):
        atom = gemmi.Atom()
        atom.pos = gemmi.Position(*place)
        atom.element = gemmi.Element(name)
        atom.occ, atom.b_iso = weight / own[name], b_iso
        residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    calculator = gemmi.DensityCalculatorE()
    calculator.blur = blur_b
    calculator.cutoff = 1e-5 * 2.5 / (blur_b / (4 * np.pi) + 3.0) ** 1.5  # of a carbon atom's peak
    grid = calculator.grid
    grid.spacegroup = gemmi.SpaceGroup("P 1")
    grid.set_unit_cell(gemmi.UnitCell(*(n * spacing for n in shape[::-1]), 90, 90, 90))
    grid.set_size(*shape[::-1])
    calculator.add_model_density_to_grid(model)
    return np.ascontiguousarray(grid.array.transpose(2, 1, 0), dtype=np.float32)


def _residues(model: gemmi.Model) -> Iterator[gemmi.Residue]:
    gemmi = load_gemmi()
    for chain in model:
        for residue in chain:
            if gemmi.find_tabulated_residue(residue.name).kind not in (gemmi.ResidueKind.HOH, gemmi.ResidueKind.BUF):
                yield residue


def _rows(residue: gemmi.Residue) -> Iterator[tuple[list[float], str, tuple[float, float, float]]]:
    """Place, element and (B, f(0), displaced Å³) of a residue's atoms, hydrogens that are missing shared among them."""
    gemmi = load_gemmi()
    info = gemmi.find_tabulated_residue(residue.name)
    known = [(atom, atom.element.c4322.calculate_sf(0.0)) for atom in residue if atom.element.c4322 is not None]
    known = [(atom, f0) for atom, f0 in known if f0 > 0 and atom.occ > 0]
    hydrogens = 0.0
    if not any(atom.is_hydrogen() for atom, _ in known):
        hydrogens = _missing_hydrogens(info, sum(atom.element.weight * atom.occ for atom, _ in known))
    scattering = sum(f0 * atom.occ for atom, f0 in known)
    specific = _NUCLEIC_CM3_PER_G if info.is_nucleic_acid() else _PROTEIN_CM3_PER_G
    hydrogen = gemmi.Element("H")
    for atom, f0 in known:
        share = hydrogens * f0 * atom.occ / scattering
        weight = f0 * atom.occ + share * hydrogen.c4322.calculate_sf(0.0)
        mass = atom.element.weight * atom.occ + share * hydrogen.weight
        numbers = (atom.b_iso, weight, mass * _A3_PER_DALTON * specific)
        yield [atom.pos.z, atom.pos.y, atom.pos.x], atom.element.name, numbers


def _missing_hydrogens(info: gemmi.ResidueInfo, present_daltons: float) -> float:
    """Hydrogens of a residue in its chain, as far as its other atoms are there; none where it is not tabulated."""
    if not info.found() or not info.hydrogen_count:
        return 0.0
    chained = info.is_amino_acid() or info.is_nucleic_acid()
    count = info.hydrogen_count - (3 if info.is_nucleic_acid() else 2 if chained else 0)
    whole = info.weight - 1.008 * info.hydrogen_count - (16.0 if chained else 0.0)
    return max(count, 0) * min(1.0, present_daltons / max(whole, 1.0))


def _mean_b(name: str) -> float:
    """The B factor that an element's own width amounts to."""
    coefficients = load_gemmi().Element(name).c4322
    a, b = np.array(coefficients.a), np.array(coefficients.b)
    return float((a * b).sum() / a.sum())


def load_gemmi() -> Any:
    """The module gemmi. Raises UnsupportedError where it is not installed."""
    try:
        import gemmi
    except ImportError as error:
        raise UnsupportedError(
            "structures and maps need gemmi, which is not installed", fix="pip install 'cryolithe-stream[simulate]'"
        ) from error
    return gemmi
