"""What this program wrote, and may therefore replace: anything else is never deleted."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from pathlib import Path

from cryolithe_stream.errors import OutputError
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.labels import mrc_labels
from cryolithe_stream.store.objects import MARK, remove_objects
from cryolithe_stream.store.place import ROOT_METADATA, Place, RemotePath

MRC_SIGNATURE = "cryolithe-stream"
_MARKERS = ("zarr.json", ".zattrs", "plan.json")
_OBJECT_MARKERS = ("zarr.json", ".zattrs", MARK)
_AWAY = re.compile(r"\.[0-9a-f]{32}\.removing")
_LEDGER_LEFTOVER = re.compile(r"lock|journal\.txt|\.plan\.json\.[0-9a-f]+\.partial")


def is_ours(path: Place) -> bool:
    """Whether `path` is a Zarr group, a ledger or an MRC file that this program wrote, or began to in an object store.

    An MRC file is ours when its last label says so: other programs add theirs after it. What a ledger whose creation
    was interrupted leaves behind, with nothing else in the folder, is ours too.
    """
    if isinstance(path, RemotePath):
        return any(_mentions_us(path.published() / name) for name in _OBJECT_MARKERS)
    if path.is_file():
        return _signed_mrc(path)
    if not path.is_dir():
        return False
    names = [entry.name for entry in path.iterdir()]
    if names and all(_LEDGER_LEFTOVER.fullmatch(name) for name in names):
        return True
    return any(_mentions_us(path / name) for name in _MARKERS)


def remove_output(path: Place) -> None:
    """Delete what this program wrote at `path`; nothing there is fine.

    What shows that a folder is ours goes last, so that a removal that was killed can be taken up; of an image in an
    object store the root metadata go first, and the mark of its owner stays.
    Raises OutputError when what stands there is not ours or cannot be deleted.
    """
    if not (path.published() if isinstance(path, RemotePath) else path).exists():
        return
    if not is_ours(path):
        raise OutputError(f"{path} was not written by cryolithe-stream and stays", fix="Move it away or name another")
    if isinstance(path, RemotePath):
        remove_objects(path)
        return
    with output_faults(path):
        if path.is_file():
            path.unlink()
            return
        for entry in list(path.iterdir()):
            if entry.name in _MARKERS or _LEDGER_LEFTOVER.fullmatch(entry.name):
                continue
            if entry.is_dir() and not entry.is_symlink():
                # Under another name first: a task whose client died may still write there, and finds it gone.
                away = entry if _AWAY.fullmatch(entry.name) else entry.with_name(f".{uuid.uuid4().hex}.removing")
                entry.rename(away)
                shutil.rmtree(away)
            else:
                entry.unlink()
        for name in _MARKERS:
            (path / name).unlink(missing_ok=True)
        shutil.rmtree(path)


def stands_at(path: Place) -> bool:
    """Whether anything stands at an output's name; what is only begun in an object store is judged by its owner's mark.

    A link that leads nowhere stands there too.
    """
    if isinstance(path, Path):
        return path.exists() or path.is_symlink()
    if not path.exists():
        return False
    begun = _mentions_us(path / MARK) and not any((path / name).exists() for name in ROOT_METADATA)
    return not begun


def require_replaceable(path: Path, *, overwrite: bool) -> None:
    """Raise OutputError when something stands at `path`, unless it is ours and may be overwritten."""
    if path.exists() and not (overwrite and is_ours(path)):
        raise OutputError(f"{path} exists and stays", fix="Name another output, or --overwrite one of ours")


def _mentions_us(file: Place) -> bool:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    if not isinstance(content, dict):
        return False
    return "cryolithe_stream" in content or "cryolithe_stream" in content.get("attributes", {})


def _signed_mrc(path: Path) -> bool:
    labels = mrc_labels(path)
    return bool(labels) and labels[-1].startswith(MRC_SIGNATURE)
