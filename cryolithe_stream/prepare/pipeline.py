"""Preparation: a tilt series in, normalised and filtered projections in a store out, frame by frame."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryolithe_stream.errors import InputError
from cryolithe_stream.network.filters import ProjectionFilter
from cryolithe_stream.prepare.content import add_frame, content_digest
from cryolithe_stream.prepare.contrast import Contrast, ContrastMeter
from cryolithe_stream.prepare.finishing import Finishing
from cryolithe_stream.prepare.layout import ProjectionLayout, frame_resampling, layout
from cryolithe_stream.prepare.moments import Moments
from cryolithe_stream.prepare.resample import resample
from cryolithe_stream.prepare.scratch import FrameScratch
from cryolithe_stream.read import TiltSeries
from cryolithe_stream.store import ProjectionStore, remove_output

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A finished store of projections and what was learnt on the way.

    `content_hash` is that of the raw frames (see `content_hash`); `mean` and `std` are those of the aligned stack, in
    the stack's own grey values; `contrast` tells whether density looks dark or bright in it.
    """

    store: ProjectionStore
    content_hash: str
    mean: float
    std: float
    contrast: Contrast


@dataclass(frozen=True, slots=True)
class _Learnt:
    """What the first pass brings besides the aligned frames."""

    content_hash: str
    moments: Moments
    contrast: Contrast


def prepare_projections(
    series: TiltSeries,
    path: str | os.PathLike[str],
    *,
    bin: int = 1,
    invert: bool = False,
    filter: ProjectionFilter | None = None,
    pad_to_square: bool = False,
    progress: Progress | None = None,
    threads: int | None = None,
) -> Prepared:
    """A series' projections as the engines read them: aligned, binned, normalised to mean 0 and deviation 1, filtered.

    Each raw frame is read once and resampled once; the aligned frames wait in an unnamed file on the disk of `path`
    until mean and standard deviation (of the population, over all aligned pixels) are known. Then `invert` turns the
    sign, `pad_to_square` pads as the public program does, and `filter` runs along x. A store is complete or does not
    open; on an error nothing is left. `progress` is told the steps done and their number; `threads` (the processors,
    if not given) change the time only.

    Raises InputError for a frame that cannot be used or an alignment that moves one out of sight, ModelError when the
    filter does not fit the width, OutputError when the disk is full or something else stands at `path`.
    """
    path, chain = Path(path), filter or ProjectionFilter()
    shape = layout(series, bin, pad_to_square)
    chain.check_width(shape.shape_tyx[2])
    store = ProjectionStore.create(
        path, shape_tyx=shape.shape_tyx, tilts_deg=series.tilts_deg, pixel_angstrom=shape.pixel_angstrom, attributes={}
    )
    try:
        with closing(FrameScratch.inside(path, shape.unpadded_yx)) as aligned:
            tell = _Steps(2 * series.n_tilts, progress)
            learnt = _align(series, bin, aligned, tell, threads or _processors())
            mean, std = learnt.moments.mean, learnt.moments.std
            finishing = Finishing(mean, -1 / std if invert else 1 / std, shape.padding_yx, chain)
            _write(store, aligned, finishing, tell)
        choices = {"bin": bin, "inverted": invert, "filter": chain.kind, "padding_yx": list(shape.padding_yx)}
        store = store.finish(_attributes(series, shape, learnt) | choices)
    except BaseException:
        remove_output(path)
        raise
    return Prepared(store, learnt.content_hash, mean, std, learnt.contrast)


@dataclass(slots=True)
class _Steps:
    """Counts steps for a progress bar."""

    total: int
    progress: Progress | None
    done: int = 0

    def step(self) -> None:
        """Tell that one more is done."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def _align(series: TiltSeries, bin: int, aligned: FrameScratch, tell: _Steps, threads: int) -> _Learnt:
    """Aligned frames into `aligned`, and what all raw and aligned frames together tell."""
    ways = [frame_resampling(series, i, bin) for i in range(series.n_tilts)]
    digest, moments, meter = content_digest(series), Moments(), ContrastMeter(series.tilts_deg)
    for i, way in enumerate(ways):
        frame = series.frame(i)
        add_frame(digest, frame)
        meter.add(i, frame)
        frame = resample(frame, way, threads=threads)
        moments.add(frame)
        aligned.append(frame)
        del frame  # before the next one is read
        tell.step()
    if not (math.isfinite(moments.std) and moments.std > 0):
        raise InputError(
            f"the aligned stack has a standard deviation of {moments.std:g}, it cannot be normalised",
            fix="Check the stack and its alignment",
        )
    return _Learnt(digest.hexdigest(), moments, meter.result())


def _write(store: ProjectionStore, aligned: FrameScratch, finishing: Finishing, tell: _Steps) -> None:
    """The second pass: every aligned frame finished and stored."""
    for i in range(store.shape_tyx[0]):
        store.write_frame(i, finishing.projection(aligned, i))
        tell.step()


def _attributes(series: TiltSeries, shape: ProjectionLayout, learnt: _Learnt) -> dict[str, Any]:
    """Provenance of the store, as JSON types."""
    return {
        "content_hash": learnt.content_hash,
        "normalisation": {"mean": learnt.moments.mean, "std": learnt.moments.std},
        "contrast": asdict(learnt.contrast) | {"looks": learnt.contrast.verdict},
        "raw_pixel_angstrom": series.pixel_angstrom,
        "raw_shape_vyx": list(series.stack.shape),
        "views": [int(view) for view in series.views],
        "aligned": series.alignment is not None,
        "axis_offset_px": shape.axis_offset_px,
        "shift_zx_px": list(shape.shift_zx_px),
        "series": series.provenance,
    }


def _processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
