"""Pairs of a tilt series and a tomogram whose headers fit each other, before anything large is read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryolithe_stream.errors import InputError
from cryolithe_stream.evaluate import Volume, open_volume
from cryolithe_stream.geometry import VolumeFrame
from cryolithe_stream.prepare import ProjectionLayout, layout
from cryolithe_stream.read import TiltSeries, read_tilt_series
from cryolithe_stream.simulate import read_manifest
from cryolithe_stream.train.data_options import PairOptions, SimulatedOptions

Kind = Literal["full", "odd", "even"]
_PIXEL_TOLERANCE = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class CheckedPair:
    """A pair whose headers fit each other: nothing large has been read."""

    options: PairOptions
    series: dict[Kind, TiltSeries]
    volumes: dict[Kind, Volume]
    layout: ProjectionLayout

    @property
    def frame(self) -> VolumeFrame:
        """The reference over the prepared projections."""
        shape = next(iter(self.volumes.values())).shape_zyx
        made = self.layout
        return VolumeFrame(shape, made.shape_tyx[1:], made.axis_offset_px, made.shift_zx_px)

    @property
    def z_limits(self) -> tuple[int, int]:
        """The sections that are used."""
        return self.options.z_limits or (0, self.frame.volume_zyx[0])


def check_pair(options: PairOptions) -> CheckedPair:
    """The pair that the options name, its headers read. Raises InputError that names both values of a misfit."""
    series = {kind: _series(options, path, kind) for kind, path in _stacks(options).items()}
    main = next(iter(series.values()))
    for other in series.values():
        if other.stack.shape != main.stack.shape:
            raise InputError(
                f"{other.stack.path} has shape {other.stack.shape}, {main.stack.path} has {main.stack.shape}",
                fix="Give half stacks of the same views and size",
            )
    made = layout(main, options.bin)
    stacks = {path.resolve() for path in _stacks(options).values()} | {options.stack.resolve()}
    if twice := [path for path in _references(options).values() if path.resolve() in stacks]:
        raise InputError(f"{twice[0]} is a stack and its own reference", fix="Name a tomogram as the reference")
    volumes = {kind: open_volume(path) for kind, path in _references(options).items()}
    for volume in volumes.values():
        _check_volume(volume, made, main, options)
    return CheckedPair(options, series, volumes, made)


def simulated_pairs(options: SimulatedOptions) -> list[PairOptions]:
    """The series of a simulated folder as pairs, each with its half stacks and its truth.

    Raises what `read_manifest` does, and InputError for a folder without series.
    """
    manifest = read_manifest(options.folder)
    if not manifest.series:
        raise InputError(f"{options.folder} holds no simulated series", fix="Simulate some")
    return [
        PairOptions(
            stack=manifest.path(entry.files.stack),
            odd=manifest.path(entry.files.odd),
            even=manifest.path(entry.files.even),
            angles=manifest.path(entry.files.angles),
            reference=manifest.path(entry.files.truth),
            weight=options.weight / len(manifest.series),
            held_out=options.held_out,
        )
        for entry in manifest.series
    ]


def _stacks(options: PairOptions) -> dict[Kind, Path]:
    """The stacks that serve as inputs, each with a reference of its own."""
    found: dict[Kind, Path] = {} if options.reference is None else {"full": options.stack}
    if options.odd is not None and options.even is not None:
        found |= {"odd": options.odd, "even": options.even}
    return found


def _references(options: PairOptions) -> dict[Kind, Path]:
    """The tomogram that belongs to each input: with halves of it, that of the other half (their noise differs)."""
    found: dict[Kind, Path | None] = dict.fromkeys(_stacks(options), options.reference)
    if options.reference_odd is not None:
        found["odd"], found["even"] = options.reference_even, options.reference_odd
    return {kind: path for kind, path in found.items() if path is not None}


def _series(options: PairOptions, stack: Path, kind: Kind) -> TiltSeries:
    return read_tilt_series(
        stack,
        angles=options.angles,
        alignment=options.alignment,
        alignment_angstrom=options.alignment_pixel_size,
        pixel_angstrom=options.pixel_size,
        exclude=options.exclude,
        half=None if kind == "full" else kind,
    )


def _check_volume(volume: Volume, made: ProjectionLayout, series: TiltSeries, options: PairOptions) -> None:
    detector, shape = made.shape_tyx[1:], volume.shape_zyx
    if shape[1:] != detector:
        raise InputError(
            f"the reference {volume.name} has {shape[1]} rows and {shape[2]} columns (z, y, x: {shape}), the prepared "
            f"stack {series.stack.path} has {detector[0]} and {detector[1]} (bin {options.bin})",
            fix="Set the bin that the reference was made with, or make it from this stack",
        )
    voxel = volume.voxel_angstrom
    if voxel is not None and abs(voxel / made.pixel_angstrom - 1) > _PIXEL_TOLERANCE:
        raise InputError(
            f"the reference {volume.name} has voxels of {voxel:.4g} angstrom, the prepared stack {series.stack.path} "
            f"has pixels of {made.pixel_angstrom:.4g}",
            fix="Set bin and pixel_size so that they agree",
        )
    if options.z_limits is not None and options.z_limits[1] > shape[0]:
        raise InputError(
            f"z_limits {list(options.z_limits)} leave the reference {volume.name} of {shape[0]} sections",
            fix="Keep them inside",
        )
