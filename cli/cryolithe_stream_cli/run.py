"""`run` and `plan`: a tilt series in, a tomogram or its plan out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cryolithe_stream_cli.flags import takes_run_options
from cryolithe_stream_cli.progress import progress_on, standard_error
from cryolithe_stream_cli.show import show

Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="YAML file of these options; flags that are given win.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@takes_run_options
def run(
    given: dict[str, Any],
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only plan: print it and write nothing.")] = False,
) -> None:
    """Reconstruct a tilt series. The same command again continues a run that was stopped."""
    from cryolithe_stream.run.options import RunOptions

    options = RunOptions.merged(given, config=config)  # judged before anything heavy is loaded
    from cryolithe_stream.run import plan_run, reconstruct_series

    if dry_run:
        show(plan_run(options).summary(), as_json=False)
        return
    with progress_on(standard_error()) as progress:
        result = reconstruct_series(options, progress)
    for path in result.outputs:
        typer.echo(f"{result.status}: {path}")


@takes_run_options
def plan(given: dict[str, Any], config: Config = None, as_json: AsJson = False) -> None:
    """Print what `run` would do: blocks, strips, bytes read, peak memory and estimated time. Writes nothing."""
    from cryolithe_stream.run.options import RunOptions

    options = RunOptions.merged(given, config=config, fallback={"output": "tomogram.ome.zarr"})
    from cryolithe_stream.run import plan_run

    show(plan_run(options).summary(), as_json=as_json)
