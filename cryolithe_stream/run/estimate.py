"""How fast this machine reconstructs: measured on two small blocks of noise."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from cryolithe_stream.engines import Strips
from cryolithe_stream.geometry import Box, Shape3
from cryolithe_stream.run.job import Recipe
from cryolithe_stream.run.survey import Survey

_EXACT_ZX, _ZX = (8, 16), (64, 192)
_ROWS, _ROWS_WITH_NEIGHBOURS = (1, 9), (1, 41)
"""The two blocks that are timed; where each row brings rows beside it, the larger one has many."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long what costs one unit takes on this machine: timed once for each recipe, for surveys of any sizes."""

    _seconds_per_cost: dict[tuple[Recipe, int, bool], float] = field(default_factory=dict)

    def voxels_per_second(self, survey: Survey) -> float | None:
        """Voxels a second of one worker, by the cost model. None where only the workers have the GPU that computes."""
        if survey.recipe.device.startswith("cuda") and not torch.cuda.is_available():
            return None
        kind = survey.recipe, survey.cluster.threads, survey.options.halves
        if kind not in self._seconds_per_cost:
            self._seconds_per_cost[kind] = _seconds_per_cost(survey)
        return survey.plan.window.n_voxels / (survey.plan.work * self._seconds_per_cost[kind])


def _seconds_per_cost(survey: Survey) -> float:
    """The seconds that more rows take over what they cost.

    The difference of two blocks leaves out what is paid once, such as kernels and the back-projection operator.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(survey.cluster.threads)
    try:
        rows = _ROWS if survey.reconstructor.context is None else _ROWS_WITH_NEIGHBOURS
        _time_block(survey, rows[0])  # loads kernels
        (few, cost_few), (many, cost_many) = (_time_block(survey, n) for n in rows)
    finally:
        torch.set_num_threads(threads)
    grows = many > few and cost_many > cost_few
    return (many - few) / (cost_many - cost_few) if grows else many / cost_many


def _time_block(survey: Survey, rows: int) -> tuple[float, float]:
    """Seconds (the better of two) and cost of a block of so many rows at the volume's centre."""
    exact = survey.recipe.engine == "exact" and survey.model is not None
    nz, nx = _EXACT_ZX if exact else _ZX
    centre = [(a + b) // 2 for a, b in zip(survey.window.start, survey.window.stop, strict=True)]
    start = (centre[0] - nz // 2, centre[1] - rows // 2, centre[2] - nx // 2)
    box = _within(Box(start, (start[0] + nz, start[1] + rows, start[2] + nx)), survey.window)
    layout = survey.reconstructor.layout(box, survey.series[0].tilts_deg)
    noise = np.random.default_rng(0).standard_normal(layout.shape).astype(np.float32)
    strips = Strips.of(layout, noise, survey.series[0].tilts_deg)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        survey.reconstructor.voxels(box, strips, halves=survey.options.halves)
        seconds.append(time.perf_counter() - began)
    return min(seconds), survey.reconstructor.cost(box.shape, layout)


def _within(box: Box, window: Box) -> Box:
    def ends(axis: int) -> tuple[int, int]:
        first, last = window.start[axis], window.stop[axis]
        return max(first, box.start[axis]), min(last, box.stop[axis])

    (z0, z1), (y0, y1), (x0, x1) = (ends(axis) for axis in range(3))
    stop: Shape3 = (z1, y1, x1)
    return Box((z0, y0, x0), stop)
