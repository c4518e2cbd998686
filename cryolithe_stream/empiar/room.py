"""A bounded part of the disk: what groups of files have reserved, and what is left over from others."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryolithe_stream.empiar.names import LOCK, PARTIAL, STATE, place_below
from cryolithe_stream.empiar.tree import RemoteFile
from cryolithe_stream.errors import OutputError

MARK = ".cryolithe-empiar-stream"


class Room:
    """The bytes of a folder: those of groups in use, those kept for good, those left over; one thread at a time.

    What is left over may be used again, and is deleted, the oldest first, where its room is needed. A file that several
    groups have counts for each of them, and stays while one of them is in use.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.folder, self.budget_bytes, self.kept_bytes = folder, budget_bytes, 0
        self._reserved: dict[str, int] = {}
        self._paths: dict[str, set[Path]] = {}
        self._left: dict[Path, int] = {}

    def take_folder(self, *, precious: Iterable[RemoteFile], obsolete: Iterable[RemoteFile]) -> None:
        """Claim the folder, and count what is in it as left over, but precious files as kept; obsolete ones go.

        Raises OutputError when it holds anything else.
        """
        others = [path for path in self.folder.iterdir() if path.name != LOCK]
        if others and not (self.folder / MARK).is_file():
            raise OutputError(f"{self.folder} holds other files, and this deletes files", fix="Name an empty folder")
        (self.folder / MARK).touch()
        found = [path for path in self.folder.rglob("*") if path.is_file() and not path.is_symlink()]
        stamps = {path: path.stat() for path in found if path.name not in (LOCK, MARK)}
        self._left = {path: stamps[path].st_size for path in sorted(stamps, key=lambda path: stamps[path].st_mtime)}
        for file in precious:
            self.kept_bytes += self._left.pop(place_below(self.folder, file.path), 0)
        self.delete(obsolete)
        self._make_room()

    def has(self, name: str) -> bool:
        """Whether a group of this name has room reserved."""
        return name in self._reserved

    def fits(self, needed_bytes: int) -> bool:
        """Whether so many bytes fit beside the groups in use."""
        return sum(self._reserved.values()) + self.kept_bytes + needed_bytes <= self.budget_bytes

    def reserve(self, name: str, files: Iterable[RemoteFile], needed_bytes: int) -> None:
        """Make room for a group, whose own left-over files stay."""
        self._paths[name] = {path for file in files for path in _names(place_below(self.folder, file.path))}
        for path in self._paths[name]:
            self._left.pop(path, None)
        self._reserved[name] = needed_bytes
        self._make_room()

    def free(self, name: str, files: Iterable[RemoteFile]) -> None:
        """A group is done with: its files are deleted."""
        self._forget(name)
        self.delete(files)

    def keep(self, name: str) -> None:
        """A group's files stay for good."""
        self.kept_bytes += self._forget(name)

    def leave(self, name: str, files: Iterable[RemoteFile]) -> None:
        """A group's files stay until their room is needed."""
        self._forget(name)
        for path in self._unused(files):
            if path.is_file():
                self._left[path] = path.stat().st_size

    def delete(self, files: Iterable[RemoteFile]) -> None:
        """Delete files with what is unfinished of them, and the folders that are empty then."""
        for path in self._unused(files):
            self._left.pop(path, None)
            self._delete(path)

    def _forget(self, name: str) -> int:
        """End a group's reservation; its bytes."""
        self._paths.pop(name, None)
        return self._reserved.pop(name, 0)

    def _unused(self, files: Iterable[RemoteFile]) -> list[Path]:
        """Files, whole and unfinished ones, that no group in use has."""
        used = set().union(*self._paths.values())
        paths = [path for file in files for path in _names(place_below(self.folder, file.path))]
        return [path for path in paths if path not in used]

    def _make_room(self) -> None:
        while self._left and not self.fits(sum(self._left.values())):
            path = next(iter(self._left))
            del self._left[path]
            self._delete(path)

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        busy = {parent for paths in self._paths.values() for used in paths for parent in used.parents}
        for parent in path.parents:
            if parent == self.folder or parent in busy:  # a group's files may be coming into it
                return
            with suppress(OSError):
                parent.rmdir()


def _names(path: Path) -> list[Path]:
    return [path.with_name(path.name + ending) for ending in ("", PARTIAL, STATE)]
