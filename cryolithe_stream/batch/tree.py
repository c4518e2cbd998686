"""The files under a folder, by name: links do not lead out, what cannot be read is told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from cryolithe_stream.errors import InputError, MissingFileError

_OURS = (".zarr", ".partial")  # our own outputs, and those of others: chunks, no series


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path (from the source, or absolute) that is left out, and why, in one sentence."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Names under `root`: `files` of each folder, sorted; folders as paths with /, the root as ''.

    `outward` holds names of links that lead out, by folder. Of a tree that is elsewhere nothing is read: `sizes` holds
    bytes of its files (about) by their paths, and is None for one that is here.
    """

    root: Path
    folders: dict[str, tuple[str, ...]]
    files: dict[str, frozenset[str]]
    skipped: list[Skipped] = field(default_factory=list)
    outward: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[str, int] | None = None

    def has_file(self, path: str) -> bool:
        """Whether there is a file at a relative path."""
        folder, _, name = path.rpartition("/")
        return name in self.files.get(folder, ())

    def has_folder(self, path: str) -> bool:
        """Whether there is a folder at a relative path."""
        return path in self.folders

    def paths(self) -> list[str]:
        """Every file, in the order of folders and names."""
        return [
            f"{folder}/{name}" if folder else name for folder in self.folders for name in sorted(self.files[folder])
        ]


def is_passed_over(name: str) -> bool:
    """Whether a name is none that series are looked for under: hidden, or of outputs with their chunks."""
    return name.startswith(".") or name.endswith(_OURS)


def walk(source: Path) -> Tree:
    """Every file under a folder, in an order that depends on names alone; no file is opened.

    Links to folders are not followed: inside the source they are found at their own place, and others are told in
    `skipped`, as are links to files elsewhere, folders that cannot be read, and names that are no text. Hidden names
    and `.zarr` folders are passed over. Raises MissingFileError or InputError when `source` is no folder.
    """
    if not source.exists():
        raise MissingFileError(f"the source {source} does not exist", fix="Name a folder of tilt series")
    if not source.is_dir():
        raise InputError(f"the source {source} is no folder", fix="Name a folder of tilt series")
    root = source.resolve()
    if not _is_text(str(root)):
        raise InputError(f"the name of {str(root).encode(errors='surrogateescape')!r} is no text", fix="Rename it")
    tree = Tree(root, {}, {})
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        found = _list(tree, folder)
        tree.folders[folder], tree.files[folder] = tuple(found[0]), frozenset(found[1])
        waiting += [f"{folder}/{name}" if folder else name for name in reversed(found[0])]
    return tree


def _list(tree: Tree, folder: str) -> tuple[list[str], list[str]]:
    """Names of folders and of files in a folder, sorted."""
    try:
        with os.scandir(tree.root / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if not folder:
            raise MissingFileError(f"{tree.root} cannot be read: {error.strerror}", fix="Check permissions") from error
        tree.skipped.append(Skipped(folder, f"the folder cannot be read ({error.strerror})"))
        return [], []
    folders: list[str] = []
    files: list[str] = []
    for entry in found:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith("."):
            continue
        if not _is_text(entry.name):
            shown = path.encode(errors="surrogateescape").decode(errors="backslashreplace")
            tree.skipped.append(Skipped(shown, "its name is no text (UTF-8)"))
        elif entry.is_symlink():
            if reason := _link_fault(tree.root, entry):
                tree.skipped.append(Skipped(path, reason))
                tree.outward.setdefault(folder, []).append(entry.name)
            elif entry.is_file():
                files.append(entry.name)
        elif entry.is_dir():
            folders += [] if entry.name.endswith(_OURS) else [entry.name]
        elif entry.is_file():
            files.append(entry.name)
    return folders, files


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _link_fault(root: Path, entry: os.DirEntry[str]) -> str:
    """Why a link is left out; empty when it may be used or need not be."""
    try:
        target = Path(entry.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return "a link that leads nowhere"
    if not target.is_relative_to(root):
        return "a link that leads out of the source"
    return ""
