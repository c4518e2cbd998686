"""The files of an entry, found folder by folder, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote

from cryolithe_stream.empiar.client import Client
from cryolithe_stream.empiar.index import Listing, Size, parse_index
from cryolithe_stream.empiar.kept import KeptListings
from cryolithe_stream.empiar.patterns import Patterns
from cryolithe_stream.errors import InputError, RemoteError

_MOST_PAGE_BYTES = 64 * 2**20
_DEEPEST = 24


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of an entry: its path below the entry's folder, its address, and its size as far as a list tells it.

    `modified` is its date in the server's words, where it was asked for.
    """

    path: str
    url: str
    size: Size | None = None
    modified: str = ""


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder of an entry: its path (empty: the entry's own), the wanted files in it, and what else it holds.

    `n_folders` counts the folders in it; `unread` says that those were not looked into.
    """

    path: str
    files: tuple[RemoteFile, ...]
    n_folders: int
    unread: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a tree is followed: folders that are read, files that are found, folders below each other."""

    folders: int = 20_000
    files: int = 500_000
    depth: int = _DEEPEST


@dataclass(frozen=True, slots=True)
class Tree:
    """The folders of an entry, to be walked; `refused` is told what was passed over and why.

    Folders whose name `enters` does not like are passed over without a word. Lists in `kept` are not asked for again.
    """

    client: Client
    number: str
    patterns: Patterns = field(default_factory=Patterns)
    bounds: Bounds = field(default_factory=Bounds)
    refused: Callable[[str], None] = lambda line: None
    enters: Callable[[str], bool] = lambda name: True
    kept: KeptListings | None = None

    def folders(self) -> Iterator[RemoteFolder]:
        """Each folder that may hold wanted files, top down, sorted by path.

        Raises InputError when the entry has no folder, RemoteError when the server does not answer, when a page is
        no list, and when the tree is larger than the bounds.
        """
        waiting = [""]
        n_read = n_found = 0
        while waiting:
            path = waiting.pop()
            if n_read == self.bounds.folders:
                raise RemoteError(
                    f"EMPIAR-{self.number} has more than {n_read} folders to look into", fix="Narrow it with --match"
                )
            listing = self._listing(path)
            n_read += 1
            if listing is None:
                continue
            files, below = self._sorted(path, listing)
            n_found += len(files)
            if n_found > self.bounds.files:
                raise RemoteError(
                    f"EMPIAR-{self.number} has more than {self.bounds.files} files that match",
                    fix="Narrow it with --match",
                )
            depth = path.count("/") + 1 if path else 0
            unread = depth >= self.bounds.depth and bool(below)
            yield RemoteFolder(path, files, len(below), unread)
            if unread and self.bounds.depth == _DEEPEST:
                self.refused(f"{path}: folders below are not looked into, {depth} is the deepest")
            if not unread:
                waiting += [folder for folder in reversed(below) if self.patterns.may_match_below(folder)]

    def files(self) -> Iterator[RemoteFile]:
        """Each wanted file; see `folders`."""
        for folder in self.folders():
            yield from folder.files

    def _listing(self, path: str) -> Listing | None:
        url = self.client.server.folder_url(self.number) + (quote(path) + "/" if path else "")
        listing = None if self.kept is None else self.kept.get(url)
        if listing is None and (listing := self._asked(url, path)) is not None and self.kept is not None:
            self.kept.add(url, listing)
        for link in () if listing is None else listing.refused:
            self.refused(f"{path or 'top'}: {link!r} is no plain name or leads elsewhere, left out")
        return listing

    def _asked(self, url: str, path: str) -> Listing | None:
        page = self.client.body(url, _MOST_PAGE_BYTES)
        if page is None and not path:
            raise InputError(
                f"EMPIAR has no files of entry {self.number}", fix="Check the number; it may be unreleased"
            )
        if page is None:
            self.refused(f"{path}/: the server lists it but does not have it")
            return None
        text = page.decode("utf-8", errors="replace")
        if "<a" not in text.lower():
            raise RemoteError(f"{url} is no list of files")
        return parse_index(text, url)

    def _sorted(self, path: str, listing: Listing) -> tuple[tuple[RemoteFile, ...], list[str]]:
        prefix = f"{path}/" if path else ""
        files = tuple(
            RemoteFile(found, self.client.server.file_url(self.number, found), entry.size)
            for entry in listing.entries
            if not entry.is_folder and self.patterns.match(found := prefix + entry.name)
        )
        return files, [prefix + entry.name for entry in listing.entries if entry.is_folder and self.enters(entry.name)]
