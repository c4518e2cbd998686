"""How fast this machine reconstructs: measured on a small block of noise."""

from __future__ import annotations

import time

import numpy as np

from cryolithe_stream.engines import Strips
from cryolithe_stream.geometry import Box
from cryolithe_stream.run.survey import Survey


def voxels_per_second(survey: Survey) -> float:
    """Voxels a second of one worker, from a block a fraction of a planned one, scaled by the cost model."""
    plan, reconstructor = survey.plan, survey.reconstructor
    tilts = survey.series[0].tilts_deg
    exact = survey.recipe.engine == "exact" and survey.model is not None
    size = (8, 1, 16) if exact else (64, 2, 256)
    shape = tuple(min(a, b) for a, b in zip(size, plan.block_zyx, strict=True))
    start = plan.window.start
    box = Box(start, (start[0] + shape[0], start[1] + shape[1], start[2] + shape[2]))
    layout = reconstructor.layout(box, tilts)
    noise = np.random.default_rng(0).standard_normal(layout.shape).astype(np.float32)
    strips = Strips.of(layout, noise, tilts)
    seconds = []
    for _ in range(2):  # the first pays for loading kernels
        began = time.perf_counter()
        reconstructor.voxels(box, strips, halves=survey.options.halves)
        seconds.append(time.perf_counter() - began)
    rate = reconstructor.cost(box.shape, layout) / min(seconds)
    return plan.window.n_voxels * rate / plan.work
