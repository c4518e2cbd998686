"""Warnings of libraries that say nothing to our users."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.Lock()  # Python's filters belong to the process: two threads would restore each other's


@contextmanager
def without_warning(start: str, category: type[Warning]) -> Iterator[None]:
    """A block without the warnings of a category whose text begins with `start`; threads take turns."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.filterwarnings("ignore", start, category)
        yield
