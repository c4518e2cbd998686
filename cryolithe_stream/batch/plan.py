"""What `batch plan` is given and what it tells: options that series share, and a discovery as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryolithe_stream.batch.discover import Discovery, Found
from cryolithe_stream.batch.series import ListedFacts
from cryolithe_stream.run.options import RunOptions


def shared_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of every series as JSON types, of those that were given. Raises InputError with every fault.

    A model's file or folder becomes an absolute path, as a manifest may be read from another folder.
    """
    values = {name: value for name, value in given.items() if value is not None}
    known = RunOptions(**values, stack="stack.mrc", output="output.ome.zarr").model_dump(mode="json")
    options = {name: known[name] for name in values}
    model = options.get("model")
    if model is not None and (Path(model).expanduser().exists() or "/" in model):
        options["model"] = str(Path(model).expanduser().absolute())
    return options


def describe(found: Discovery, manifest: Path) -> dict[str, Any]:
    """A discovery as JSON; its manifest is null when no series was found, and so nothing written."""
    return {
        "source": str(found.source),
        "recipe": found.recipe.name,
        "tried": dict(found.tried),
        "manifest": str(manifest.absolute()) if found.found else None,
        "series": [_describe(entry) for entry in found.found],
        "skipped": [{"path": entry.path, "reason": entry.reason} for entry in found.skipped],
    }


def _describe(entry: Found) -> dict[str, Any]:
    series, facts = entry.series, entry.facts
    named = {
        "name": series.name,
        **{role: str(path) for role, path in series.files().items()},
        "options": dict(series.options),
    }
    if isinstance(facts, ListedFacts):
        return {**named, "files": facts.n_files, "about_bytes": facts.n_bytes}
    return {
        **named,
        "shape_vyx": list(facts.shape_vyx),
        "pixel_angstrom": facts.pixel_angstrom,
        "pixel_from": facts.pixel_from,
        "angles_from": facts.angles_from,
        "alignment_from": facts.alignment_from or None,
        "left_out_views": facts.left_out,
        "notes": list(facts.notes),
    }
