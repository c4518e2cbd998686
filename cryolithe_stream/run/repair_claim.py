"""One repair of a tomogram at a time: where it works, and the marks that keep others out and outlive no one for long.

`NAME.repair/` lies beside a local tomogram, for an address in the folder where its run would keep `NAME.partial/`. It
holds a ledger, whose lock dies with its process, and in a folder of each attempt's own the prepared projections. In an
object store a mark below the tomogram keeps out runs, and repairs from elsewhere; what an attempt of this folder that
was killed left behind is taken up.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryolithe_stream.errors import InputError, OutputError, RemoteError, UnsupportedError
from cryolithe_stream.store import (
    Ledger,
    Place,
    RemotePath,
    claim_repair,
    is_ours,
    metadata_digest,
    output_faults,
    release_output,
    remove_output,
    require_owner,
)

INPUT = "input"


@dataclass(frozen=True, slots=True)
class Hold:
    """What one attempt has of a tomogram: its mark there, at an address, and the metadata as it found them.

    `owner` is whose mark it is: the text before its slash is that of the folder. It is sent to workers.
    """

    path: Place
    owner: str
    metadata: str

    def require(self) -> None:
        """Raise OutputError when another run or repair, or another image, has taken the place; RemoteError."""
        if isinstance(self.path, RemotePath):
            require_owner(self.path, self.owner)
        if metadata_digest(self.path) != self.metadata:
            raise OutputError(f"{self.path} was written anew while it was repaired", fix="Verify it again")


@dataclass(frozen=True, slots=True)
class RepairClaim:
    """One attempt at a repair: what it holds, the ledger in `folder`, and where its projections go (`inside`)."""

    hold: Hold
    ledger: Ledger
    inside: Path

    @property
    def folder(self) -> Path:
        """`NAME.repair/`."""
        return self.inside.parent


def require_repairable(path: Place, workspace: Path | None = None) -> None:
    """Raise UnsupportedError for tomograms that only can be read, InputError for a workspace of a local one."""
    if isinstance(path, RemotePath) and path.scheme != "s3":
        raise UnsupportedError(
            f"{path} cannot be repaired: a web server is only read from",
            fix="Repair it where it is kept, in a folder or at s3://",
        )
    if workspace is not None and not isinstance(path, RemotePath):
        raise InputError(f"--workspace is for tomograms in object stores, {path} is none", fix="Leave it out")


def repair_folder(path: Place, workspace: Path | None = None) -> Path:
    """`NAME.repair`: beside a local tomogram, else in a folder, by default the current one."""
    beside = path.resolve() if isinstance(path, Path) else (workspace or Path()).absolute() / path.name
    return beside.with_name(f"{beside.name}.repair")


def left_behind(path: Place, workspace: Path | None = None) -> bool:
    """Whether a repair that was killed, or could not clear up, left its folder."""
    return is_ours(repair_folder(path, workspace))


@contextmanager
def claimed(path: Place, workspace: Path | None = None, *, take_over: bool = False) -> Iterator[RepairClaim]:
    """A context in which a tomogram is repaired by nobody else; afterwards nothing of it is left, but repairs.

    With `take_over` marks of others at an address are replaced. Raises OutputError when another repair or run has the
    tomogram, or the folder cannot be used; RemoteError. What could not be cleared up, because the server has gone, is
    taken up by the next attempt in the same folder.
    """
    folder = repair_folder(path, workspace)
    ledger = _open(path, folder)
    place, attempt = ledger.plan["owner"], uuid.uuid4().hex
    owner = f"{place}/{attempt}"
    try:
        with ledger:
            if isinstance(path, RemotePath):
                claim_repair(path, owner, place=place, take_over=take_over)
            _clear(folder)  # only now: tasks of an attempt that was killed may read there, and must find the new mark
            yield RepairClaim(Hold(path.absolute(), owner, metadata_digest(path)), ledger, folder / attempt)
    except BaseException:
        with suppress(OutputError, RemoteError):
            _end(path, owner, folder)
        raise
    _end(path, owner, folder)


def _open(path: Place, folder: Path) -> Ledger:
    if not folder.parent.is_dir():
        raise OutputError(f"{folder.parent} is not an existing folder", fix="Create it, or name another --workspace")
    name = path.name if isinstance(path, Path) else str(path)
    if Ledger.exists(folder):
        ledger = Ledger.open(folder)
        if ledger.plan.get("repairs") == name:
            return ledger
        ledger.close()
        other = ledger.plan.get("repairs", "something else")
        raise OutputError(
            f"{folder} holds an unfinished repair of {other}", fix="Finish that one, or name another --workspace"
        )
    if folder.exists() and not is_ours(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} exists and holds no repair", fix="Move it away")
    return Ledger.create(folder, {"repairs": name, "owner": uuid.uuid4().hex}, "")


def _clear(folder: Path) -> None:
    """Remove what attempts left, under another name first: what still reads there finds it gone as a whole."""
    with output_faults(folder):
        for entry in [entry for entry in folder.iterdir() if entry.is_dir() and entry.name != INPUT]:
            shutil.rmtree(entry.rename(entry.with_name(f".{uuid.uuid4().hex}.removing")))


def _end(path: Place, owner: str, folder: Path) -> None:
    """Take the mark back, then remove the folder; of both only what is large when the server does not answer."""
    try:
        if isinstance(path, RemotePath):
            release_output(path, owner)
    except RemoteError:
        _clear(folder)
        raise
    remove_output(folder)
