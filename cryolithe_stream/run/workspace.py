"""The folder beside the output in which a run works, and what stands there or at the output from earlier runs.

`OUT.partial/` holds the ledger, and in a folder that bears the ledger's token the prepared projections and the
unfinished volumes. Volumes are renamed to their final names when they are complete, so whatever stands at an output's
name is a whole tomogram. No two ledgers have one token: a task whose client died goes on, and must not meet the voxels
of a run with other options that took the place. Volumes in an object store are drafts under their final names instead,
and nothing opens them until their root metadata are published.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryolithe_stream.errors import FormatError, OutputError
from cryolithe_stream.prepare import content_hash
from cryolithe_stream.run.survey import Survey, describe_differences
from cryolithe_stream.store import (
    Ledger,
    Place,
    RemotePath,
    is_ours,
    mrc_fingerprint,
    open_tomogram,
    read_ledger,
    remove_output,
    stands_at,
)

SetName = Literal["all", "odd", "even"]
_TOKEN = 12


@dataclass(frozen=True, slots=True)
class Volume:
    """One tomogram of a run: its name, where it is built and where it goes."""

    name: SetName
    unfinished: Place
    final: Place


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a run works: `folder` holds everything that is unfinished, `inside` what is large of it."""

    folder: Path
    inside: Path
    volumes: tuple[Volume, ...]

    @classmethod
    def of(cls, output: Place, *, halves: bool, within: Path | None = None, token: str = "") -> Workspace:
        """The workspace of an output; with halves there are volumes `…_odd` and `…_even` beside it.

        That of an output in an object store lies in the folder `within`, or the current one. `token` is the ledger's:
        until it is known, only the final names are.
        """
        folder = workspace_folder(output, within)
        inside = folder / token
        suffix = ".ome.zarr" if output.name.endswith(".ome.zarr") else output.suffix
        stem = output.name.removesuffix(suffix)
        names: list[tuple[SetName, str]] = [("all", output.name)]
        if halves:
            names += [("odd", f"{stem}_odd{suffix}"), ("even", f"{stem}_even{suffix}")]
        if isinstance(output, RemotePath):
            finals = [(n, output.with_name(f)) for n, f in names]
            return cls(folder, inside, tuple(Volume(n, final.as_draft(), final) for n, final in finals))
        kind = ".mrc" if suffix == ".mrc" else ".ome.zarr"
        volumes = tuple(Volume(n, inside / f"{n}{kind}", output.with_name(f)) for n, f in names)
        return cls(folder, inside, volumes)

    def projections(self, name: SetName) -> Path:
        """Where the prepared projections of a stack are kept while they are needed."""
        return self.inside / f"projections_{name}.zarr"


def workspace_folder(output: Place, within: Path | None = None) -> Path:
    """`NAME.partial`: beside a local output, else in a folder, by default the current one."""
    if isinstance(output, Path):
        return output.with_name(f"{output.name}.partial")
    return (within or Path()) / f"{output.name}.partial"


def fingerprint(voxels: dict[str, Any], contents: Sequence[str]) -> str:
    """SHA-256 of all that decides the voxels: the recipe and the content of the stacks."""
    text = json.dumps({"voxels": voxels, "contents": list(contents)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def already_complete(survey: Survey, work: Workspace) -> bool:
    """Whether every output stands there, made by the same run of the same data.

    Raises OutputError when anything else stands there and may not be replaced.
    """
    standing = [volume.final for volume in work.volumes if stands_at(volume.final)]
    for path in standing:
        if not is_ours(path) and not _is_vacant(path):
            raise OutputError(f"{path} exists and was not written by cryolithe-stream", fix="Name another output")
    voxels = survey.voxel_recipe()
    reasons = {path: _difference(survey, path, voxels) for path in standing if is_ours(path)}
    other = next((path for path, reason in reasons.items() if reason), None)
    if other and not survey.options.overwrite:
        raise OutputError(
            f"{other} exists and is another reconstruction: {reasons[other]}",
            fix="Name another output or use --overwrite",
        )
    if other is not None or len(reasons) < len(work.volumes) or Ledger.exists(work.folder):
        return False
    if work.folder.exists() and is_ours(work.folder):
        remove_output(work.folder)  # a run was killed while it cleared up
    return not work.folder.exists()


def _is_vacant(path: Place) -> bool:
    """Whether an empty folder stands at `path`, which an OME-Zarr may take the place of."""
    return (
        isinstance(path, Path)
        and path.suffix != ".mrc"
        and path.is_dir()
        and not path.is_symlink()
        and not any(path.iterdir())
    )


def _difference(survey: Survey, final: Place, voxels: dict[str, Any]) -> str:
    """How a finished volume differs from what this run would make; empty when it does not."""
    if isinstance(final, Path) and final.suffix == ".mrc":
        contents = [content_hash(series) for series in survey.series]
        same = mrc_fingerprint(final) == fingerprint(voxels, contents)
        return "" if same else "its fingerprint is another"
    try:
        tomogram = open_tomogram(final)
    except FormatError as error:
        return error.what
    if not tomogram.finished:
        return "it is unfinished"
    made = tomogram.attributes.get("run", {})
    if made.get("voxels") != json.loads(json.dumps(voxels)):
        return describe_differences(made.get("voxels", {}), voxels)
    return "" if same_content(survey, made) else "the stack's content changed"


def same_content(survey: Survey, made: dict[str, Any]) -> bool:
    """Whether the stacks hold what they held when `made` was recorded: by size and time, else by hashing them."""
    if made.get("stamps") == survey.stamps():
        return True
    if survey.inputs.are_remote:
        return False  # what is here of them may be their headers alone
    return [content_hash(series) for series in survey.series] == made.get("contents")


def open_ledger(survey: Survey, work: Workspace) -> Ledger:
    """The ledger of an interrupted run of the same voxels, or a new one that keeps this run's plan.

    Raises OutputError when the workspace belongs to another run, or another process is writing it.
    """
    voxels = survey.voxel_recipe()
    if work.folder.exists() and not Ledger.exists(work.folder) and not is_ours(work.folder):
        if not work.folder.is_dir() or any(work.folder.iterdir()):
            raise OutputError(f"{work.folder} exists and holds no ledger", fix="Move it away")
        work.folder.rmdir()
    if Ledger.exists(work.folder):
        record = read_ledger(work.folder)
        made = record.plan["voxels"]
        if made == json.loads(json.dumps(voxels)):
            ledger = Ledger.open(work.folder)
            prepared = ledger.done().get("prepared")
            if prepared is None or same_content(survey, {**prepared, "stamps": record.plan["stamps"]}):
                return ledger
            ledger.close()
            made_by = "the stack's content changed"
        else:
            made_by = describe_differences(made, voxels)
        if not survey.options.overwrite:
            raise OutputError(
                f"{work.folder} holds an unfinished run of another reconstruction: {made_by}",
                fix="Finish that one, name another output, or use --overwrite",
            )
        Ledger.open(work.folder).close()  # refuses while another process writes there
        remove_output(work.folder)
    plan = {
        "token": uuid.uuid4().hex[:_TOKEN],
        "plan": survey.plan.to_json(),
        "voxels": voxels,
        "stamps": survey.stamps(),
        "owner": uuid.uuid4().hex,
    }
    return Ledger.create(work.folder, plan, fingerprint(voxels, []))
