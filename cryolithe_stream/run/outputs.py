"""The volumes of a run: made empty before the blocks, finished and handed over after them."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cryolithe_stream.errors import CryolitheWarning
from cryolithe_stream.geometry import Float32s, Shape3
from cryolithe_stream.plan import BlockPlan
from cryolithe_stream.run.checksums import block_reports, recorded_checksums
from cryolithe_stream.run.inputs import require_here
from cryolithe_stream.run.survey import Survey
from cryolithe_stream.run.workspace import Volume, Workspace, fingerprint
from cryolithe_stream.store import (
    Ledger,
    MrcVolume,
    RemotePath,
    Scaling,
    Statistics,
    claim_output,
    create_tomogram,
    fingerprint_label,
    finish_tomogram,
    is_ours,
    open_tomogram,
    publish_output,
    release_output,
    remove_output,
)

_INT16_HEADROOM = 8.0
_LIBRARIES = ("cryolithe-stream", "torch", "numpy", "zarr", "dask", "ome-zarr", "mrcfile", "PyWavelets", "s3fs")


def scaling_for(samples: Sequence[Float32s]) -> Scaling:
    """How values become int16: value = stored·scale + 0, with eight times the room that the samples take."""
    largest = max(float(np.abs(values).max()) for values in samples)
    return (_INT16_HEADROOM * largest / 32767 if largest > 0 else 1.0), 0.0


def create_volumes(survey: Survey, work: Workspace, plan: BlockPlan, ledger: Ledger) -> None:
    """Every volume of the run without voxels, unless an interrupted run made them."""
    done = ledger.done()
    if "created" in done:
        return
    scale = done["scaling"]["scaling"] if "scaling" in done else None
    scaling: Scaling | None = None if scale is None else (scale[0], scale[1])
    pad_y, pad_x = survey.layout.padding_yx
    z, y, x = survey.window.start
    origin = (z, y - pad_y, x - pad_x)
    voxel = survey.layout.pixel_angstrom
    labels = [fingerprint_label(fingerprint(survey.voxel_recipe(), done["prepared"]["contents"]))]
    for volume in work.volumes:
        remove_output(volume.unfinished)  # what a run left that was killed before the mark below
        if isinstance(volume.unfinished, Path) and volume.unfinished.suffix == ".mrc":
            MrcVolume.create(
                volume.unfinished,
                shape_zyx=survey.window.shape,
                voxel_angstrom=voxel,
                dtype=survey.options.dtype,
                scaling=scaling,
                origin_zyx_angstrom=[o * voxel for o in origin],
                labels=labels,
            )
            continue
        create_tomogram(
            volume.unfinished,
            shape_zyx=survey.window.shape,
            voxel_angstrom=voxel,
            dtype=survey.options.dtype,
            chunk_zyx=plan.chunk_zyx,
            shard_zyx=plan.shard_zyx,
            version=survey.options.ome_zarr,
            scaling=scaling,
            origin_zyx_px=origin,
        )
    ledger.mark("created", {})


def pyramid_tasks(work: Workspace) -> Iterator[tuple[int, list[tuple[Any, Shape3]]]]:
    """For each level from 1 up, every shard of every volume."""
    tomograms = [
        open_tomogram(v.unfinished.absolute())
        for v in work.volumes
        if v.unfinished.suffix != ".mrc" and v.unfinished.exists()
    ]
    if not tomograms:
        return
    for level in range(1, tomograms[0].n_levels):
        yield level, [(t.path, index) for t in tomograms for index in t.layout.shard_indices(level)]


def hand_over(survey: Survey, work: Workspace, plan: BlockPlan, ledger: Ledger, figures: dict[str, Any]) -> None:
    """Write statistics, provenance and metadata, and rename every volume to its final name, the main one last.

    Volumes in an object store are published instead.
    """
    for volume in reversed(work.volumes):
        if not volume.unfinished.exists():
            continue  # an interrupted run handed it over already
        if isinstance(volume.final, Path) and volume.final.suffix == ".mrc":
            unfinished = MrcVolume.open(require_here(volume.unfinished))
            _step_aside(volume.final, work)
            unfinished.finish(volume.final, _statistics(volume, work, ledger))
            continue
        entry = _provenance(survey, plan, ledger, figures) | _written(volume, work, ledger)
        entry["checksums"] = recorded_checksums(volume, work, ledger)
        finish_tomogram(volume.unfinished, entry)
        if isinstance(volume.final, RemotePath):
            publish_output(volume.final.as_draft(), ledger.plan["owner"])
            continue
        _step_aside(volume.final, work)
        require_here(volume.unfinished).rename(volume.final)
    release(work, ledger)


def claim(survey: Survey, work: Workspace, ledger: Ledger) -> None:
    """Mark outputs in an object store as this run's. Raises OutputError when another run writes them, RemoteError."""
    for volume in work.volumes:
        if isinstance(volume.final, RemotePath):
            claim_output(volume.final, ledger.plan["owner"], overwrite=survey.options.overwrite)


def release(work: Workspace, ledger: Ledger) -> None:
    """Take the marks of `claim` back. Raises RemoteError."""
    for volume in work.volumes:
        if isinstance(volume.final, RemotePath):
            release_output(volume.final, ledger.plan["owner"])


def _step_aside(final: Path, work: Workspace) -> None:
    """Move an earlier output of ours into the workspace, which goes when the run is over."""
    if final.is_dir() and not any(final.iterdir()):
        final.rmdir()
    elif final.exists() and is_ours(final):
        final.rename(work.folder / f"replaced_{final.name}")


def _statistics(volume: Volume, work: Workspace, ledger: Ledger) -> Statistics:
    total = Statistics()
    for report in block_reports(volume, work, ledger).values():
        total = total.merge(report.statistics)
    return total


def _written(volume: Volume, work: Workspace, ledger: Ledger) -> dict[str, Any]:
    """What is known of one volume's voxels."""
    statistics = _statistics(volume, work, ledger)
    clipped = sum(report.n_clipped for report in block_reports(volume, work, ledger).values())
    if clipped:
        warnings.warn(
            f"{clipped} of {statistics.count} voxels of {volume.final.name} were clipped to what the data type holds: "
            "--dtype float32 keeps them",
            CryolitheWarning,
            stacklevel=2,
        )
    return {
        "tilts": volume.name,
        "statistics": {
            "minimum": statistics.minimum,
            "maximum": statistics.maximum,
            "mean": statistics.mean,
            "deviation": statistics.deviation,
            "clipped": clipped,
        },
    }


def _provenance(survey: Survey, plan: BlockPlan, ledger: Ledger, figures: dict[str, Any]) -> dict[str, Any]:
    """What a reader of the tomogram may ask of the run: input, options, model, versions, figures."""
    contents, voxels, model = ledger.done()["prepared"]["contents"], survey.voxel_recipe(), survey.model
    return {
        "run": {
            "fingerprint": fingerprint(voxels, contents),
            "voxels": voxels,
            "contents": contents,
            "stamps": ledger.plan["stamps"],
        },
        "options": survey.options.to_json(),
        "input": survey.inputs.named(survey.series[0].provenance),
        "model": model and {"name": model.name, "fingerprint": model.fingerprint, "contrast": model.contrast},
        "input_inverted": survey.options.invert,
        "thickness_from": survey.thickness_from,
        "plan": plan.to_json(),
        "figures": figures,
        "versions": {name: _version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
