"""Packages of clusters, imported without what their import does to this process."""

from __future__ import annotations

import signal
import threading
from importlib import import_module
from types import ModuleType

from cryolithe_stream.errors import UnsupportedError


def imported(module: str) -> ModuleType:
    """A module by its name, with Ctrl-C as it was before.

    Importing dask-jobqueue (0.9, `runner.py`) lets SIGINT end the program with exit code 0 and no word. Raises
    ImportError, and UnsupportedError in a thread other than the main one, where that import fails.
    """
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    try:
        return import_module(module)
    except ValueError as error:
        if main:
            raise
        raise UnsupportedError(
            f"{module} can be imported in the main thread only ({error})", fix="Import it there before this call"
        ) from error
    finally:
        if main and before is not None:
            signal.signal(signal.SIGINT, before)
