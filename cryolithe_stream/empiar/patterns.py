"""Globs on the relative paths of an entry: `*` within a name, `**` across folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cryolithe_stream.errors import InputError


@dataclass(frozen=True, slots=True)
class Patterns:
    """What is wanted: paths that match one of the globs, or all where there is none."""

    globs: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def parse(cls, globs: Sequence[str]) -> Patterns:
        """The patterns of `--match`. Raises InputError for empty ones.

        One without a slash is for names in any folder, one with a slash at its end for all that the folder holds.
        """
        parsed = []
        for glob in globs:
            parts = glob.removeprefix("./").removeprefix("/").split("/")
            if parts[-1] == "" and len(parts) > 1:
                parts[-1] = "**"
            if "" in parts or ".." in parts:
                raise InputError(f"--match {glob!r} is no pattern of paths", fix="Give it as 'data/*/*.mrc'")
            parsed.append(("**", *parts) if len(parts) == 1 else tuple(parts))
        return cls(tuple(parsed))

    def match(self, path: str) -> bool:
        """Whether a file is wanted."""
        names = path.split("/")
        return not self.globs or any(len(glob) in _reached(glob, names) for glob in self.globs)

    def may_match_below(self, folder: str) -> bool:
        """Whether a folder can hold files that are wanted; the top folder is the empty path."""
        names = folder.split("/") if folder else []
        return not self.globs or any(min(_reached(glob, names), default=len(glob)) < len(glob) for glob in self.globs)


def _reached(glob: tuple[str, ...], names: list[str]) -> set[int]:
    """How many parts of the glob the names can have used up, each possible number."""
    states = _skipped(glob, {0})
    for name in names:
        after = set()
        for i in states:
            if i < len(glob) and glob[i] == "**":
                after.add(i)
            elif i < len(glob) and fnmatchcase(name, glob[i]):
                after.add(i + 1)
        states = _skipped(glob, after)
    return states


def _skipped(glob: tuple[str, ...], states: set[int]) -> set[int]:
    """The states that are reached as well when `**` stands for no folder."""
    reached = set(states)
    for i in range(len(glob)):
        if i in reached and glob[i] == "**":
            reached.add(i + 1)
    return reached
