"""Groups of files one after another on a bounded part of the disk: the next ones come while one is worked on."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from types import TracebackType

from cryolithe_stream.empiar.client import Client, StoppedError, UnansweredError
from cryolithe_stream.empiar.fetch import check_connections, fetch_into, locked
from cryolithe_stream.empiar.index import Size
from cryolithe_stream.empiar.progress import NoProgress, Progress
from cryolithe_stream.empiar.room import Room
from cryolithe_stream.empiar.tree import RemoteFile
from cryolithe_stream.errors import InputError, RemoteError, ServerLostError
from cryolithe_stream.store.faults import output_faults

_STOP_WITHIN_S = 10.0
_NOTHING_THERE = (401, 403, 404, 410)


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
    """A group whose files lie below `folder`; leaving its context deletes them.

    Sizes of its files are exact where the server tells them. `failed` has what did not come, with the reason: files, or
    the group's name where nothing was fetched.
    """

    group: Group
    folder: Path
    failed: tuple[tuple[str, str], ...]
    stream: GroupStream

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are there."""
        missing = {path for path, _ in self.failed}
        if self.group.name in missing:
            return ()
        return tuple(self.folder / file.path for file in self.group.files if file.path not in missing)

    def __enter__(self) -> FetchedGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Delete the files: their room is the next group's. After this or another way to end, it does nothing."""
        self.stream.release(self)

    def set_aside(self) -> None:
        """Leave the files, whole and unfinished ones, until another group needs their room."""
        self.stream.set_aside(self)

    def keep(self) -> None:
        """Leave the files for good: the budget is smaller from here on."""
        self.stream.keep(self)


