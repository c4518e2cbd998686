"""Files and folders that appear whole or not at all, and reach the disk before anything says so."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.place import Place, RemotePath


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Make `path` hold `data`: written beside it, flushed to the disk, then renamed over it.

    Of several writers at once the last one's data stay, whole. Raises OutputError when the disk is full or the folder
    cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with output_faults(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


@contextmanager
def folder_made_whole(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that becomes `path` when the block ends without an error.

    What a killed predecessor left under the temporary name is removed first. Raises OutputError.
    """
    temporary = path.with_name(f".{path.name}.creating")
    with output_faults(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync(path.parent)


def made_below(folder: Path, path: Path) -> None:
    """Make the folders between `folder` and `path`, on the disk when this returns; OSError when `folder` has gone."""
    for part in [*reversed(path.relative_to(folder).parents), path.relative_to(folder)][1:]:
        if not (folder / part).is_dir():
            (folder / part).mkdir(exist_ok=True)
            sync((folder / part).parent)


def sync(path: Place) -> None:
    """Flush a file or a folder to the disk; what does not exist has nothing to flush, nor has an object in a store."""
    if isinstance(path, RemotePath):
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
