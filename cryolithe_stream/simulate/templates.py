"""Templates: macromolecules from structures and density maps, band-limited to a voxel size, turned by interpolation.

A template is kept at no more than half a voxel of spacing and holds no frequency that the voxels cannot: flat to 0.1
cycles per voxel, a half at 0.3, zero from 0.5 (a steeper end rings). A cubic spline of such a twofold oversampled
density is then nearly exact at any place and angle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
from scipy.ndimage import affine_transform, spline_filter

from cryolithe_stream.errors import InputError, MissingFileError
from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape3
from cryolithe_stream.simulate.maps import read_map
from cryolithe_stream.simulate.scattering import UNIT_PER_A3, contrast_of, read_atoms

STRUCTURES = (".pdb", ".ent", ".cif", ".mmcif", ".pdb.gz", ".ent.gz", ".cif.gz", ".mmcif.gz")
MAPS = (".mrc", ".map", ".mrc.gz", ".map.gz")
OCCUPIED = -0.3
"""Density below which a voxel counts as taken."""

_PASS, _STOP = 0.1, 0.5
_FAINT = 0.01
_MARGIN = 6
_TAKEN_NAMES = ("", "membranes", "filaments", "lattices", "particles", "templates", "gold")
_MAP_FLOOR, _MAP_DENSE, _MAP_DENSITY = 0.1, 0.99, 1.2


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A macromolecule around its centre, dark, one unit being dense protein.

    `coefficients` `(z, y, x)` of its cubic spline, `step` voxels apart, its centre at index `centre_zyx`;
    `points_zyx` `(n, 3)` of where it is dense, in voxels from the centre, in random order; `n_voxels` it takes.
    """

    name: str
    coefficients: Float32s
    centre_zyx: Floats
    step: float
    points_zyx: Floats
    n_voxels: float
    radius: float

    @classmethod
    def of(cls, name: str, density: Float32s, centre_zyx: Floats, step: float) -> Template:
        """A template of a band-limited density. Raises InputError when nothing of it is dense."""
        inside = np.argwhere(density < OCCUPIED)
        if not len(inside):
            raise InputError(
                f"template {name} is nowhere as dense as 0.3 of protein at this voxel size",
                fix="Leave it out or give a smaller --pixel-size",
            )
        some = np.argwhere(np.abs(density) > _FAINT)
        reach = some - centre_zyx
        stride = max(1, int(1 / step))
        points = inside[(inside % stride == 0).all(axis=1)] if len(inside) > 100 else inside
        points = np.random.default_rng(0).permutation(points)
        first = np.maximum(some.min(axis=0) - _MARGIN, 0)
        kept = tuple(slice(a, b + _MARGIN + 1) for a, b in zip(first, some.max(axis=0), strict=True))
        return cls(
            name=name,
            coefficients=np.asarray(spline_filter(density, order=3, output=np.float32)[kept]).copy(),
            centre_zyx=centre_zyx - first,
            step=step,
            points_zyx=(points - centre_zyx) * step,
            n_voxels=len(inside) * step**3,
            radius=float(np.linalg.norm(reach, axis=1).max()) * step,
        )

    def posed(self, rotation: Floats, centre_zyx: Floats) -> tuple[Float32s, Shape3]:
        """The density turned by a rotation `(3, 3)` and moved to a centre in voxels: a cube, and its first voxel."""
        reach = int(np.ceil(self.radius)) + 1
        first = np.rint(centre_zyx).astype(int) - reach
        matrix = rotation.T / self.step
        offset = self.centre_zyx + matrix @ (first - centre_zyx)
        cube = affine_transform(
            self.coefficients, matrix, offset, (2 * reach + 1,) * 3, np.float32, order=3, prefilter=False
        )
        return np.asarray(cube, np.float32), (int(first[0]), int(first[1]), int(first[2]))


@dataclass(slots=True, eq=False)
class TemplateLibrary:
    """The templates of files, held for one voxel size at a time; several threads may ask."""

    paths: tuple[Path, ...]
    _held: tuple[float, tuple[Template, ...]] = (0.0, ())

    def at(self, voxel_angstrom: float) -> tuple[Template, ...]:
        """All templates at a voxel size; raises as `load_template` does."""
        held_angstrom, templates = self._held
        if voxel_angstrom != held_angstrom:
            self._held, templates = (0.0, ()), ()
            templates = tuple(load_template(path, voxel_angstrom) for path in self.paths)
            self._held = voxel_angstrom, templates
        return templates


def template_files(sources: Iterable[Path]) -> list[Path]:
    """The structures and maps that paths name: folders (what lies in them, sorted), files, and lists of files.

    A list is a text file (`.txt`) with one name a line, of files in the list's own folder, suffixes optional.
    Raises MissingFileError and InputError.
    """
    found: list[Path] = []
    for source in sources:
        if source.is_dir() or source.suffix == ".txt":
            named = _listed(source) if not source.is_dir() else _there(source)
            if not named:
                raise InputError(f"{source} names no structure or map", fix=f"Give {', '.join(STRUCTURES + MAPS)}")
            found += named
        else:
            found.append(source)
    for path in found:
        if not path.is_file():
            raise MissingFileError(f"template {path} does not exist", fix="Check the path")
        if _kind(path) is None:
            raise InputError(f"{path} is no structure or map by its name", fix=f"Give {', '.join(STRUCTURES + MAPS)}")
    names = [template_name(path) for path in found]
    if odd := [name for name in names if not name.isprintable() or name in _TAKEN_NAMES]:
        raise InputError(f"{odd[0]!r} cannot be a template's name", fix="Rename the file")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"templates share the name {twice[0]}", fix="Rename one of the files")
    return found


