"""`evaluate`: reconstructions against the truth, side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli import correlations as shared

if TYPE_CHECKING:
    from cryolithe_stream.evaluate import Comparison


def evaluate(
    estimates: Annotated[list[str], typer.Argument(metavar="ESTIMATE...", help="Volumes, OME-Zarr or MRC.")],
    truth: Annotated[str, typer.Option("--truth", metavar="FILE", help="The volume that they should be.")],
    tilt_range: shared.TiltRange = None,
    angles: shared.Angles = None,
    mask: shared.Mask = None,
    taper: shared.Taper = 0.125,
    roi: shared.Roi = None,
    level: shared.Level = 0,
    voxel_size: shared.VoxelSize = None,
    memory: shared.Memory = None,
    json: shared.AsJson = None,
    csv: shared.AsCsv = None,
    plot: shared.Plot = None,
    overwrite: shared.Overwrite = False,
) -> None:
    """Signal-to-noise ratio, correlation, error and resolution of reconstructions whose truth is known.

    Ratio and error are those after the best affine fit to the truth, so scale and offset of an estimate do not matter.
    """
    from cryolithe_stream.evaluate import compare
    from cryolithe_stream.store import place_of

    *paths, true = map(place_of, [*estimates, truth])
    outputs = shared.Outputs(json, csv, plot, overwrite).check([*paths, true, mask, angles])
    names = shared.labels(paths)
    if len(set(names)) < len(names):
        raise InputError("an estimate is named twice", fix="Name each volume once")
    selection = shared.Selection(tilt_range, angles, mask, taper, roi, level, voxel_size, memory)
    volumes, arguments = selection.open([*paths, true])
    found = {name: compare(volume, volumes[-1], **arguments) for name, volume in zip(names, volumes[:-1], strict=True)}
    result = {
        "truth": str(true),
        "level": level,
        "roi": roi,
        "estimates": [
            {"path": str(path), **comparison.to_json()} for path, comparison in zip(paths, found.values(), strict=True)
        ],
    }
    if not outputs.write(result, {name: comparison.fsc for name, comparison in found.items()}, column="estimate"):
        first = next(iter(found.values())).fsc
        typer.echo(f"truth {true}\n{shared.heading(first)}\n")
        shared.print_table(["", *found], _rows(list(found.values())))


def _rows(found: list[Comparison]) -> list[list[str]]:
    """A row for each measure, a column for each estimate."""
    from cryolithe_stream.evaluate import THRESHOLDS

    agreements = [comparison.agreement for comparison in found]
    rows = [
        ["SNR (dB)", *("exact" if math.isinf(a.snr_db) else f"{a.snr_db:.2f}" for a in agreements)],
        ["correlation", *(f"{a.correlation:.4f}" for a in agreements)],
        ["RMSE (truth's units)", *(f"{a.rmse:.4g}" for a in agreements)],
        ["RMSE / deviation", *(f"{a.rmse / a.truth_deviation:.4f}" for a in agreements)],
    ]
    first = found[0].fsc
    for region, name in zip(first.regions, shared.region_names(first), strict=True):
        rows += [
            [f"FSC {t:g}, {name}", *(shared.resolution(c.fsc.crossing(t, region), c.fsc) for c in found)]
            for t in THRESHOLDS
        ]
    powers = [comparison.fsc.wedge_power for comparison in found]
    if None not in powers:
        rows.append([shared.WEDGE_POWER, *(f"{power[0]:.3g}" for power in powers if power)])
    return rows
