"""Groups of files one after another on a bounded part of the disk: the next ones come while one is worked on."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from types import TracebackType

from cryolithe_stream.empiar.client import Client
from cryolithe_stream.empiar.fetch import check_connections, fetch_into, locked
from cryolithe_stream.empiar.names import LOCK, PARTIAL, STATE, place_below
from cryolithe_stream.empiar.progress import NoProgress, Progress
from cryolithe_stream.empiar.tree import RemoteFile
from cryolithe_stream.errors import InputError, OutputError, RemoteError
from cryolithe_stream.store.faults import output_faults

_MARK = ".cryolithe-empiar-stream"
_STOP_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are needed together, such as a tilt series with its angles and its alignment."""

    name: str
    files: tuple[RemoteFile, ...]


def group_by_folder(files: Iterable[RemoteFile], depth: int) -> Iterator[Group]:
    """Groups of the files that share their first `depth` folders, in the order in which `Tree.files` finds them."""
    for name, members in groupby(files, key=lambda file: "/".join(file.path.split("/")[:-1][:depth])):
        yield Group(name, tuple(members))


@dataclass(frozen=True, slots=True)
class FetchedGroup:
    """A group whose files lie below `folder`; leaving its context deletes them. `failed` has what did not come."""

    group: Group
    folder: Path
    failed: tuple[tuple[str, str], ...]
    stream: GroupStream

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are there."""
        missing = {path for path, _ in self.failed}
        return tuple(self.folder / file.path for file in self.group.files if file.path not in missing)

    def __enter__(self) -> FetchedGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Delete the files: their room is the next group's. A second call does nothing."""
        self.stream.release(self)


class GroupStream:
    """An iterator over groups, in a folder of its own that holds `budget_bytes` at most.

        with GroupStream(client, groups, folder, budget_bytes=200 * 2**30) as stream:
            for fetched in stream:
                with fetched:
                    work_on(fetched.paths)

    Groups are fetched ahead, in their order, as long as they fit beside those that are not released yet. What a killed
    predecessor left is used where its group comes again, and deleted where room is needed. The client ends with the
    stream. Raises OutputError for a folder that holds anything else or is in use, and when the disk is full; InputError
    for a group that is larger than the budget, and when one thread asks for the next group while those that it has
    not released leave no room for it.
    """

    def __init__(
        self,
        client: Client,
        groups: Iterable[Group],
        folder: str | os.PathLike[str],
        *,
        budget_bytes: int,
        connections: int = 4,
        progress: Progress | None = None,
    ) -> None:
        check_connections(connections)
        self._client, self._groups, self._folder = client, groups, Path(folder)
        self._budget, self._connections, self._progress = budget_bytes, connections, progress or NoProgress()
        self._changed = threading.Condition()
        self._ready: deque[FetchedGroup] = deque()
        self._reserved: dict[str, int] = {}
        self._held: dict[str, int] = {}  # name → the thread that has it
        self._wanted = 0
        self._error: BaseException | None = None
        self._ended = False
        self._left: dict[Path, int] = {}
        self._lock: AbstractContextManager[None] = locked(self._folder)
        self._thread = threading.Thread(target=self._run, name="empiar-groups", daemon=True)

    def __enter__(self) -> GroupStream:
        self._lock.__enter__()
        try:
            with output_faults(self._folder):
                self._take_folder()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.halt()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(_STOP_WITHIN_S)
        self._lock.__exit__(kind, error, trace)

    def __iter__(self) -> GroupStream:
        return self

    def __next__(self) -> FetchedGroup:
        me = threading.get_ident()
        with self._changed:
            while not self._ready:
                if self._error is not None:
                    raise self._error
                if self._ended:
                    raise StopIteration
                if self._wanted and self._held and set(self._held.values()) == {me}:
                    raise InputError(
                        f"a group of {self._wanted} bytes does not fit into {self._budget} beside those in use",
                        fix="Release groups before the next one, or give a larger budget_bytes",
                    )
                self._changed.wait()
            fetched = self._ready.popleft()
            self._held[fetched.group.name] = me
            return fetched

    def release(self, fetched: FetchedGroup) -> None:
        """Delete a group's files; see `FetchedGroup.release`."""
        name = fetched.group.name
        with self._changed:
            if self._held.pop(name, None) is None:
                return
        for file in fetched.group.files:
            _delete(self._folder, place_below(self._folder, file.path))
        with self._changed:
            self._reserved.pop(name, None)
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            for group in self._groups:
                if not self._reserve(group):
                    return
                outcome = fetch_into(
                    self._client, group.files, self._folder, connections=self._connections, progress=self._progress
                )
                with self._changed:
                    self._ready.append(FetchedGroup(group, self._folder, outcome.failed, self))
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _reserve(self, group: Group) -> bool:
        """Wait until the group fits; False when the stream was left meanwhile."""
        needed = sum(self._size(file) for file in group.files)
        if needed > self._budget:
            raise InputError(
                f"group {group.name} has {needed} bytes, more than the {self._budget} allowed",
                fix="Give a larger budget_bytes, or smaller groups",
            )
        for file in group.files:
            for ending in ("", PARTIAL, STATE):
                self._left.pop(self._folder / (file.path + ending), None)
        with self._changed:
            if group.name in self._reserved:
                raise InputError(f"group {group.name} comes twice", fix="Give groups names of their own")
            while sum(self._reserved.values()) + needed > self._budget and not self._client.stop.is_set():
                self._wanted = needed
                self._changed.notify_all()
                self._changed.wait()
            self._wanted = 0
            self._reserved[group.name] = needed
            while self._left and sum(self._reserved.values()) + sum(self._left.values()) > self._budget:
                _delete(self._folder, self._left.popitem()[0])
        return not self._client.stop.is_set()

    def _size(self, file: RemoteFile) -> int:
        exact = None if file.size is None else file.size.exact
        if exact is None:
            exact = self._client.content_length(file.url)
        if exact is None and file.size is None:
            raise RemoteError(f"{file.url}: the server does not say how long the file is, so no room is kept")
        return file.size.most if exact is None and file.size is not None else exact or 0

    def _take_folder(self) -> None:
        others = [path for path in self._folder.iterdir() if path.name != LOCK]
        if others and not (self._folder / _MARK).is_file():
            raise OutputError(f"{self._folder} holds other files, and this deletes files", fix="Name an empty folder")
        (self._folder / _MARK).touch()
        for path in self._folder.rglob("*"):
            if path.name not in (LOCK, _MARK) and path.is_file() and not path.is_symlink():
                self._left[path] = path.stat().st_size


def _delete(folder: Path, path: Path) -> None:
    """Remove a file with what is unfinished of it, and the folders that are empty then."""
    for ending in ("", PARTIAL, STATE):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    for parent in path.parents:
        if parent == folder:
            return
        with suppress(OSError):
            parent.rmdir()
