"""What the pipeline tells while it works."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What the pipeline reports to."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """A phase of `total` units begins, the one before it is over."""

    def advance(self, n: int, voxels: int = 0) -> None:
        """`n` more units are done, and with them `voxels` voxels."""

    def message(self, text: str) -> None:
        """A line that the user should read."""


class Silent:
    """Tells nothing."""

    def phase(self, name: str, total: int, unit: str) -> None:
        """Nothing."""

    def advance(self, n: int, voxels: int = 0) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""
