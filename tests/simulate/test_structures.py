"""Structures and maps as templates: scattering, sign, scale, rotation."""

from __future__ import annotations

import gzip

import gemmi
import mrcfile
import numpy as np
import pytest

from cryolithe_stream.errors import FormatError, InputError, MissingFileError
from cryolithe_stream.simulate.blobs import random_rotation
from cryolithe_stream.simulate.maps import read_map
from cryolithe_stream.simulate.scattering import UNIT_PER_A3, WATER_PER_A3, contrast_of, read_atoms
from cryolithe_stream.simulate.templates import Template, load_template, template_files, template_name


def free_scattering(name):
    return gemmi.Element(name).c4322.calculate_sf(0.0)


def test_two_atoms_scatter_as_tabulated_less_the_water_they_displace(two_atoms):
    atoms = read_atoms(two_atoms)
    np.testing.assert_allclose(atoms.scattering, [free_scattering("C"), free_scattering("S")], rtol=1e-6)
    density, _ = contrast_of(atoms, 1.0, 60.0)
    expected = free_scattering("C") + free_scattering("S") - WATER_PER_A3 * atoms.displaced.sum()
    assert density.sum(dtype=np.float64) == pytest.approx(expected, rel=1e-3)


def test_two_atoms_are_twenty_angstrom_apart_and_the_right_way_round(two_atoms):
    density, centre = contrast_of(read_atoms(two_atoms), 1.0, 60.0)
    peak = np.array(np.unravel_index(density.argmax(), density.shape))  # sulphur
    others = np.indices(density.shape).reshape(3, -1).T
    far = np.linalg.norm(others - peak, axis=1) > 8
    second = others[far][density.reshape(-1)[far].argmax()]
    np.testing.assert_allclose(peak - second, (0, 16, 12), atol=1.01)  # z, y, x
    assert np.linalg.norm(peak - second) == pytest.approx(20, abs=1.0)
    weights = read_atoms(two_atoms).scattering
    np.testing.assert_allclose(peak - centre, np.array([0, 16, 12]) * weights[0] / weights.sum(), atol=1.0)


def test_hydrogens_that_a_model_leaves_out_are_counted(molecules):
    atoms = read_atoms(molecules / "brick.pdb")
    n_peptides = len(atoms.elements) / 9
    per_peptide = atoms.scattering.sum() / n_peptides
    # Gly and Ala in a chain have 3 and 5 hydrogens; the end of each chain lacks its water.
    heavy = 5 * free_scattering("C") + 2 * free_scattering("N") + 2 * free_scattering("O")
    assert per_peptide == pytest.approx(heavy + 8 * free_scattering("H"), rel=1e-3)
    assert atoms.displaced.sum() / n_peptides == pytest.approx(128.13 * 1.6605 * 0.73, rel=2e-3)


def test_protein_is_dark_and_about_one(molecules):
    template = load_template(molecules / "brick.pdb", 5.0)
    cube, _ = template.posed(np.eye(3), np.zeros(3))
    assert cube.min() == pytest.approx(-1.0, abs=0.25)
    assert cube.max() < 0.15


@pytest.mark.parametrize("voxel", [4.0, 7.3, 10.0])
def test_the_sum_of_density_is_that_of_the_scattering_at_any_voxel_size(molecules, voxel):
    atoms = read_atoms(molecules / "brick.pdb")
    expected = -(atoms.scattering.sum() - WATER_PER_A3 * atoms.displaced.sum()) / UNIT_PER_A3 / voxel**3
    cube, _ = load_template(molecules / "brick.pdb", voxel).posed(np.eye(3), np.zeros(3))
    assert cube.sum(dtype=np.float64) == pytest.approx(expected, rel=0.01)