def template_name(path: Path) -> str:
    """The file's name without its suffixes for kind and compression."""
    return path.name.removesuffix(_kind(path) or "")


def template_hashes(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each template's file, by name."""
    return {template_name(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def load_template(path: Path, voxel_angstrom: float) -> Template:
    """The template of a file at a voxel size.

    Maps are scaled so that of the voxels above a tenth of the highest the densest hundredth has 1.2 units, and are
    zero below that tenth. Raises what `read_atoms` and `read_map` raise, and InputError.
    """
    if _kind(path) in STRUCTURES:
        spacing = voxel_angstrom / 2
        blur = 18.4 * voxel_angstrom**2  # leaves 1e-4 beyond the grid's band, and is undone below
        contrast, centre = contrast_of(read_atoms(path), spacing, blur)
        density = _band_limited(contrast, spacing, voxel_angstrom, blur) / np.float32(-UNIT_PER_A3)
        return Template.of(template_name(path), density, centre, 0.5)
    raw, spacing = read_map(path)
    highest = float(raw.max())
    raw = np.where(raw > _MAP_FLOOR * highest, raw, np.float32(0))
    raw *= np.float32(-_MAP_DENSITY / np.quantile(raw[raw > 0], _MAP_DENSE))
    finer = max(1, int(np.ceil(2 * spacing / voxel_angstrom)))
    density = _band_limited(_padded(raw, int(np.ceil(3 * voxel_angstrom / spacing))), spacing, voxel_angstrom, 0, finer)
    coarser = max(1, int(voxel_angstrom / 2 / spacing))
    density = density[::coarser, ::coarser, ::coarser]
    step = spacing / finer * coarser / voxel_angstrom
    return Template.of(template_name(path), density, _centre_of_mass(density), step)


def _kind(path: Path) -> str | None:
    """Which of the suffixes a file has, the longest first."""
    known = sorted(STRUCTURES + MAPS, key=len, reverse=True)
    return next((suffix for suffix in known if path.name.lower().endswith(suffix)), None)


def _there(folder: Path) -> list[Path]:
    """The structures and maps in a folder."""
    return sorted(path for path in folder.iterdir() if path.is_file() and _kind(path))


def _listed(source: Path) -> list[Path]:
    """The files that a list names in its own folder."""
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingFileError(f"the list {source} cannot be read ({error})", fix="Check the path") from error
    names = [line.split("#")[0].strip() for line in lines]
    there = _there(source.parent)
    found = []
    for name in filter(None, names):
        same = [path for path in there if name.lower() in (path.name.lower(), template_name(path).lower())]
        if len(same) != 1:
            raise MissingFileError(
                f"the list {source} names {name}, of which {source.parent} has {len(same)} files",
                fix="Name files that lie beside the list; nothing is downloaded",
            )
        found += same
    return found


def _band_limited(density: Float32s, spacing: float, voxel_angstrom: float, blur_b: float, finer: int = 1) -> Float32s:
    """A periodic density cut to the band of the voxels, a blur taken back, on a grid `finer` times as fine."""
    spectrum = scipy.fft.rfftn(density)
    last = (*density.shape[:2], density.shape[2])
    squares = [scipy.fft.fftfreq(n, spacing) ** 2 for n in last[:2]] + [scipy.fft.rfftfreq(last[2], spacing) ** 2]
    for z, section in enumerate(spectrum):
        square = squares[0][z] + squares[1][:, None] + squares[2][None, :]
        place = np.clip((np.sqrt(square) * voxel_angstrom - _PASS) / (_STOP - _PASS), 0.0, 1.0)
        section *= (0.5 + 0.5 * np.cos(np.pi * place)) * np.exp(np.minimum(blur_b * square / 4, 20.0))
    if finer == 1:
        return np.asarray(scipy.fft.irfftn(spectrum, density.shape), np.float32)
    shape = [n * finer for n in density.shape]
    wide = np.zeros((shape[0], shape[1], shape[2] // 2 + 1), spectrum.dtype)
    index = np.ix_(*(_bins(n, n * finer) for n in density.shape[:2]), np.arange(spectrum.shape[2]))
    wide[index] = spectrum
    return np.asarray(scipy.fft.irfftn(wide, shape) * finer**3, np.float32)


def _bins(n: int, wider: int) -> Ints:
    """Where the frequencies of a transform of length n lie in a longer one."""
    frequency = np.rint(scipy.fft.fftfreq(n, 1 / n)).astype(int)
    return np.asarray(frequency % wider, np.int64)


def _padded(density: Float32s, margin: int) -> Float32s:
    """Zeros around a volume, at least `margin` wide, up to sides that transform fast."""
    sides = [scipy.fft.next_fast_len(n + 2 * margin, real=True) for n in density.shape]
    before = [(side - n) // 2 for side, n in zip(sides, density.shape, strict=True)]
    return np.pad(density, [(b, s - n - b) for b, s, n in zip(before, sides, density.shape, strict=True)])


def _centre_of_mass(density: Float32s) -> Floats:
    weight = np.minimum(density, 0.0)
    sums = [weight.sum(axis=axes, dtype=np.float64) for axes in ((1, 2), (0, 2), (0, 1))]
    return np.array([line @ np.arange(len(line)) / line.sum() for line in sums], dtype=np.float64)
