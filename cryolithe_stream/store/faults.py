"""Sentences for what goes wrong while writing: a full disk, a folder that is not ours, a limit."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from cryolithe_stream.errors import CryolitheError, OutputError
from cryolithe_stream.store.place import Place

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_FOLDER = {errno.ENOENT, errno.ENOTDIR}


@contextmanager
def output_faults(path: Place) -> Iterator[None]:
    """Context in which an OSError of a write below `path` becomes an OutputError with its next step.

    Deliberate errors pass unchanged.
    """
    try:
        yield
    except CryolitheError:
        raise
    except OSError as error:
        raise _explained(path, error) from error


def _explained(path: Place, error: OSError) -> OutputError:
    if error.errno in _FULL:
        return OutputError(f"the disk is full: {path} cannot be written", fix="Free space there or name another output")
    if error.errno == errno.EFBIG:
        return OutputError(
            f"{path} would hold a file larger than the limit of this system or session",
            fix="Raise the limit (ulimit -f) or name an output on another file system",
        )
    reason = error.strerror or str(error)
    if error.errno in _FORBIDDEN:
        return OutputError(f"{path} cannot be written ({reason})", fix="Name an output in a folder that you may write")
    if error.errno in _NO_FOLDER:
        return OutputError(
            f"the folder of {path} cannot be used ({reason})", fix="Name an output in an existing folder"
        )
    return OutputError(f"{path} cannot be written ({reason})", fix="Check the disk or name another output")
