"""What a download tells of itself."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Whoever watches downloads; called from several threads."""

    def arrived(self, n_bytes: int) -> None:
        """Bytes came from the server."""

    def present(self, n_bytes: int) -> None:
        """Bytes were there already, or (negative) are thrown away."""

    def ended(self, path: str, how: str) -> None:
        """A file is `fetched`, `skipped`, or what went wrong with it."""


class NoProgress:
    """Nobody watches."""

    def arrived(self, n_bytes: int) -> None:
        """Nothing."""

    def present(self, n_bytes: int) -> None:
        """Nothing."""

    def ended(self, path: str, how: str) -> None:
        """Nothing."""
