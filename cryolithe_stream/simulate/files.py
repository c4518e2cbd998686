"""The files of one simulated series: truth, stacks, angles, particles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cryolithe_stream.geometry import Box, Float32s, Floats, Shape3
from cryolithe_stream.simulate.phantom import Phantom
from cryolithe_stream.simulate.placement import Particle
from cryolithe_stream.simulate.recording import Recording
from cryolithe_stream.store import (
    MrcStack,
    create_tomogram,
    downsample_shard,
    finish_tomogram,
    output_faults,
    write_box,
    write_mrc,
)

_CHUNK, _SHARD, _SLAB = (64, 64, 64), (128, 128, 128), 32


def write_truth(work: Path, phantom: Phantom, trim_x: int, size_zyx: Shape3) -> None:
    """Writes `truth.ome.zarr` and `truth.mrc`: density, gold and carbon, `trim_x` columns left out at both sides."""
    parts = [part for part in (phantom.density, phantom.gold, phantom.carbon) if part is not None]

    def block(box: Box) -> Float32s:
        cut = box.shifted((0, 0, trim_x)).slices
        return np.asarray(sum(part[cut] for part in parts), np.float32)

    path = work / "truth.ome.zarr"
    voxel = phantom.voxel_angstrom
    tomogram = create_tomogram(
        path, shape_zyx=size_zyx, voxel_angstrom=voxel, dtype="float32", chunk_zyx=_CHUNK, shard_zyx=_SHARD
    )
    layout = tomogram.layout
    for index in layout.shard_indices(0):
        box = layout.shard_box(0, index)
        write_box(path, box, block(box))
    for level in range(1, tomogram.n_levels):
        for index in layout.shard_indices(level):
            downsample_shard(path, level, index)
    finish_tomogram(path, {"simulated": {"seed": phantom.seed, "holds": phantom.tally}})
    nz, ny, nx = size_zyx
    slabs = (Box((z, 0, 0), (min(z + _SLAB, nz), ny, nx)) for z in range(0, nz, _SLAB))
    write_mrc(
        work / "truth.mrc",
        ((slab, block(slab)) for slab in slabs),
        shape_zyx=size_zyx,
        voxel_angstrom=voxel,
        labels=["truth of a simulation"],
    )


def write_images(
    work: Path, name: str, recording: Recording, tilts_deg: Floats, pixel_angstrom: float, *, clean: bool, label: str
) -> None:
    """Writes the full, odd and even stacks, with `clean` the noiseless one, and the angles.

    The stacks bear the `label`.
    """
    shape = recording.images.shape
    names = [name, f"{name}_odd", f"{name}_even", *([f"{name}_clean"] if clean else [])]
    stacks = [
        MrcStack.create(
            work / f".{n}.partial",
            shape_tyx=(shape[0], shape[1], shape[2]),
            pixel_angstrom=pixel_angstrom,
            labels=["simulated, tilt axis along y, dark density", label],
        )
        for n in names
    ]
    for tilt in range(shape[0]):
        odd, even = recording.halves(tilt)
        images = [odd + even, odd, even, np.array(recording.images[tilt])]
        for stack, image in zip(stacks, images, strict=False):
            stack.write_image(tilt, image)
    for stack, n in zip(stacks, names, strict=True):
        stack.finish(work / f"{n}.mrc")
    with output_faults(work):
        (work / f"{name}.tlt").write_text("".join(f"{tilt:.4f}\n" for tilt in tilts_deg), encoding="ascii")


def write_particles(path: Path, particles: Sequence[Particle], trim_x: int, width: int) -> None:
    """Writes where templates lie in the truth: name, centre z, y, x in voxels, and the rotation of (z, y, x) by rows.

    Those whose centre lies outside the truth are left out.
    """
    lines = ["name\tz\ty\tx\t" + "\t".join(f"r{i}{j}" for i in "zyx" for j in "zyx")]
    for particle in particles:
        z, y, x = particle.centre_zyx - (0, 0, trim_x)
        if -0.5 <= x < width - 0.5:
            numbers = [*(f"{v:.3f}" for v in (z, y, x)), *(f"{v:.6f}" for v in particle.rotation.ravel())]
            lines.append("\t".join([particle.name, *numbers]))
    with output_faults(path):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
