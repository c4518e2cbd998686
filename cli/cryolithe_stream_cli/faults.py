"""What went wrong, as one line and an exit code: 2 for the user's input, 130 interrupted, 1 anything else."""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from cryolithe_stream.errors import CryolitheError, CryolitheWarning

INTERRUPTED = 130
_FULL = {errno.EDQUOT, errno.ENOSPC}
_USERS_PATH = {errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}
_USERS_DISK = {errno.EACCES, errno.EFBIG, errno.EIO, errno.EPERM, errno.EROFS} | _USERS_PATH | _FULL


def report(error: BaseException, *, debug: bool) -> int:
    """Write one `error:` line (with `debug` the traceback before it) to standard error; returns the exit code."""
    if debug:
        traceback.print_exception(error)
    line, code = _explain(error)
    if line:
        with suppress(OSError):  # nobody may be left to read it
            sys.stderr.write(f"error: {' '.join(line.split())}\n")
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command continues where it stopped", INTERRUPTED
    if isinstance(error, CryolitheError):
        return str(error), error.exit_code
    usage = getattr(error, "format_message", None)  # a command line that typer could not parse
    if callable(usage):
        text = str(usage()).rstrip(".")  # empty when the help text was printed instead
        return f"{text}. See `cryolithe-stream --help`." if text else "", 2
    if isinstance(error, OSError) and error.errno in _USERS_DISK:
        place = f" {error.filename}" if error.filename else ""
        fix = "Free space on the disk" if error.errno in _FULL else "Check its permissions and the disk"
        fix = "Check the path" if error.errno in _USERS_PATH else fix
        return f"cannot read or write{place}: {error.strerror}. {fix}.", 2
    if isinstance(error, MemoryError):
        return f"the memory of this machine is used up ({error}). Give a smaller --memory or fewer workers.", 1
    return f"{type(error).__name__}: {error}. `--debug` shows where; please report it.", 1


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """A context in which our warnings are one `warning:` line each, told once however often they come up.

    Those of libraries stay quiet, unless `-W` asks.
    """
    told: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = " ".join(str(message).split())
        if not issubclass(category, CryolitheWarning):
            text = f"{category.__name__}: {text}"
        if text not in told:
            told.add(text)
            (file or sys.stderr).write(f"warning: {text}\n")

    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        warnings.simplefilter("always", CryolitheWarning)
        warnings.showwarning = show
        yield
