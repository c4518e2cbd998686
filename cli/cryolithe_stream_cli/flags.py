"""Options as tables: those of `run` and `plan`, each the field of that name in `RunOptions`, and a cluster's alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

Command = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Flag:
    """One option: the field's name, the form of its value (empty for a switch), what it does, where it is listed."""

    name: str
    value: str
    text: str
    panel: str

    @property
    def words(self) -> tuple[str, ...]:
        """The spellings on the command line."""
        flag = "--" + self.name.replace("_", "-")
        if not self.value:
            return (f"{flag}/--no-{flag[2:]}",)
        return ("-o", flag) if self.name == "output" else (flag,)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that shell completion offers."""
        return tuple(self.value.split("|")) if "|" in self.value else ()


CLUSTER_HELP = (
    "local[:N], threads[:N], tcp:// or tls:// ADDRESS, file:scheduler.json, slurm|lsf|pbs|sge[:key=value,…], cuda or "
    "FILE.yaml."
)
_INPUT, _RECONSTRUCTION, _OUTPUT, _MACHINE = "Input", "Reconstruction", "Output", "Machine"

CLUSTER_FLAGS = (
    Flag("cluster", "CLUSTER", CLUSTER_HELP, _MACHINE),
    Flag("workers", "N", "Worker processes of a batch system, cuda or FILE.yaml.", _MACHINE),
    Flag("adapt", "MIN:MAX", "As many workers as the work needs, between two numbers.", _MACHINE),
    Flag("dashboard", "HOST:PORT", "Where Dask's dashboard listens; default: this machine only.", _MACHINE),
)
FLAGS = (
    Flag("angles", "FILE", "Tilt angles in degrees, one a line (.tlt, .rawtlt, .txt).", _INPUT),
    Flag(
        "alignment",
        "PATH",
        "IMOD .xf, etomo folder, AreTomo .aln or Warp .xml; without it the stack is aligned.",
        _INPUT,
    ),
    Flag("alignment_pixel_size", "ANGSTROM", "Pixel size of the stack that the alignment was solved on.", _INPUT),
    Flag("mdoc", "FILE", "SerialEM .mdoc with pixel size and dose.", _INPUT),
    Flag("pixel_size", "ANGSTROM", "Pixel size of the stack, where the header's is missing or wrong.", _INPUT),
    Flag("exclude", "VIEWS", "Views to leave out, counted from 1: 1,4-6.", _INPUT),
    Flag("invert", "", "The stack has bright density; the output will be dark.", _INPUT),
    Flag("odd", "FILE", "Half stack of odd frames, same alignment (with --even); or the .star again.", _INPUT),
    Flag("even", "FILE", "Half stack of even frames, same alignment (with --odd).", _INPUT),
    Flag(
        "model",
        "default|DIR|FILE",
        "The network: as shipped, a checkpoint folder or .safetensors.",
        _RECONSTRUCTION,
    ),
    Flag("method", "network|fbp", "CryoLithe's network or plain filtered back-projection.", _RECONSTRUCTION),
    Flag("engine", "features|exact", "Fast, or patch by patch as the paper defines it.", _RECONSTRUCTION),
    Flag("oversample", "K", "Grid points a pixel for the features engine; more is closer to exact.", _RECONSTRUCTION),
    Flag("grid", "true|public", "Voxels one pixel apart, or the public code's spacing.", _RECONSTRUCTION),
    Flag("thickness", "N", "Voxels of the output along z.", _RECONSTRUCTION),
    Flag("bin", "N", "Bin the projections N times; default: as the model needs it.", _RECONSTRUCTION),
    Flag("roi", "Z0:Z1,Y0:Y1,X0:X1", "Only this box of the full volume.", _RECONSTRUCTION),
    Flag("patch_scale", "S", "Spacing of the patch's samples in pixels.", _RECONSTRUCTION),
    Flag("output", "PATH", "The tomogram: OUT.ome.zarr or OUT.mrc, or s3://BUCKET/OUT.ome.zarr.", _OUTPUT),
    Flag("workspace", "DIR", "Where a run into an object store keeps its OUT.partial; default: here.", _OUTPUT),
    Flag("halves", "", "Also reconstruct the odd and the even tilts alone.", _OUTPUT),
    Flag("dtype", "float32|float16|int16", "Voxel type; the scaling of int16 is recorded.", _OUTPUT),
    Flag("ome_zarr", "0.4|0.5", "Version of OME-Zarr.", _OUTPUT),
    Flag("overwrite", "", "Replace an output of ours that was made from other input or options.", _OUTPUT),
    Flag("precision", "auto|float32|bfloat16|float16", "Arithmetic of the network.", _MACHINE),
    Flag("device", "auto|cpu|cuda|cuda:N", "Where the network runs.", _MACHINE),
    Flag("memory", "SIZE", "Most memory of each worker process: 8GiB.", _MACHINE),
    *CLUSTER_FLAGS,
)


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation)


def _annotation(flag: Flag) -> Any:
    if not flag.value:
        return Annotated[
            bool | None, typer.Option(*flag.words, help=flag.text, rich_help_panel=flag.panel, show_default=False)
        ]
    choices = [choice for choice in flag.choices if choice == choice.lower()]
    return Annotated[
        str | None,
        typer.Option(
            *flag.words,
            metavar=flag.value,
            help=flag.text,
            rich_help_panel=flag.panel,
            autocompletion=(lambda incomplete: [c for c in choices if c.startswith(incomplete)]) if choices else None,
        ),
    ]


def takes_options(table: Sequence[Flag], place: str = "", about: Any = None) -> Callable[[Command], Command]:
    """A decorator: `function(given, …)` as a command with a positional `place`, if one is named, and a table's flags.

    All of them are gathered into `given`, as text or None, so that the options judge them together and a flag that was
    not given never overrides the config file. `about` is typer's description of the positional argument.
    """
    places = [place] if place else []

    def decorate(function: Command) -> Command:
        def command(**values: Any) -> None:
            given = {name: values.pop(name) for name in (*places, *(flag.name for flag in table))}
            function(given=given, **values)

        own = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)  # needed ones may follow flags, which have defaults
            for p in inspect.signature(function, eval_str=True).parameters.values()
            if p.name != "given"
        ]
        flags = [_parameter(flag.name, _annotation(flag)) for flag in table]
        first = [_parameter(name, Annotated[str | None, about]) for name in places]
        command.__dict__["__signature__"] = inspect.Signature([*first, *flags, *own])
        command.__doc__, command.__name__ = function.__doc__, function.__name__
        command.__annotations__ = {}
        return command

    return decorate


takes_run_options = takes_options(
    FLAGS, "stack", typer.Argument(metavar="STACK", help="The tilt series (.mrc .st .ali, or RELION-5's .star).")
)
