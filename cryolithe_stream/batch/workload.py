"""The tasks of a series, from its plan and measured costs: what the simulated batch is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from math import ceil, prod

from cryolithe_stream.batch.costs import Costs, FileCosts
from cryolithe_stream.batch.simulation import SeriesWork, Stage, Task
from cryolithe_stream.geometry import Box, StripLayout
from cryolithe_stream.run.pipeline import targets
from cryolithe_stream.run.survey import Survey
from cryolithe_stream.run.workspace import Workspace
from cryolithe_stream.store import ROWS_PER_CHUNK, TomogramLayout

_PIXEL_BYTES = 4  # of aligned frames that wait, and of prepared projections
_ITEMSIZE = {"float32": 4, "float16": 2, "int16": 2}


def series_work(survey: Survey, costs: Costs) -> SeriesWork:
    """The stages of a series that is reconstructed as its survey says, on workers of one thread.

    Bytes are those of the files: a block reads whole chunks of the projections' rows, and what it writes is counted
    without compression. Raises InputError when the recipe was not measured.
    """
    client = costs.client
    preparations = [
        Stage([_preparation(survey, costs)], urgent=True, client_seconds_per_task=client.per_task)
        for _ in survey.series
    ]
    blocks = Stage(
        list(_blocks(survey, costs)), client_seconds_per_task=client.per_task, record_seconds_per_task=client.per_mark
    )
    made = [task.bytes_written for task in blocks.tasks]
    later = [_read_back(made, costs), *(tasks for level in _levels(survey, costs) for tasks in level)]
    stages = [Stage(tasks, client_seconds_per_task=client.per_task) for tasks in later]
    return SeriesWork((*preparations, blocks, *stages), client.per_series)


def strips_file_bytes(strips: StripLayout, survey: Survey) -> int:
    """Bytes of the projections' file that `ProjectionStore.read_strips` reads for the strips of a block."""
    n_tilts, height, width = survey.layout.shape_tyx
    rows = min(ROWS_PER_CHUNK, height)
    first, last = max(0, strips.first_row), min(height, strips.first_row + strips.n_rows)
    n_chunks = max(0, ceil(last / rows) - first // rows)
    return n_tilts * n_chunks * rows * width * _PIXEL_BYTES


def _preparation(survey: Survey, costs: Costs) -> Task:
    stack, n_tilts = survey.series[0].stack, survey.series[0].n_tilts
    raw, made = n_tilts * prod(stack.shape[1:]), prod(survey.layout.shape_tyx)
    waiting = n_tilts * prod(survey.layout.unpadded_yx) * _PIXEL_BYTES
    seconds = raw * costs.prepare.per_raw_pixel + made * costs.prepare.per_pixel
    return Task(seconds, raw * stack.dtype.itemsize + waiting, waiting + made * _PIXEL_BYTES)


def _blocks(survey: Survey, costs: Costs) -> Iterator[Task]:
    """Every block of every set of projections; what places of the same strips share is worked out once."""
    plan, of_blocks = survey.plan, costs.block(survey.recipe)
    wanted = targets(
        survey, Workspace.of(survey.options.output, halves=survey.options.halves or len(survey.series) > 1)
    )
    nz, _, nx = plan.tiling.counts_zyx

    @cache
    def strips(place: int) -> StripLayout:
        return survey.reconstructor.layout(plan.block(place).volume_box, survey.series[0].tilts_deg)

    @cache
    def computing(shape: tuple[int, int, int], n_rows: int, n_columns: int, place: int) -> float:
        at = strips(place)
        layout = StripLayout(at.first_row, n_rows, at.first_column, n_columns)
        return of_blocks.each + of_blocks.per_unit * survey.reconstructor.cost(shape, layout)

    for target in wanted.values():
        for block in plan:
            y, zx = divmod(block.index, nz * nx)
            rows, columns = strips(y * nz * nx), strips(zx)
            seconds = computing(block.box.shape, rows.n_rows, columns.n_columns, zx)
            bytes_read = strips_file_bytes(rows, survey)
            written = block.box.n_voxels * _ITEMSIZE[survey.options.dtype] * len(target.volumes)
            yield Task(seconds + _files(costs.read, bytes_read) + _files(costs.write, written), bytes_read, written)


def _read_back(n_bytes: Sequence[int], costs: Costs) -> list[Task]:
    """What was written is read again and compared (`run.readback`)."""
    return [Task(_files(costs.read, n), n) for n in n_bytes]


def _levels(survey: Survey, costs: Costs) -> Iterator[tuple[list[Task], list[Task]]]:
    """For each level of the pyramid, every shard of every volume: it is made, then read back."""
    options, plan = survey.options, survey.plan
    volumes = Workspace.of(options.output, halves=options.halves or len(survey.series) > 1).volumes
    layout = TomogramLayout(
        survey.window.shape,
        survey.layout.pixel_angstrom,
        options.dtype,
        plan.chunk_zyx,
        plan.shard_zyx,
        options.ome_zarr,
        (1.0, 0.0),
    )
    itemsize = _ITEMSIZE[options.dtype]
    for level in range(1, len(layout.level_shapes)):
        below = layout.level_shapes[level - 1]
        shards = []
        for index in layout.shard_indices(level):
            box = layout.shard_box(level, index)
            read = _doubled(box, below) * itemsize
            shards.append(Task(_files(costs.pyramid, read), read, box.n_voxels * itemsize))
        shards *= len(volumes)
        yield shards, _read_back([task.bytes_written for task in shards], costs)


def _doubled(box: Box, below: tuple[int, int, int]) -> int:
    """Voxels of the level below that a box of a level is made of."""
    return prod(min(2 * b, n) - 2 * a for a, b, n in zip(box.start, box.stop, below, strict=True))


def _files(costs: FileCosts, n_bytes: int) -> float:
    return costs.each + costs.per_byte * n_bytes
