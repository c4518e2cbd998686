"""A tiny molecule, and the folder of real structures."""

from __future__ import annotations

from pathlib import Path

import pytest

# Two atoms 20 Å apart along (x, y, z) = (12, 16, 0): carbon at the origin, sulphur away from it.
TWO_ATOMS = """\
HETATM    1  C   UNL A   1       0.000   0.000   0.000  1.00 10.00           C
HETATM    2  S   UNL A   1      12.000  16.000   0.000  1.00 10.00           S
END
"""
# Glycyl-alanine chains on a lattice: dense as a small protein. Two missing corners make the whole chiral.
_PEPTIDE = [
    ("N", "GLY", 1, 0.000, 0.000, 0.000),
    ("CA", "GLY", 1, 1.450, 0.000, 0.000),
    ("C", "GLY", 1, 2.000, 1.420, 0.000),
    ("O", "GLY", 1, 1.250, 2.400, 0.000),
    ("N", "ALA", 2, 3.330, 1.540, 0.000),
    ("CA", "ALA", 2, 3.970, 2.850, 0.000),
    ("CB", "ALA", 2, 3.540, 3.630, 1.240),
    ("C", "ALA", 2, 5.480, 2.720, 0.000),
    ("O", "ALA", 2, 6.030, 1.620, 0.000),
]


def block_of_peptides(counts=(9, 12, 6), step=(7.5, 4.8, 4.3)) -> str:
    """A PDB file of short peptides side by side, (x, y, z)."""
    lines, serial, number = [], 0, 0
    for i in range(counts[0]):
        for j in range(counts[1]):
            for k in range(counts[2]):
                if (i > 4 and j > 5) or (i < 3 and k > 3):
                    continue
                for name, residue, place, x, y, z in _PEPTIDE:
                    serial += 1
                    at = (x + i * step[0], y + j * step[1], z + k * step[2])
                    lines.append(
                        f"ATOM  {serial % 100000:5d}  {name:<3s} {residue} A{(number + place) % 10000:4d}    "
                        f"{at[0]:8.3f}{at[1]:8.3f}{at[2]:8.3f}  1.00 20.00          {name[0]:>2s}"
                    )
                number += 2
    return "\n".join([*lines, "END", ""])


@pytest.fixture
def two_atoms(tmp_path) -> Path:
    """A PDB file of two atoms."""
    path = tmp_path / "two.pdb"
    path.write_text(TWO_ATOMS)
    return path


@pytest.fixture(scope="session")
def molecules(tmp_path_factory) -> Path:
    """A folder with one small made-up molecule."""
    folder = tmp_path_factory.mktemp("molecules")
    (folder / "brick.pdb").write_text(block_of_peptides())
    return folder


@pytest.fixture(scope="session")
def structures(shared) -> Path:
    """The folder of real structures, which the repository does not carry."""
    folder = shared / "data" / "structures"
    if not folder.is_dir():
        pytest.skip(f"no structures at {folder}")
    return folder