def test_rotation_keeps_the_sum_and_moves_the_centre_where_it_is_told(molecules):
    template = load_template(molecules / "brick.pdb", 6.0)
    rng = np.random.default_rng(0)
    still = template.posed(np.eye(3), np.zeros(3))[0].sum(dtype=np.float64)
    for _ in range(6):
        centre = rng.uniform(-5, 50, 3)
        cube, first = template.posed(random_rotation(rng), centre)
        assert cube.sum(dtype=np.float64) == pytest.approx(still, rel=0.01)
        grid = np.indices(cube.shape).reshape(3, -1) + np.array(first)[:, None]
        np.testing.assert_allclose(grid @ cube.reshape(-1) / cube.sum(dtype=np.float64), centre, atol=0.15)


def test_a_quarter_turn_is_the_exact_one_and_not_its_mirror_image(molecules):
    template = load_template(molecules / "brick.pdb", 5.0)
    still, _ = template.posed(np.eye(3), np.zeros(3))
    turned, _ = template.posed(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), np.zeros(3))  # y → x, x → −y
    expected = np.flip(still.transpose(0, 2, 1), 1)
    assert np.linalg.norm(turned - expected) < 1e-3 * np.linalg.norm(still)
    assert np.linalg.norm(np.flip(turned, 1) - expected) > 0.1 * np.linalg.norm(still)


def test_the_band_ends_at_the_voxels_nyquist(molecules):
    cube, _ = load_template(molecules / "brick.pdb", 8.0).posed(random_rotation(np.random.default_rng(1)), np.zeros(3))
    power = np.abs(np.fft.fftn(cube)) ** 2
    squares = np.meshgrid(*(np.fft.fftfreq(n) ** 2 for n in cube.shape), indexing="ij")
    radius = np.sqrt(sum(squares))
    assert power[radius > 0.5].max() < 1e-5 * power.max()


def write_map(path, density, voxel):
    with mrcfile.new(path, overwrite=True) as file:
        file.set_data(density.astype(np.float32))
        file.voxel_size = voxel
    return path


def sphere(n, radius, offset=(0, 0, 0)):
    z, y, x = np.indices((n, n, n)) - (n - 1) / 2
    return np.clip(radius - np.sqrt((z - offset[0]) ** 2 + (y - offset[1]) ** 2 + (x - offset[2]) ** 2) + 0.5, 0, 1)


