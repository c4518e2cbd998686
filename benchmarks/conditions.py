"""One condition of the acquisition varied at a time, everything else as in a good series."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from benchmarks.comparison import LEVELS
from benchmarks.specimen import Specimen
from cryolithe_stream.geometry import Float32s, Floats, Ints, Shape3
from cryolithe_stream.simulate import Phantom, PhantomOptions, make_phantom
from cryolithe_stream.simulate.ctf import Microscope
from cryolithe_stream.simulate.imaging import Imaging

SHAPE: Shape3 = (128, 48, 192)
VOXEL_ANGSTROM = 10.0
DEFOCUS_UM = (3, 6)
REMOVED = (0, 10, 15, 20, 25, 30)
RANGES = (40, 50, 60, 70)
STEPS = (1, 2, 3, 4, 5)
VOXELS = (4, 7, 10, 14, 20)
THICKNESSES = (48, 96, 128, 192, 256)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A specimen under one value of a condition; `value` is what a table calls it."""

    condition: str
    value: str
    snr_db: float
    specimen: Specimen


def noise(seed: int, snr_db: float, shape: Shape3 = SHAPE) -> Iterator[Case]:
    """The benchmark's noise levels."""
    specimen = phantom_specimen(seed, shape, every(60, 3))
    yield from (Case("noise of the input, dB", f"{level:g}", level, specimen) for level in LEVELS)


def tilts_removed(seed: int, snr_db: float, shape: Shape3 = SHAPE) -> Iterator[Case]:
    """Tilts removed at random of 61, ±60° by 2°; whoever loses more also loses those that were lost before."""
    whole = phantom_specimen(seed, shape, every(60, 2))
    order = np.random.default_rng([seed, 9]).permutation(len(whole.tilts_deg))
    for count in REMOVED:
        yield Case("tilts removed of 61", f"{count}", snr_db, with_tilts(whole, np.sort(order[count:])))


def tilt_range(seed: int, snr_db: float, shape: Shape3 = SHAPE) -> Iterator[Case]:
    """Symmetric ranges by 2°."""
    for last in RANGES:
        yield Case("tilt range, ±°", f"{last}", snr_db, phantom_specimen(seed, shape, every(last, 2)))


def tilt_step(seed: int, snr_db: float, shape: Shape3 = SHAPE) -> Iterator[Case]:
    """Steps of ±60°."""
    for step in STEPS:
        yield Case("tilt step, °", f"{step}", snr_db, phantom_specimen(seed, shape, every(60, step)))


def voxel_size(seed: int, snr_db: float, shape: Shape3 = SHAPE) -> Iterator[Case]:
    """The seed's phantom at other voxel sizes, as many voxels; other draws fall, so methods compare, values hardly."""
    for voxel in VOXELS:
        yield Case("voxel size, Å", f"{voxel}", snr_db, phantom_specimen(seed, shape, every(60, 3), voxel))


def thickness(seed: int, snr_db: float, shape: Shape3 = SHAPE) -> Iterator[Case]:
    """The seed's phantom in volumes of other depths, filled; other draws fall, so methods compare, values hardly."""
    for depth in THICKNESSES:
        made = phantom_specimen(seed, (depth, *shape[1:]), every(60, 3))
        yield Case("thickness, voxels", f"{depth}", snr_db, made)


def contrast_transfer(seed: int, snr_db: float, shape: Shape3 = SHAPE) -> Iterator[Case]:
    """No contrast transfer; that of a defocus, with phases flipped as CTF-corrected stacks have it, and uncorrected."""
    clean = phantom_specimen(seed, shape, every(60, 3))
    yield Case("contrast transfer", "none", snr_db, clean)
    for defocus in DEFOCUS_UM:
        for flipped, words in ((True, "phases flipped"), (False, "uncorrected")):
            made = through_microscope(clean, float(defocus), phase_flip=flipped)
            yield Case("contrast transfer", f"{defocus} µm, {words}", snr_db, made)


CONDITIONS: dict[str, Callable[[int, float, Shape3], Iterator[Case]]] = {
    "noise": noise,
    "removed": tilts_removed,
    "range": tilt_range,
    "step": tilt_step,
    "voxel": voxel_size,
    "thickness": thickness,
    "ctf": contrast_transfer,
}


def every(last: float, step: float) -> Floats:
    """Tilts from −last to +last in degrees, 0 among them."""
    count = int(last / step + 1e-6)
    return np.asarray(np.arange(-count, count + 1) * step, np.float64)


def phantom_specimen(seed: int, shape: Shape3, tilts_deg: Floats, voxel_angstrom: float = VOXEL_ANGSTROM) -> Specimen:
    """The phantom of a seed with white noise alone."""
    return Specimen.of_phantom(_phantom(seed, shape, voxel_angstrom), tilts_deg, seed, name=f"phantom-{seed}")


@lru_cache(maxsize=1)
def _phantom(seed: int, shape: Shape3, voxel_angstrom: float) -> Phantom:
    return make_phantom(seed, PhantomOptions(shape_zyx=shape, voxel_angstrom=(voxel_angstrom, voxel_angstrom)))


def with_tilts(specimen: Specimen, kept: Ints) -> Specimen:
    """The specimen seen under some of its tilts, by index."""
    support = None if specimen.support is None else specimen.support[kept]
    return replace(specimen, signal=specimen.signal[kept], support=support, tilts_deg=specimen.tilts_deg[kept])


def through_microscope(specimen: Specimen, defocus_um: float, *, phase_flip: bool) -> Specimen:
    """The specimen seen with the contrast transfer of a defocus at 300 kV."""
    imaging = Imaging(specimen.voxel_angstrom, Microscope(), phase_flip=phase_flip)

    def formed(images: Float32s) -> Float32s:
        tilts = zip(images, specimen.tilts_deg, strict=True)
        return np.stack([imaging.form(image[None], float(tilt), defocus_um, 0.0)[0] for image, tilt in tilts])

    support = None if specimen.support is None else formed(specimen.support)
    return replace(specimen, signal=formed(specimen.signal), support=support)
