"""`fsc`: the Fourier shell correlation of two volumes, such as the halves of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cryolithe_stream.errors import InputError
from cryolithe_stream_cli import correlations as shared

if TYPE_CHECKING:
    from cryolithe_stream.evaluate import Fsc

_ROWS = 25


def fsc(
    first: Annotated[str, typer.Argument(metavar="ODD", help="A half volume, or a tomogram with its halves beside.")],
    second: Annotated[str | None, typer.Argument(metavar="[EVEN]", help="The other half.", show_default=False)] = None,
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
    """Fourier shell correlation of two volumes: the whole, the visible region and the missing wedge.

    With one tomogram its halves are taken, as `run --halves` leaves them. The halves of a network share what it
    learned: their correlation tells how well two reconstructions repeat, not that they are true.
    """
    from cryolithe_stream.evaluate import fourier_shell_correlation, half_volumes
    from cryolithe_stream.store import place_of

    paths = list(half_volumes(place_of(first))) if second is None else [place_of(first), place_of(second)]
    if paths[0].resolve() == paths[1].resolve():
        raise InputError(f"{paths[0]} is named twice: it correlates with itself", fix="Name the odd and the even half")
    outputs = shared.Outputs(json, csv, plot, overwrite).check([*paths, mask, angles])
    selection = shared.Selection(tilt_range, angles, mask, taper, roi, level, voxel_size, memory)
    volumes, arguments = selection.open(paths)
    found = fourier_shell_correlation(*volumes, **arguments)
    result = {"volumes": [str(path) for path in paths], "level": level, "roi": roi, "fsc": found.to_json()}
    if not outputs.write(result, {" / ".join(shared.labels(paths)): found}, column=None):
        typer.echo(f"{paths[0]}\n{paths[1]}\n{shared.heading(found)}\n")
        _print(found)


def _print(found: Fsc) -> None:
    """Resolutions, then the shells, thinned to what fits a screen."""
    from cryolithe_stream.evaluate import THRESHOLDS

    rows = [
        [f"FSC {t:g}", *(shared.resolution(found.crossing(t, region), found) for region in found.regions)]
        for t in THRESHOLDS
    ]
    shared.print_table(["resolution", *shared.region_names(found)], rows)
    if found.wedge_power is not None:
        typer.echo("\n" + shared.WEDGE_POWER + ": " + ", ".join(f"{power:.3g}" for power in found.wedge_power))
    shells = found.rows()
    step = -(-len(shells) // _ROWS)
    typer.echo(f"\none in {step} of {len(shells)} shells (all of them: --csv)\n" if step > 1 else "")
    columns = ["1/voxel", "1/Å", "Å"]
    for name in shared.region_names(found):
        columns += [name, "voxels"]
    table = []
    for shell in shells[step - 1 :: step]:
        row = [f"{shell[key]:.4g}" for key in ("frequency_per_voxel", "frequency_per_angstrom", "resolution_angstrom")]
        for region in found.regions:
            value = shell[f"fsc_{region}"]
            row += ["-" if value is None else f"{value:.3f}", f"{shell[f'voxels_{region}']:,}"]
        table.append(row)
    shared.print_table(columns, table)
