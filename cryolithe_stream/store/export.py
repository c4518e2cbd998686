"""Whole MRC files from blocks in any order, or from a tomogram, streamed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from cryolithe_stream.errors import InputError
from cryolithe_stream.geometry import Box, Float32s, Shape3
from cryolithe_stream.store.mrc import MrcVolume
from cryolithe_stream.store.ownership import require_replaceable
from cryolithe_stream.store.place import PlaceLike
from cryolithe_stream.store.tomogram import PathLike, open_tomogram
from cryolithe_stream.store.values import DtypeName, Scaling, Statistics, Written


def write_mrc(
    path: PathLike,
    blocks: Iterable[tuple[Box, Float32s]],
    *,
    shape_zyx: Shape3,
    voxel_angstrom: float,
    dtype: DtypeName = "float32",
    scaling: Scaling | None = None,
    origin_zyx_angstrom: Sequence[float] = (0.0, 0.0, 0.0),
    labels: Sequence[str] = (),
    overwrite: bool = False,
) -> Statistics:
    """Write blocks that tile a volume, in any order, as an MRC file that appears when it is complete.

    Returns the statistics of what was stored. Raises OutputError, also when `path` exists, unless `overwrite` and it
    is a file of ours.
    """

    def create(temporary: Path) -> MrcVolume:
        return MrcVolume.create(
            temporary,
            shape_zyx=shape_zyx,
            voxel_angstrom=voxel_angstrom,
            dtype=dtype,
            scaling=scaling,
            origin_zyx_angstrom=origin_zyx_angstrom,
            labels=labels,
        )

    return _streamed(
        Path(path), create, lambda volume: (volume.write_box(*pair) for pair in blocks), overwrite=overwrite
    )


def export_mrc(tomogram_path: PlaceLike, mrc_path: PathLike, *, level: int = 0, overwrite: bool = False) -> Statistics:
    """Copy a level of a finished tomogram into an MRC file, shard by shard, numbers and data type as stored.

    The MRC origin is the level's translation. Returns the statistics of what was stored. Raises InputError for an
    unfinished tomogram or a level that it lacks, OutputError as `write_mrc`.
    """
    tomogram = open_tomogram(tomogram_path)
    layout = tomogram.layout
    if not tomogram.finished:
        raise InputError(f"{tomogram.path} is unfinished", fix="Finish it with the command that started it")
    if not 0 <= level < tomogram.n_levels:
        raise InputError(
            f"{tomogram.path} has no level {level}", fix=f"Choose one of the levels 0 to {tomogram.n_levels - 1}"
        )
    source = tomogram.level(level)

    def create(temporary: Path) -> MrcVolume:
        return MrcVolume.create(
            temporary,
            shape_zyx=layout.level_shapes[level],
            voxel_angstrom=layout.scale_angstrom(level)[0],
            dtype=layout.dtype,
            scaling=layout.scaling,
            origin_zyx_angstrom=layout.translation_angstrom(level),
        )

    def copy(volume: MrcVolume) -> Iterable[Written]:
        for index in layout.shard_indices(level):
            box = layout.shard_box(level, index)
            yield volume.write_stored(box, np.asarray(source[box.slices]))

    return _streamed(Path(mrc_path), create, copy, overwrite=overwrite)


def _streamed(
    path: Path,
    create: Callable[[Path], MrcVolume],
    write: Callable[[MrcVolume], Iterable[Written]],
    *,
    overwrite: bool,
) -> Statistics:
    require_replaceable(path, overwrite=overwrite)
    volume = create(path.with_name(f".{path.name}.{os.getpid()}.partial"))
    try:
        statistics = Statistics()
        for written in write(volume):
            statistics = statistics.merge(written.statistics)
        volume.finish(path, statistics, overwrite=overwrite)
    finally:
        volume.path.unlink(missing_ok=True)
    return statistics
