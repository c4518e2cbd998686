"""Simulated specimens, kept on disk with clean projections at every degree, and recordings of them."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from cryolithe_stream.errors import CryolitheError, FormatError, InputError
from cryolithe_stream.geometry import Box, Float32s, Floats, VolumeFrame
from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.simulate import Acquisition, Phantom, acquire, make_phantom, project, random_tilts
from cryolithe_stream.simulate import PhantomOptions as Contents
from cryolithe_stream.simulate.ctf import Microscope
from cryolithe_stream.simulate.imaging import Imaging
from cryolithe_stream.simulate.memory import simulation_bytes
from cryolithe_stream.simulate.templates import TemplateLibrary, template_files, template_hashes
from cryolithe_stream.store import output_faults
from cryolithe_stream.train.data_options import PhantomOptions
from cryolithe_stream.train.scene import Range

Halves = NDArray[np.float16]
DEGREES = np.arange(-70, 71)
_TEMPLATES = 4
_CROWDING = (0.05, 0.25)


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """A phantom and its clean projections at `DEGREES + offset_deg`, float16.

    `truth` `(z, y, x)` with gold; `signal` `(degree, y, x)` without; `gold` the beads' own projections or None.
    """

    truth: Halves
    signal: Halves
    gold: Halves | None
    offset_deg: float
    voxel_angstrom: float


def make_specimen(seed: int, options: PhantomOptions) -> Specimen:
    """The specimen of a seed, of a random depth; it goes on along x without end, or with `p_finite` it does not."""
    rng = np.random.default_rng([seed, 1])
    finite = rng.random() < options.p_finite
    shape = (int(rng.choice(options.depths)), options.rows, options.width)
    offset = float(rng.uniform(-0.5, 0.5))
    contents = Contents(shape_zyx=shape, periodic_x=not finite)
    if not options.templates or rng.random() >= options.p_templates:
        return specimen_of(make_phantom(seed, contents), offset)
    files = template_files(options.templates)
    some = rng.choice(len(files), min(_TEMPLATES, len(files)), replace=False)
    crowding = float(np.exp(rng.uniform(*np.log(_CROWDING))))
    real = replace(contents, particles=(), crowding=crowding)
    library = TemplateLibrary(tuple(files[i] for i in some))
    return specimen_of(make_phantom(seed, real, library.at), offset)


def specimen_of(phantom: Phantom, offset_deg: float) -> Specimen:
    """A phantom with its projections; the detector is as large as the volume."""
    detector = phantom.density.shape[1:]
    tilts: Floats = np.asarray(DEGREES + offset_deg)
    signal = project(phantom.density, tilts, detector, periodic_x=phantom.periodic_x)
    gold = None
    if phantom.gold is not None:
        gold = project(phantom.gold, tilts, detector, periodic_x=phantom.periodic_x).astype(np.float16)
    truth = phantom.truth.astype(np.float16)
    return Specimen(truth, signal.astype(np.float16), gold, offset_deg, phantom.voxel_angstrom)


def specimen_bytes(options: PhantomOptions) -> int:
    """Upper bound of the bytes of a process that makes a specimen; templates come on top."""
    deepest, rows, width = max(options.depths), options.rows, options.width
    images = 12 * len(DEGREES) * rows * width  # with and without gold, as they are projected and as they are kept
    return simulation_bytes((deepest, rows, width), width, DEGREES.astype(np.float64)) + images


@dataclass(frozen=True, slots=True)
class SpecimenCache:
    """Specimens by seed in a folder, one `.npz` each, made when missing and read when needed, by several processes.

    `folder` and the options' templates become absolute, so that workers elsewhere find them. `hashes` are those of the
    templates' files, by name. Raises MissingFileError and InputError for templates.
    """

    folder: Path
    options: PhantomOptions
    hashes: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        templates = tuple(path.absolute() for path in self.options.templates)
        object.__setattr__(self, "folder", self.folder.absolute())
        object.__setattr__(self, "options", self.options.model_copy(update={"templates": templates}))
        object.__setattr__(self, "hashes", template_hashes(template_files(templates) if templates else []))

    def has(self, seed: int) -> bool:
        """Whether the specimen of a seed was made. Raises InputError for one of other sizes."""
        path = self._path(seed)
        if there := path.exists():
            self._check(path)
        return there

    def make(self, seed: int) -> None:
        """Make the specimen of a seed unless it is there. Raises OutputError, and InputError for one of other sizes."""
        if self.has(seed):
            return
        path, made = self._path(seed), make_specimen(seed, self.options)
        arrays: dict[str, Any] = {
            "truth": made.truth,
            "signal": made.signal,
            "offset": made.offset_deg,
            "voxel": made.voxel_angstrom,
            "sizes": json.dumps(self._sizes()),
        }
        if made.gold is not None:
            arrays["gold"] = made.gold
        partial = path.with_name(f".{path.stem}.{uuid4().hex}.partial.npz")
        with output_faults(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                np.savez(partial, **arrays)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)

    def load(self, seed: int) -> Specimen:
        """The specimen of a seed that was made."""
        with _opened(self._path(seed)) as data:
            return Specimen(
                data["truth"], data["signal"], data.get("gold"), float(data["offset"]), float(data["voxel"])
            )

    def _path(self, seed: int) -> Path:
        return self.folder / f"specimen-{seed:05d}.npz"

    def _sizes(self) -> dict[str, Any]:
        sizes = self.options.model_dump(mode="json", include={"rows", "width", "depths", "p_finite"})
        if self.options.templates:
            sizes |= {"p_templates": self.options.p_templates, "templates": self.hashes}
        return sizes

    def _check(self, path: Path) -> None:
        """Refuse a specimen that was made with other sizes (older files state none: their shape tells)."""
        with _opened(path) as data:
            stated = json.loads(str(data["sizes"])) if "sizes" in data else None
            found = stated or dict(zip(("depth", "rows", "width"), data["truth"].shape, strict=True))
        o = self.options
        fits = found["rows"] == o.rows and found["width"] == o.width
        fits &= stated == self._sizes() if stated else found["depth"] in o.depths
        if not fits:
            raise InputError(
                f"{path} holds a specimen of {found}, the configuration asks for {self._sizes()}",
                fix="Name another folder in phantoms.cache",
            )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The arrays of a specimen. Raises FormatError when the file is damaged."""
    try:
        with path.open("rb") as file, np.load(file) as data:
            yield data
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile, zlib.error) as error:
        if isinstance(error, CryolitheError):
            raise
        raise FormatError(f"the specimen {path} cannot be read ({error})", fix="Delete it; it is made again") from error


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recorded tilt series as `prepare` leaves it, and what the network should make of it: a `Scene`.

    `values` `(tilt, y, x)`: normalised by the stack's mean and standard deviation, then filtered. `density` is the
    truth over that same standard deviation, so a 1-homogeneous network needs no other knowledge of scale; `spread` is
    its standard deviation without the brightest thousandth.
    """

    values: Float32s
    density: Float32s
    tilts_deg: Floats
    spread: float

    @property
    def frame(self) -> VolumeFrame:
        """The volume over its detector."""
        nz, ny, nx = self.density.shape
        return VolumeFrame((nz, ny, nx), (self.values.shape[1], self.values.shape[2]))

    @property
    def inside(self) -> Box:
        """All voxels."""
        return Box.whole(self.frame.volume_zyx)

    def projections(self, rows: Range, columns: Range) -> Float32s:
        """Detector rows and columns of all tilts, `(tilt, row, column)`."""
        return self.values[:, slice(*rows), slice(*columns)]

    def truth(self, box: Box) -> Float32s:
        """Voxels of a box, `(z, y, x)`."""
        return self.density[box.slices]


def record(
    specimen: Specimen,
    snr_db: float,
    tilts: Floats,
    rng: np.random.Generator,
    faults: Acquisition,
    chain: ProjectionFilter,
    optics: Optics | None = None,
) -> Recording:
    """A recording of a specimen at whole-degree tilts, filtered by `chain`; without optics contrast is perfect."""
    index = np.searchsorted(DEGREES, tilts)
    tilts_deg = tilts + specimen.offset_deg
    signal = specimen.signal[index].astype(np.float32)
    gold = None if specimen.gold is None else specimen.gold[index].astype(np.float32)
    if optics is not None:
        signal = optics.image(signal, tilts_deg, specimen.voxel_angstrom)
        gold = None if gold is None else optics.image(gold, tilts_deg, specimen.voxel_angstrom)
    recorded = acquire(signal, gold, tilts_deg, snr_db, rng, faults)
    values, std = prepared(recorded, chain)
    truth = specimen.truth.astype(np.float32) / np.float32(std)
    limit = np.quantile(truth[::4, ::2, ::4], 0.001)
    return Recording(values, truth, tilts_deg, float(np.maximum(truth, limit).std()))


def prepared(recorded: Float32s, chain: ProjectionFilter) -> tuple[Float32s, float]:
    """Globally normalised and filtered projections, and the standard deviation that they were divided by."""
    mean, std = float(recorded.mean(dtype=np.float64)), float(recorded.std(dtype=np.float64))
    normal = (recorded - np.float32(mean)) / np.float32(std)
    return chain.apply(torch.from_numpy(normal)).numpy(), std


@dataclass(frozen=True, slots=True)
class Optics:
    """Defocus (µm) of a series, and whether the frequencies whose contrast it reverses are turned back."""

    defocus_um: float
    phase_flip: bool

    def image(self, projections: Float32s, tilts_deg: Floats, pixel_angstrom: float) -> Float32s:
        """Projections `(tilt, y, x)` through the contrast transfer of a microscope of 300 kV."""
        imaging = Imaging(pixel_angstrom, Microscope(), phase_flip=self.phase_flip)
        formed = [
            imaging.form(image[None], float(tilt), self.defocus_um, 0.0)[0]
            for image, tilt in zip(projections, tilts_deg, strict=True)
        ]
        return np.stack(formed)


@dataclass(frozen=True, slots=True)
class Recorder:
    """Recording number `index` of a training: a pure function of seed and index."""

    cache: SpecimenCache
    seed: int
    chain: ProjectionFilter

    def __call__(self, index: int) -> Recording:
        """Recording `index`: a random specimen, tilt scheme, noise level and faults."""
        rng = np.random.default_rng([self.seed, 2, index])
        o = self.cache.options
        faults = Acquisition(**o.faults.model_dump())
        specimen = self.cache.load(o.first_seed + int(rng.integers(o.count)))
        tilts = random_tilts(rng, p_drop=faults.p_drop)
        optics = None
        if rng.random() < o.p_ctf:
            optics = Optics(float(rng.uniform(*o.defocus_um)), bool(rng.random() < 0.5))
        return record(specimen, float(rng.uniform(*o.snr_db)), tilts, rng, faults, self.chain, optics)
