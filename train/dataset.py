"""Training examples: phantoms with clean projections at every degree, and recordings of them, filtered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cryolithe_stream.geometry import Float32s, Floats, SampleGrid, Shape2, Shape3, VolumeFrame
from cryolithe_stream.network.filters import CosineRamp, ProjectionFilter
from cryolithe_stream.simulate import Acquisition, Phantom, PhantomOptions, acquire, make_phantom, project, random_tilts

Halves = NDArray[np.float16]
DEGREES = np.arange(-70, 71)
RAMP = ProjectionFilter(ramp=CosineRamp())


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """A phantom and its clean projections at `DEGREES + offset_deg`, float16 to fit many in memory.

    `truth` `(z, y, x)` with gold; `signal` `(degree, y, x)` without; `gold` the beads' own projections or None.
    """

    truth: Halves
    signal: Halves
    gold: Halves | None
    offset_deg: float
    voxel_angstrom: float


def make_specimen(seed: int, rows: int, width: int, depths: list[int], *, p_finite: float) -> Specimen:
    """The specimen of a seed, of a random depth; it goes on along x without end, or with `p_finite` it does not."""
    rng = np.random.default_rng([seed, 1])
    finite = rng.random() < p_finite
    shape = (int(rng.choice(depths)), rows, width)
    phantom = make_phantom(seed, PhantomOptions(shape_zyx=shape, periodic_x=not finite))
    return specimen_of(phantom, float(rng.uniform(-0.5, 0.5)))


def specimen_of(phantom: Phantom, offset_deg: float) -> Specimen:
    """A phantom with its projections; the detector is as large as the volume."""
    detector = phantom.density.shape[1:]
    tilts = DEGREES + offset_deg
    signal = project(phantom.density, tilts, detector, periodic_x=phantom.periodic_x)
    gold = None
    if phantom.gold is not None:
        gold = project(phantom.gold, tilts, detector, periodic_x=phantom.periodic_x).astype(np.float16)
    truth = phantom.truth.astype(np.float16)
    return Specimen(truth, signal.astype(np.float16), gold, offset_deg, phantom.voxel_angstrom)


def cached_specimen(folder: Path, seed: int, rows: int, width: int, depths: list[int], *, p_finite: float) -> Specimen:
    """The specimen of a seed from a folder, made and kept there when it is not."""
    path = folder / f"specimen-{seed:05d}.npz"
    if path.exists():
        with np.load(path) as data:
            gold = data.get("gold")
            return Specimen(data["truth"], data["signal"], gold, float(data["offset"]), float(data["voxel"]))
    made = make_specimen(seed, rows, width, depths, p_finite=p_finite)
    arrays = {"truth": made.truth, "signal": made.signal, "offset": made.offset_deg, "voxel": made.voxel_angstrom}
    if made.gold is not None:
        arrays["gold"] = made.gold
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.rename(path)
    return made


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """A recorded tilt series as `prepare` leaves it, and what the network should make of it.

    `filtered` `(tilt, y, x)`: normalised by the stack's mean and standard deviation, then filtered. `truth` is density
    over that same standard deviation, so a 1-homogeneous network needs no other knowledge of scale; `spread` is its
    standard deviation without the brightest thousandth, by which the loss is measured.
    """

    filtered: torch.Tensor
    truth: Float32s
    tilts_deg: Floats
    spread: float

    @property
    def shape_zyx(self) -> Shape3:
        """Voxels."""
        nz, ny, nx = self.truth.shape
        return (nz, ny, nx)

    def grid(self, first_x: int, last_x: int) -> SampleGrid:
        """The points of the planes' columns first_x … last_x − 1 (rows are left to the caller)."""
        nz, ny, nx = self.shape_zyx
        detector: Shape2 = (ny, self.filtered.shape[2])
        whole = VolumeFrame((nz, ny, nx), detector).voxels()
        return SampleGrid(whole.z_px, whole.row_px, whole.x_px[first_x:last_x], whole.axis_px)


def prepared(recorded: Float32s) -> tuple[torch.Tensor, float]:
    """Globally normalised and filtered projections, and the standard deviation that they were divided by."""
    mean, std = float(recorded.mean(dtype=np.float64)), float(recorded.std(dtype=np.float64))
    return RAMP.apply(torch.from_numpy((recorded - np.float32(mean)) / np.float32(std))), std


def record(
    specimen: Specimen, snr_db: float, tilts: Floats, rng: np.random.Generator, faults: Acquisition
) -> Recording:
    """A recording of a specimen at whole-degree tilts, not mirrored."""
    index = np.searchsorted(DEGREES, tilts)
    gold = None if specimen.gold is None else specimen.gold[index].astype(np.float32)
    tilts_deg = tilts + specimen.offset_deg
    recorded = acquire(specimen.signal[index].astype(np.float32), gold, tilts_deg, snr_db, rng, faults)
    filtered, std = prepared(recorded)
    truth = specimen.truth.astype(np.float32) / np.float32(std)
    limit = np.quantile(truth[::4, ::2, ::4], 0.001)
    return Recording(filtered, truth, tilts_deg, float(np.maximum(truth, limit).std()))


def random_recording(
    specimen: Specimen, rng: np.random.Generator, snr_db: tuple[float, float], faults: Acquisition
) -> Recording:
    """A recording with random tilts, noise and faults, mirrored at random along each axis."""
    tilts = random_tilts(rng, p_drop=faults.p_drop)
    return mirrored(record(specimen, float(rng.uniform(*snr_db)), tilts, rng, faults), rng.random(3) < 0.5)


def mirrored(recording: Recording, axes_zyx: NDArray[np.bool_]) -> Recording:
    """The recording of the mirrored specimen: mirrors along z and x turn θ into −θ, one along x flips the frames."""
    z, y, x = (bool(a) for a in axes_zyx)
    flips = [axis for axis, on in ((1, y), (2, x)) if on]
    filtered = torch.flip(recording.filtered, flips) if flips else recording.filtered
    steps = tuple(slice(None, None, -1 if on else 1) for on in (z, y, x))
    tilts = -recording.tilts_deg if z != x else recording.tilts_deg
    return Recording(filtered, recording.truth[steps], tilts, recording.spread)