@pytest.mark.parametrize("voxel", [4.0, 10.0, 14.0])
def test_a_map_keeps_its_volume_and_size_at_any_voxel_size(tmp_path, voxel):
    path = write_map(tmp_path / "ball.mrc", 7.0 * sphere(33, 10, (0, 2, 3)), 6.0)
    template = load_template(path, voxel)
    cube, _ = template.posed(random_rotation(np.random.default_rng(2)), np.zeros(3))
    assert -cube.sum(dtype=np.float64) * voxel**3 == pytest.approx(1.2 * 4 / 3 * np.pi * 60**3, rel=0.02)
    middle = cube[tuple(n // 2 for n in cube.shape)]
    assert middle == pytest.approx(-1.2, abs=0.06)
    assert template.points_zyx.mean(axis=0) == pytest.approx([0, 0, 0], abs=0.3)


def test_compressed_maps_and_other_axis_orders_are_the_same_map(tmp_path):
    density = np.random.default_rng(0).uniform(0, 1, (6, 9, 12)).astype(np.float32)
    plain = write_map(tmp_path / "plain.mrc", density, 5.0)
    with gzip.open(tmp_path / "packed.mrc.gz", "wb") as file:
        file.write(plain.read_bytes())
    turned = write_map(tmp_path / "turned.mrc", density.transpose(2, 0, 1), 5.0)
    with mrcfile.open(turned, "r+") as file:
        # Columns are y, rows z, sections x; the cell is given by x, y, z all the same.
        file.header.mapc, file.header.mapr, file.header.maps = 2, 3, 1
        file.header.mx, file.header.my, file.header.mz = 12, 9, 6
        file.header.cella = (60.0, 45.0, 30.0)
    for name in ("plain.mrc", "packed.mrc.gz", "turned.mrc"):
        found, voxel = read_map(tmp_path / name)
        np.testing.assert_array_equal(found, density)
        assert voxel == pytest.approx(5.0)


def test_what_is_no_structure_or_map_is_refused_by_name(tmp_path):
    (tmp_path / "empty.pdb").write_text("END\n")
    (tmp_path / "text.cif").write_text("no cif at all {")
    (tmp_path / "water.pdb").write_text(
        "HETATM    1  O   HOH A   1       0.000   0.000   0.000  1.00 10.00           O\nEND\n"
    )
    (tmp_path / "short.mrc").write_bytes(b"\0" * 100)
    (tmp_path / "broken.pdb.gz").write_bytes(b"not gzip")
    for name in ("empty.pdb", "text.cif", "water.pdb", "short.mrc", "broken.pdb.gz"):
        with pytest.raises(FormatError, match=name.split(".")[0]):
            load_template(tmp_path / name, 8.0)
    flat = write_map(tmp_path / "flat.mrc", np.zeros((4, 4, 4)), 5.0)
    with pytest.raises(FormatError, match="nowhere positive"):
        read_map(flat)
    unsized = write_map(tmp_path / "unsized.mrc", np.ones((4, 4, 4)), 0.0)
    with pytest.raises(FormatError, match="equal sides"):
        read_map(unsized)
    with pytest.raises(InputError, match="nowhere as dense"):
        Template.of("faint", np.zeros((4, 4, 4), np.float32), np.zeros(3), 0.5)


def test_folders_and_lists_name_templates_and_never_leave_the_lists_folder(tmp_path):
    for name in ("1abc.pdb.gz", "2xyz.cif", "map.mrc", "notes.md"):
        (tmp_path / name).write_text("")
    found = template_files([tmp_path])
    assert [template_name(p) for p in found] == ["1abc", "2xyz", "map"]
    listing = tmp_path / "list.txt"
    listing.write_text("1ABC  # any case, no suffix\n\nmap.mrc\n")
    assert [p.name for p in template_files([listing])] == ["1abc.pdb.gz", "map.mrc"]
    (tmp_path / "none").mkdir()
    (tmp_path / "none.txt").write_text("# nothing\n")
    for name in ("none", "none.txt"):
        with pytest.raises(InputError, match="names no structure or map"):
            template_files([tmp_path / name])
    for text in ("3not", "../1abc", "/etc/passwd"):
        listing.write_text(text)
        with pytest.raises(MissingFileError, match="0 files"):
            template_files([listing])
    with pytest.raises(InputError, match="share the name 1abc"):
        template_files([tmp_path / "1abc.pdb.gz", tmp_path])
    with pytest.raises(InputError, match="no structure"):
        template_files([tmp_path / "notes.md"])
    for name in ("gold.pdb", "tab\tbed.mrc"):
        (tmp_path / name).write_text("")
        with pytest.raises(InputError, match="cannot be a template's name"):
            template_files([tmp_path / name])
    with pytest.raises(MissingFileError, match="gone"):
        template_files([tmp_path / "gone.pdb"])


def test_real_proteins_stand_one_unit_above_water(structures):
    for name in ("1bxn", "1s3x", "3j9i"):
        atoms = read_atoms(structures / f"{name}.pdb.gz")
        above = atoms.scattering.sum() / atoms.displaced.sum() - WATER_PER_A3
        assert above == pytest.approx(UNIT_PER_A3, rel=0.02)
    assert len(read_atoms(structures / "1bxn.pdb.gz").elements) == 2 * 18144  # the assembly is two of what is deposited
    ribosome = read_atoms(structures / "4v4r_30S.pdb.gz")
    assert ribosome.scattering.sum() / ribosome.displaced.sum() - WATER_PER_A3 > 1.15 * UNIT_PER_A3


def test_a_real_protein_is_of_the_size_that_its_mass_tells(structures):
    template = load_template(structures / "1bxn.pdb.gz", 6.0)
    volume = read_atoms(structures / "1bxn.pdb.gz").displaced.sum()
    assert template.n_voxels * 6.0**3 == pytest.approx(volume, rel=0.35)
    cube, _ = template.posed(np.eye(3), np.zeros(3))
    assert -1.5 < cube.min() < -0.9
