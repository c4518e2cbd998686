"""The reconstruction as a Python call."""

from __future__ import annotations

import os
from typing import Any

from cryolithe_stream.run.options import RunOptions
from cryolithe_stream.run.pipeline import RunResult, reconstruct_series
from cryolithe_stream.run.progress import Progress

PathLike = str | os.PathLike[str]


def reconstruct(
    stack: PathLike,
    angles: PathLike | None = None,
    *,
    out: PathLike,
    progress: Progress | None = None,
    **options: Any,
) -> RunResult:
    """Reconstruct an aligned tilt series into `out` (`.ome.zarr` or `.mrc`) and tell what was done.

    `stack` and `angles` are files; `options` are those of the command line with underscores, such as `thickness=300`,
    `alignment="ts.xf"` or `method="fbp"`. Blocks are computed in this process (`cluster="threads"`) unless `cluster`
    says otherwise: a script without a `__main__` guard cannot start worker processes. Raises InputError (bad input or
    options), OutputError (something stands in the way) and their base CryolitheError.
    """
    given = {"cluster": "threads", **options, "stack": stack, "angles": angles, "output": out}
    if "model" in given:
        given["model"] = os.fspath(given["model"])
    return reconstruct_series(RunOptions.merged(given), progress)