class GroupStream:
    """An iterator over groups, in a folder of its own that holds `budget_bytes` at most.

        with GroupStream(client, groups, folder, budget_bytes=200 * 2**30) as stream:
            for fetched in stream:
                with fetched:
                    work_on(fetched.paths)

    Groups are fetched ahead, in their order, as long as they fit beside those that are not released yet. One that is
    larger than the budget, or of which the server does not have a file, comes with `failed` instead of files. What a
    killed predecessor left is used where its group comes again, and deleted where room is needed; of files that are in
    no group here, `precious` ones stay and `obsolete` ones go. The client ends with the stream.
    Raises OutputError for a folder that holds anything else or is in use, and when the disk is full; ServerLostError
    when the server does not answer any more; InputError when one thread asks for the next group while those that it
    has not released leave no room for it.
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
        precious: Iterable[RemoteFile] = (),
        obsolete: Iterable[RemoteFile] = (),
    ) -> None:
        check_connections(connections)
        self._precious, self._obsolete = precious, obsolete
        self._client, self._groups, self._folder = client, groups, Path(folder)
        self._connections, self._progress = connections, progress or NoProgress()
        self._room = Room(self._folder, budget_bytes)
        self._changed = threading.Condition()
        self._ready: dict[str, FetchedGroup] = {}
        self._held: dict[str, int] = {}  # name → the thread that has it
        self._wanted = 0
        self._error: BaseException | None = None
        self._ended = False
        self._lock: AbstractContextManager[None] = locked(self._folder)
        self._thread = threading.Thread(target=self._run, name="empiar-groups", daemon=True)

    def __enter__(self) -> GroupStream:
        self._lock.__enter__()
        try:
            with output_faults(self._folder):
                self._room.take_folder(precious=self._precious, obsolete=self._obsolete)
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.halt()
        self._thread.join(_STOP_WITHIN_S)
        self._lock.__exit__(kind, error, trace)

    def __iter__(self) -> GroupStream:
        return self

    def __next__(self) -> FetchedGroup:
        fetched = self._take(None)
        if fetched is None:
            raise StopIteration
        return fetched

    def take(self, name: str) -> FetchedGroup:
        """The group of this name, when it is fetched; for threads that each wait for a group of their own.

        Raises as the iterator does, InputError for a name that no further group has, StoppedError after `halt`.
        """
        fetched = self._take(name)
        if fetched is None:
            raise InputError(f"no group {name} comes any more", fix="Take each group once")
        return fetched

    @property
    def fault(self) -> BaseException | None:
        """What ended the stream before its last group: the same is raised for every group that did not come."""
        return self._error

    def halt(self) -> None:
        """End all transfers; threads that wait for a group get a StoppedError."""
        self._client.halt()
        with self._changed:
            self._changed.notify_all()

    def release(self, fetched: FetchedGroup) -> None:
        """Delete a group's files; see `FetchedGroup.release`."""
        with self._changed:
            if self._held.pop(fetched.group.name, None) is not None:
                self._room.free(fetched.group.name, fetched.group.files)
                self._changed.notify_all()

    def set_aside(self, fetched: FetchedGroup) -> None:
        """Leave a group's files until room is needed; see `FetchedGroup.set_aside`."""
        with self._changed:
            if self._held.pop(fetched.group.name, None) is not None:
                self._room.leave(fetched.group.name, fetched.group.files)
                self._changed.notify_all()

    def keep(self, fetched: FetchedGroup) -> None:
        """Leave a group's files for good; see `FetchedGroup.keep`."""
        with self._changed:
            if self._held.pop(fetched.group.name, None) is not None:
                self._room.keep(fetched.group.name)
                self._changed.notify_all()

    def _take(self, name: str | None) -> FetchedGroup | None:
        """A fetched group, the first one without a name; None when no more comes."""
        me = threading.get_ident()
        with self._changed:
            while not (self._ready if name is None else name in self._ready):
                if self._error is not None:
                    raise self._error
                if self._ended:
                    return None
                if self._client.stop.is_set():
                    raise StoppedError
                if self._wanted and self._held and set(self._held.values()) == {me}:
                    raise InputError(
                        f"a group of {self._wanted} bytes does not fit into {self._room.budget_bytes} beside those in "
                        "use",
                        fix="Release groups before the next one, or give a larger budget_bytes",
                    )
                self._changed.wait()
            fetched = self._ready.pop(next(iter(self._ready)) if name is None else name)
            self._held[fetched.group.name] = me
            return fetched

    def _run(self) -> None:
        try:
            for group in self._groups:
                fetched = self._fetched(group)
                if fetched is None:
                    break
                with self._changed:
                    self._ready[fetched.group.name] = fetched
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _fetched(self, group: Group) -> FetchedGroup | None:
        """A group with its files, or what failed of it; None when the stream was left meanwhile."""
        with self._changed:
            if self._room.has(group.name) or group.name in self._held or group.name in self._ready:
                raise InputError(f"group {group.name} comes twice", fix="Give groups names of their own")
        try:
            group = replace(group, files=tuple(map(self._measured, group.files)))
        except RemoteError as error:
            self._check_server()
            return FetchedGroup(group, self._folder, ((group.name, str(error)),), self)
        needed = sum(0 if file.size is None else file.size.most for file in group.files)
        if reason := self._reserve(group, needed):
            return FetchedGroup(group, self._folder, ((group.name, reason),), self)
        if self._client.stop.is_set():
            return None
        outcome = fetch_into(
            self._client, group.files, self._folder, connections=self._connections, progress=self._progress
        )
        if outcome.failed:
            self._check_server()
        return FetchedGroup(group, self._folder, outcome.failed, self)

    def _reserve(self, group: Group, needed: int) -> str:
        """Wait until the group fits; a reason why it never will, else empty, also when the stream was left."""
        with self._changed, output_faults(self._folder):
            while not self._room.fits(needed) and not self._client.stop.is_set():
                if needed > self._room.budget_bytes - self._room.kept_bytes:
                    kept = f", of which {self._room.kept_bytes} are kept" if self._room.kept_bytes else ""
                    return f"it needs {needed} bytes, the budget of disk is {self._room.budget_bytes}{kept}"
                self._wanted = needed
                self._changed.notify_all()
                self._changed.wait()
            self._wanted = 0
            if not self._client.stop.is_set():
                self._room.reserve(group.name, group.files, needed)
        return ""

    def _measured(self, file: RemoteFile) -> RemoteFile:
        """A file with its size and date as the server tells them now."""
        seen = self._client.look(file.url)
        if seen.status in _NOTHING_THERE:
            raise RemoteError(f"{file.url}: the server answers {seen.status}")
        if seen.size is None and file.size is None:
            raise RemoteError(f"{file.url}: the server does not say how long the file is, so no room is kept")
        size = file.size if seen.size is None else Size(seen.size, seen.size)
        return replace(file, size=size, modified=seen.modified)

    def _check_server(self) -> None:
        """Raise ServerLostError when it is not one group that fails, but the server that is gone."""
        try:
            self._client.look(self._client.server.files_url.rstrip("/") + "/")
        except UnansweredError as error:
            fix = "Start the same command again when it is back: it goes on where it stopped"
            raise ServerLostError(f"the server is gone: {error.what}", fix=fix) from error
