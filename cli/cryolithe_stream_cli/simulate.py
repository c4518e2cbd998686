"""`simulate`: tilt series of specimens that are known, in the files of a microscope."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cryolithe_stream_cli.crew import crew_for
from cryolithe_stream_cli.flags import CLUSTER_FLAGS, Flag, takes_options

_SET, _SPECIMEN, _MICROSCOPE, _NOISE = "Output", "Specimen", "Microscope", "Dose and noise"

FLAGS = (
    Flag("count", "N", "How many series, of consecutive seeds.", _SET),
    Flag("seed", "N", "The first seed; the same seed and options give the same bytes.", _SET),
    Flag("name", "NAME", "Start of the series' names: NAME_00001.", _SET),
    Flag("clean", "", "Also write the noiseless stack.", _SET),
    Flag("overwrite", "", "Replace series that were made with other options.", _SET),
    Flag("size", "Z,Y,X", "Voxels of the volume; Y,X are the detector's pixels.", _SPECIMEN),
    Flag("pixel_size", "A|A,B", "Pixel size in angstrom, or a range to draw from.", _SPECIMEN),
    Flag(
        "templates",
        "PATH",
        "PDB, mmCIF (.gz) or MRC maps: a folder, a file, or a list (.txt) of names beside it.",
        _SPECIMEN,
    ),
    Flag("particles", "procedural|templates|both|none", "Macromolecules; templates where they are given.", _SPECIMEN),
    Flag("crowding", "F", "Share of the ice that macromolecules take; templates reach about 0.25.", _SPECIMEN),
    Flag("membranes", "", "In every series, or in none; without it in some.", _SPECIMEN),
    Flag("filaments", "", "In every series, or in none; without it in some.", _SPECIMEN),
    Flag("lattices", "", "In every series, or in none; without it in some.", _SPECIMEN),
    Flag("gold", "", "10 nm beads in every series, or in none; without it in some.", _SPECIMEN),
    Flag("clutter", "", "Whether weak, unresolved proteins may fill the ice.", _SPECIMEN),
    Flag("carbon", "", "The edge of a carbon film at one side.", _SPECIMEN),
    Flag("ice_thickness", "A|A,B", "Thickness of the ice in angstrom; without it random.", _SPECIMEN),
    Flag("ice_tilt", "DEG", "Tilt of the ice, towards a random direction (along y if periodic).", _SPECIMEN),
    Flag(
        "surroundings",
        "periodic|wide|empty",
        "What high tilts see beside the volume: itself again, more specimen (three times the memory; for --carbon), "
        "or nothing.",
        _SPECIMEN,
    ),
    Flag("tilts", "FIRST,LAST,STEP|FILE", "Tilt angles in degrees.", _MICROSCOPE),
    Flag("defocus", "UM|UM,UM", "Defocus, or a range that every tilt draws from; without it no CTF.", _MICROSCOPE),
    Flag("defocus_gradient", "", "Defocus that changes across x of tilted images.", _MICROSCOPE),
    Flag("phase_flip", "", "Correct the CTF by phase flipping, as in CTF-corrected stacks.", _MICROSCOPE),
    Flag("voltage", "KV", "Acceleration voltage.", _MICROSCOPE),
    Flag("cs", "MM", "Spherical aberration.", _MICROSCOPE),
    Flag("amplitude_contrast", "F", "Share of amplitude contrast.", _MICROSCOPE),
    Flag("mtf", "F", "What the detector leaves of amplitudes at Nyquist: 1 all.", _MICROSCOPE),
    Flag("dose", "E/A2", "Electrons per square angstrom of the whole series: damage, and Poisson counts.", _NOISE),
    Flag("dose_order", "dose-symmetric|unidirectional", "The order in which tilts take the dose.", _NOISE),
    Flag("damage", "", "Whether the dose wears high frequencies down (Grant & Grigorieff 2015).", _NOISE),
    Flag("noise", "gaussian|poisson|none", "White noise, or electrons counted.", _NOISE),
    Flag("snr", "DB", "Of the full images' specimen, -5 unless told; Poisson: counts follow from it.", _NOISE),
)


@takes_options((*FLAGS, *CLUSTER_FLAGS), "output", typer.Argument(metavar="OUT", help="The folder to fill."))
def simulate(
    given: dict[str, Any],
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="YAML file of these options; flags that are given win."),
    ] = None,
) -> None:
    """Simulate tilt series whose specimens are known: stacks, odd and even halves, angles, truth, a manifest.

    The full stack is the sum of its halves. The same command again keeps what is finished and makes what is missing.
    With --cluster each series is made by a worker, with the same bytes.
    """
    from cryolithe_stream.run.options import read_config
    from cryolithe_stream.simulate import IN_TURN, SimulateOptions
    from cryolithe_stream.simulate import simulate as make

    settings = read_config(config) if config else {}
    crew = crew_for(partial(typer.echo, err=True), settings, given)
    options = SimulateOptions.merged(given, settings)
    make(options, lambda status, path: typer.echo(f"{status}: {path}"), workers=crew or IN_TURN)
