"""Many files into a folder: several at once, each whole or not there, one command at a time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryolithe_stream.empiar.client import Client, StoppedError
from cryolithe_stream.empiar.download import download, is_whole
from cryolithe_stream.empiar.names import LOCK, PARTIAL, place_below
from cryolithe_stream.empiar.progress import NoProgress, Progress
from cryolithe_stream.empiar.server import MOST_CONNECTIONS
from cryolithe_stream.empiar.tree import RemoteFile
from cryolithe_stream.errors import InputError, OutputError, RemoteError
from cryolithe_stream.store.faults import output_faults
from cryolithe_stream.store.lock import WriterLock

_STOP_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The relative paths that were fetched and those that were there already, bytes fetched, and what failed, why."""

    fetched: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    n_bytes: int


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A context in which this is the only command that downloads into the folder, which is made when missing.

    Raises OutputError when another one is at work there.
    """
    with output_faults(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock.acquire(folder / LOCK)
    try:
        yield
    finally:
        lock.release()


def fetch(
    client: Client,
    files: Sequence[RemoteFile],
    folder: str | os.PathLike[str],
    *,
    connections: int = 4,
    progress: Progress | None = None,
) -> Outcome:
    """Download files into the folder, under their paths; whole ones that are there are left alone.

    Raises InputError for connections that are none or too many, OutputError when the folder cannot be used, is in use,
    or the disk is or becomes full. A file that the server does not give is in the outcome instead, with the reason.
    """
    check_connections(connections)
    place = Path(folder)
    with locked(place):
        check_room(files, place)
        return fetch_into(client, files, place, connections=connections, progress=progress or NoProgress())


def fetch_into(
    client: Client, files: Sequence[RemoteFile], folder: Path, *, connections: int, progress: Progress
) -> Outcome:
    """`fetch` for whoever holds the folder's lock."""
    ends: dict[str, tuple[str, int]] = {}

    def one(file: RemoteFile) -> None:
        ends[file.path] = _fetch_one(client, file, folder, progress)
        progress.ended(file.path, ends[file.path][0])

    pool = ThreadPoolExecutor(connections, thread_name_prefix="empiar")
    running: set[Future[None]] = {pool.submit(one, file) for file in files}
    everything = set(running)
    try:
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
    except BaseException:
        client.halt()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(everything, timeout=_STOP_WITHIN_S)
        raise
    pool.shutdown()
    return Outcome(
        fetched=tuple(f.path for f in files if ends[f.path][0] == "fetched"),
        skipped=tuple(f.path for f in files if ends[f.path][0] == "skipped"),
        failed=tuple((f.path, ends[f.path][0]) for f in files if ends[f.path][0] not in ("fetched", "skipped")),
        n_bytes=sum(n_bytes for _, n_bytes in ends.values()),
    )


def check_connections(connections: int) -> None:
    """Raise InputError unless the number is one that a public server can bear."""
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise InputError(f"{connections} connections", fix=f"Give 1 to {MOST_CONNECTIONS}")


def check_room(files: Sequence[RemoteFile], folder: Path) -> None:
    """Raise OutputError when the files, less what of them is there, need more than the free disk."""
    needed = sum(max(file.size.likely - _present(folder, file), 0) for file in files if file.size is not None)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"the files need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free at {folder}",
            fix="Narrow it with --match or --limit, or name a folder on another disk",
        )


def _present(folder: Path, file: RemoteFile) -> int:
    path = folder / file.path
    for candidate in (path, path.with_name(path.name + PARTIAL)):
        if candidate.is_file():
            return candidate.stat().st_size
    return 0


def _fetch_one(client: Client, file: RemoteFile, folder: Path, progress: Progress) -> tuple[str, int]:
    if client.stop.is_set():
        raise StoppedError
    target = place_below(folder, file.path)
    try:
        if is_whole(client, file, target):
            progress.present(target.stat().st_size)
            return "skipped", 0
        return "fetched", download(client, file, target, progress)
    except RemoteError as error:
        return str(error), 0
