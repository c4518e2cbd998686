"""What `fsc` and `evaluate` share: their options, the volumes that are named, and how results are written."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import CryolitheWarning, InputError, OutputError

if TYPE_CHECKING:
    from cryolithe_stream.evaluate import Crossing, Fsc, Volume
    from cryolithe_stream.store import Place

_COMPARED, _WRITTEN = "Comparison", "Output"
WEDGE_POWER = "power of a Fourier voxel, wedge / visible"
_FIGURES = (".png", ".pdf", ".svg")
_STDOUT = Path("-")
_WIDEST = 4000
_HEADINGS = {"all": "all", "visible": "visible", "wedge": "missing wedge"}

TiltRange = Annotated[
    str | None,
    typer.Option(
        "--tilt-range",
        metavar="MIN,MAX",
        help="First and last tilt in degrees, to tell the missing wedge apart; without it those that the tomogram "
        "records, where this program made it.",
        rich_help_panel=_COMPARED,
    ),
]
Angles = Annotated[
    Path | None,
    typer.Option("--angles", metavar="FILE", help="The tilt range from a .tlt file.", rich_help_panel=_COMPARED),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="Weights from 0 to 1 of the voxels, MRC or OME-Zarr; soft edges.",
        rich_help_panel=_COMPARED,
    ),
]
Taper = Annotated[
    float,
    typer.Option(
        "--taper",
        metavar="SHARE",
        help="Share of each side over which the box's edges fall to zero before the transform; 0: not at all.",
        rich_help_panel=_COMPARED,
    ),
]
Roi = Annotated[
    str | None,
    typer.Option("--roi", metavar="Z0:Z1,Y0:Y1,X0:X1", help="Only this box.", rich_help_panel=_COMPARED),
]
Level = Annotated[
    int,
    typer.Option("--level", metavar="N", min=0, help="Level of OME-Zarr volumes.", rich_help_panel=_COMPARED),
]
VoxelSize = Annotated[
    float | None,
    typer.Option(
        "--voxel-size",
        metavar="ANGSTROM",
        help="Voxel size of all volumes, where headers lack it or are wrong.",
        rich_help_panel=_COMPARED,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Most memory of the transforms: 4GiB; larger volumes are compared in tiles. Default: half of what is "
        "free, at most 8 GiB.",
        rich_help_panel=_COMPARED,
    ),
]
AsJson = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write JSON; - : to standard output.", rich_help_panel=_WRITTEN),
]
AsCsv = Annotated[
    Path | None, typer.Option("--csv", metavar="FILE", help="Write a row for each shell.", rich_help_panel=_WRITTEN)
]
Plot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw the curves (.png .pdf .svg).", rich_help_panel=_WRITTEN),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that are written.", rich_help_panel=_WRITTEN)
]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that are asked for; `check` refuses before anything is computed."""

    json: Path | None
    csv: Path | None
    plot: Path | None
    overwrite: bool

    def check(self, inputs: Sequence[Place | None]) -> Outputs:
        """Raise OutputError for what cannot be written: a folder that is missing, a file that stands there."""
        named = [path for path in (self.json, self.csv, self.plot) if path is not None and path != _STDOUT]
        taken: set[Place] = {path.resolve() for path in inputs if path is not None}
        for i, path in enumerate(named):
            if path in named[:i] or path.resolve() in taken:
                raise OutputError(f"{path} is named twice", fix="Give each output a name of its own")
            if not path.parent.is_dir():
                raise OutputError(f"{path.parent} is not an existing folder", fix="Create it, or name another file")
            if (path.exists() and not path.is_file()) or (os.path.lexists(path) and not self.overwrite):
                raise OutputError(f"{path} exists", fix="Name another file, or replace a file with --overwrite")
        if self.csv == _STDOUT:
            raise OutputError("only --json writes to standard output", fix="Name a file for --csv")
        if self.plot is not None and self.plot.suffix not in _FIGURES:
            raise OutputError(f"{self.plot} is no name of a figure", fix=f"Give one that ends in {', '.join(_FIGURES)}")
        return self

    def write(self, result: dict[str, Any], curves: Mapping[str, Fsc], *, column: str | None) -> bool:
        """Write the files; whether JSON went to standard output instead of tables.

        The CSV has a row for each shell, and with `column` a first column of that name with the keys of `curves`.
        """
        from cryolithe_stream.store.atomic import write_atomically

        if self.plot is not None:
            from cryolithe_stream.evaluate.plot import figure_bytes, fsc_figure

            write_atomically(self.plot, figure_bytes(fsc_figure(curves), self.plot.suffix))
        if self.csv is not None:
            write_atomically(self.csv, _csv(curves, column).encode())
        if self.json is None:
            return False
        text = json.dumps(result, indent=2, allow_nan=False) + "\n"
        if self.json == _STDOUT:
            sys.stdout.write(text)
            return True
        write_atomically(self.json, text.encode())
        return False


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of which level is compared, and how, as the options say."""

    tilt_range: str | None
    angles: Path | None
    mask: Path | None
    taper: float
    roi: str | None
    level: int
    voxel_size: float | None
    memory: str | None

    def open(self, paths: Sequence[Place]) -> tuple[list[Volume], dict[str, Any]]:
        """The volumes cut to the region, and the arguments that `fourier_shell_correlation` takes besides."""
        from cryolithe_stream.evaluate import Region, open_volume
        from cryolithe_stream.geometry import Box

        if self.voxel_size is not None and not 0.01 <= self.voxel_size <= 1e5:
            raise InputError(f"a voxel size of {self.voxel_size} angstrom", fix="Give 0.01 to 100000")
        memory, tilts = self._memory(), self._tilts()
        volumes = [open_volume(path, level=self.level, voxel_angstrom=self.voxel_size) for path in paths]
        mask = None
        if self.mask is not None:
            level = self.level if self.mask.is_dir() else 0
            mask = open_volume(self.mask, level=level, voxel_angstrom=self.voxel_size)
        if tilts is None:
            recorded = next((found for v in volumes if (found := getattr(v, "tilts_deg", ()))), ())
            tilts = (min(recorded), max(recorded)) if len(set(recorded)) > 1 else None
        if self.roi is not None:
            volumes = [Region(volume, Box.parse(self.roi, volume.shape_zyx)) for volume in volumes]
            mask = mask and Region(mask, Box.parse(self.roi, mask.shape_zyx))
        if all(volume.voxel_angstrom is None for volume in volumes):
            warnings.warn(
                "no volume tells its voxel size, so 1 angstrom is taken: give --voxel-size",
                CryolitheWarning,
                stacklevel=2,
            )
        return volumes, {"tilt_range_deg": tilts, "mask": mask, "taper": self.taper, "memory_bytes": memory}

    def _memory(self) -> int | None:
        from cryolithe_stream.run.parse import parse_bytes

        try:
            return None if self.memory is None else parse_bytes(self.memory)
        except ValueError as error:
            raise InputError(f"--memory {self.memory}: {error}", fix="Give it as 4GiB") from error

    def _tilts(self) -> tuple[float, float] | None:
        from cryolithe_stream.read import read_angles

        if self.tilt_range is not None and self.angles is not None:
            raise InputError("both --tilt-range and --angles are given", fix="Give one of them")
        if self.angles is not None:
            tilts = read_angles(self.angles)
            return float(tilts.min()), float(tilts.max())
        if self.tilt_range is None:
            return None
        try:
            low, high = (float(part) for part in self.tilt_range.split(","))
        except ValueError as error:
            raise InputError(
                f"--tilt-range {self.tilt_range!r} is not two numbers", fix="Give it as --tilt-range=-60,60"
            ) from error
        return low, high


def heading(fsc: Fsc) -> str:
    """What was compared and how, in a line or two."""
    size = " x ".join(map(str, fsc.shape_zyx))
    lines = [f"{size} voxels (z, y, x) of {fsc.voxel_angstrom:.4g} Å, edges tapered over {fsc.taper:.3g} of each side"]
    if fsc.n_tiles > 1:
        lines.append(f"in {fsc.n_tiles} tiles of {' x '.join(map(str, fsc.tile_zyx))} voxels (see --memory)")
    if fsc.tilt_range_deg is None:
        lines.append("missing wedge not told apart: give --tilt-range or --angles")
    else:
        low, high = fsc.tilt_range_deg
        lines.append(f"tilts from {low:g} to {high:g} degrees")
    return "\n".join(lines)


def region_names(fsc: Fsc) -> list[str]:
    """The regions' names for people."""
    return [_HEADINGS[region] for region in fsc.regions]


def resolution(found: Crossing, fsc: Fsc) -> str:
    """A crossing for people; one that is not there says why."""
    if found.resolution_angstrom is not None:
        return f"{found.resolution_angstrom:.1f} Å"
    if found.outcome == "stays above":
        return f"not reached: above to {fsc.resolution_angstrom[-1]:.1f} Å"
    return "not reached: below"


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output: the first column to the left, the others to the right, never cut."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        table.add_column(Text(name), justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, highlight=False, width=_WIDEST).print(table)


def labels(paths: Sequence[Place]) -> list[str]:
    """A name for each path: the file's, or the whole path where files share one."""
    names = [path.name for path in paths]
    return [name if names.count(name) == 1 else str(path) for name, path in zip(names, paths, strict=True)]


def _csv(curves: Mapping[str, Fsc], column: str | None) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    for i, (name, fsc) in enumerate(curves.items()):
        rows = fsc.rows()
        first = [] if column is None else [name]
        if i == 0:
            writer.writerow([*([] if column is None else [column]), *rows[0]])
        writer.writerows([*first, *row.values()] for row in rows)
    return stream.getvalue()
