"""`models`: the networks that are at hand, what one is, and conversion to our own format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryolithe_stream.errors import InputError, OutputError
from cryolithe_stream_cli.show import show

if TYPE_CHECKING:
    from cryolithe_stream.network import Model

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
models = typer.Typer(no_args_is_help=True, help="List, show and convert networks.")


@models.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the networks that are shipped."""
    from cryolithe_stream.network import list_models, load_model

    found = {name: describe_model(load_model(name)) for name in list_models()}
    if as_json:
        show(found, as_json=True)
        return
    for name, facts in found.items():
        typer.echo(f"{name}: {facts['parameters']:,} parameters, {facts['kind']}, patch {facts['patch_size']}")


@models.command("show")
def show_one(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="default, a checkpoint folder or a .safetensors file.")],
    as_json: AsJson = False,
) -> None:
    """Show what a network is and what it was trained on."""
    from cryolithe_stream.network import load_model

    show(describe_model(load_model(model)), as_json=as_json)


@models.command("convert")
def convert(
    source: Annotated[str, typer.Argument(metavar="MODEL", help="A public checkpoint folder or another model.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The .safetensors file to write.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Convert a network to safetensors; nothing that is pickled in a checkpoint is run."""
    if target.suffix != ".safetensors":
        raise InputError(f"a model is written as .safetensors, got {target}", fix="Give a name that ends so")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists", fix="Give --overwrite to replace it")
    if not target.parent.is_dir():
        raise OutputError(f"{target.parent} is not an existing folder", fix="Create it, or name another file")
    from cryolithe_stream.network import load_model, save_model

    save_model(load_model(source), target, overwrite=overwrite)
    typer.echo(f"done: {target}")


def describe_model(model: Model) -> dict[str, Any]:
    """What a network is, as JSON types: kind, sizes, the data it is for, fingerprint and card."""
    config = model.network.config
    return {
        "model": model.name,
        "kind": f"wavelet {model.wavelet}, {model.wavelet_levels} level" if model.wavelet else "pixel",
        "parameters": model.n_parameters,
        "patch_size": config.patch_size,
        "patch_scale": model.patch_scale,
        "oversample": model.oversample,
        "pixel_range_angstrom": list(model.pixel_range_angstrom) if model.pixel_range_angstrom else None,
        "contrast": model.contrast,
        "fingerprint": model.fingerprint,
        "network": config.to_json(),
        "card": dict(model.card),
    }
