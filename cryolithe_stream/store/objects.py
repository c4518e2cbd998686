"""An output in an object store: claimed by its owner, published by its root metadata, which come last.

Object stores rename nothing. An image is therefore written under its final name, with its root metadata kept aside in
`.cryolithe-stream/`, where a mark says which run writes it, or which repair.
"""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from cryolithe_stream.errors import OutputError
from cryolithe_stream.store.place import DRAFTS, ROOT_METADATA, RemotePath

MARK = f"{DRAFTS}/owner.json"
_IMAGE = re.compile(r"\d+/(zarr\.json|\.zarray|\.zattrs|(c/)?\d+/\d+/\d+)|\.cryolithe-stream/[^/]+")
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Mark:
    """Who writes below a name: its owner, since when, and whether that is a run or a repair."""

    owner: str
    since: str
    is_repair: bool


_NO_MARK = _Mark("", "an unknown time", False)


def claim_output(path: RemotePath, owner: str, *, overwrite: bool) -> None:
    """Mark an output as written by one run, before anything else of it is there; its own mark is fine.

    The mark is made on the condition that there is none, where the server knows conditions; elsewhere two runs that
    begin within a moment may both pass, and the one whose mark was replaced finds out in `require_owner`.
    Raises OutputError when the mark of a repair is there, or that of another run unless `overwrite`; RemoteError.
    """
    found = _marked(path, owner, is_repair=False)
    if found.owner == owner:
        return
    if found.is_repair:
        raise OutputError(
            f"{path} is under repair since {found.since}",
            fix="Wait until it ends; where it was killed, `verify --repair --take-over` clears up after it",
        )
    if not overwrite:
        raise OutputError(
            f"another run is writing {path} since {found.since}",
            fix="Wait until it ends; where it is gone and its workspace too, --overwrite begins anew",
        )
    _put_mark(path, owner, is_repair=False)


def claim_repair(path: RemotePath, owner: str, *, place: str, take_over: bool) -> None:
    """Mark a finished image as repaired by one `owner`, as `claim_output` does for a run.

    `place` stands before every owner of one workspace, of whom only one lives: their marks are fine, others with
    `take_over`. Raises OutputError when any other mark is there, that of a run too; RemoteError.
    """
    found = _marked(path, owner, is_repair=True)
    if found.owner != owner and (take_over or (found.is_repair and found.owner.startswith(f"{place}/"))):
        _put_mark(path, owner, is_repair=True)
        found = _mark(path) or _NO_MARK
    if found.owner == owner:
        return
    if found.is_repair:
        raise OutputError(
            f"{path} is under repair since {found.since}",
            fix="Wait until it ends; where it was killed, the same command in its folder continues, or --take-over",
        )
    raise OutputError(
        f"a run is writing {path} since {found.since}",
        fix="Wait until it ends; where it was killed, run its command again, or --take-over if its workspace is gone",
    )


def require_owner(path: RemotePath, owner: str) -> None:
    """Raise OutputError when another run or repair has taken an output over since it was claimed."""
    if (_mark(path) or _NO_MARK).owner != owner:
        raise OutputError(f"another run or repair has taken {path} over", fix="Wait until it ends, then verify it")


def publish_output(draft: RemotePath, owner: str) -> None:
    """Make a draft known under its name: its root metadata are copied, that which makes it an image last.

    Raises OutputError when another run has taken it over, RemoteError. A second call does the same again.
    """
    require_owner(draft, owner)
    names = ("zarr.json",) if (draft / f"{DRAFTS}/zarr.json").exists() else (".zattrs", ".zgroup")
    for name in names:
        (draft.published() / name).write_bytes((draft / f"{DRAFTS}/{name}").read_bytes())
    for name in ROOT_METADATA:
        (draft / f"{DRAFTS}/{name}").unlink(missing_ok=True)


def release_output(path: RemotePath, owner: str) -> None:
    """Take back the mark of a run or a repair, if it is still there. Raises RemoteError."""
    if (_mark(path) or _NO_MARK).owner == owner:
        (path.published() / MARK).unlink(missing_ok=True)


def remove_objects(path: RemotePath) -> None:
    """Remove an image of ours with its draft, its root metadata first; the owner's mark stays.

    Raises OutputError when other objects are below it, before anything is removed; RemoteError.
    """
    image = path.published()
    names = [name for name in image.below() if name != MARK]
    foreign = [name for name in names if name not in ROOT_METADATA and not _IMAGE.fullmatch(name)]
    if foreign:
        raise OutputError(
            f"{len(foreign)} objects below {image} are not of its image, such as {foreign[0][:100]!r}",
            fix="Move them away, or name another output",
        )
    roots = [name for name in ROOT_METADATA if name in names]
    for name in roots:
        (image / name).unlink(missing_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda name: (image / name).unlink(missing_ok=True), set(names) - set(roots)))


def _marked(path: RemotePath, owner: str, *, is_repair: bool) -> _Mark:
    """The mark that is on an output, after one was made where there was none."""
    if (found := _mark(path)) is not None:
        return found
    with suppress(FileExistsError):
        _put_mark(path, owner, is_repair=is_repair, only_first=True)
    return _mark(path) or _NO_MARK


def _put_mark(path: RemotePath, owner: str, *, is_repair: bool, only_first: bool = False) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    entry = {"owner": owner, "since": since, "work": "repair" if is_repair else "run"}
    content = json.dumps({"cryolithe_stream": entry}).encode()
    mark = path.published() / MARK
    (mark.create_bytes if only_first else mark.write_bytes)(content)


def _mark(path: RemotePath) -> _Mark | None:
    """The mark on an output, None without one."""
    try:
        entry = json.loads((path.published() / MARK).read_bytes())["cryolithe_stream"]
        since = re.sub(r"[^-0-9: UTC]", "", str(entry["since"]))[:40] or _NO_MARK.since
        return _Mark(str(entry["owner"]), since, entry.get("work") == "repair")
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, AttributeError):
        return _NO_MARK
