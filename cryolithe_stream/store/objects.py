"""An output in an object store: claimed by its owner, published by its root metadata, which come last.

Object stores rename nothing. An image is therefore written under its final name, with its root metadata kept aside in
`.cryolithe-stream/`, where a mark says which run writes it.
"""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

from cryolithe_stream.errors import OutputError
from cryolithe_stream.store.place import DRAFTS, ROOT_METADATA, RemotePath

MARK = f"{DRAFTS}/owner.json"
_IMAGE = re.compile(r"\d+/(zarr\.json|\.zarray|\.zattrs|(c/)?\d+/\d+/\d+)|\.cryolithe-stream/[^/]+")
_AT_ONCE = 16


def claim_output(path: RemotePath, owner: str, *, overwrite: bool) -> None:
    """Mark an output as written by one run, before anything else of it is there; its own mark is fine.

    The mark is made on the condition that there is none, where the server knows conditions; elsewhere two runs that
    begin within a moment may both pass, and the one whose mark was replaced finds out in `require_owner`.
    Raises OutputError when another run's mark is there, unless `overwrite`; RemoteError.
    """
    mark = path.published() / MARK
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    content = json.dumps({"cryolithe_stream": {"owner": owner, "since": since}}).encode()
    try:
        if _owner(path) == ("", ""):
            mark.create_bytes(content)
    except FileExistsError:
        pass
    found, begun = _owner(path)
    if found == owner:
        return
    if not overwrite:
        raise OutputError(
            f"another run is writing {path} since {begun or 'an unknown time'}",
            fix="Wait until it ends; where it is gone and its workspace too, --overwrite begins anew",
        )
    mark.write_bytes(content)


def require_owner(path: RemotePath, owner: str) -> None:
    """Raise OutputError when another run has taken an output over since `claim_output`."""
    if _owner(path)[0] != owner:
        raise OutputError(f"another run has taken {path} over", fix="Wait until it ends, or name another output")


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
    """Take back the mark of a run, if it is still there. Raises RemoteError."""
    if _owner(path)[0] == owner:
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


def _owner(path: RemotePath) -> tuple[str, str]:
    """Whose mark is on an output and since when; empty texts without one."""
    try:
        entry = json.loads((path.published() / MARK).read_bytes())["cryolithe_stream"]
        return str(entry["owner"]), re.sub(r"[^-0-9: UTC]", "", str(entry["since"]))[:40]
    except FileNotFoundError:
        return "", ""
    except (ValueError, LookupError, TypeError):
        return "unreadable", ""
