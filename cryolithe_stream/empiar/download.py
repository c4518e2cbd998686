"""One file: downloaded, or taken up where it stopped.

HTTP as RFC 9110 has it: `Range: bytes=N-` with `If-Range` asks for the rest of the same version. A server that answers
200 sends all of it, because it knows no ranges or the file is another one by now: then everything starts anew. EMPIAR's
server answers 206 to ranges (published recipes read single frames of EMPIAR-10511 so, and resume with `curl -C -`). It
is several machines, which may tag a file differently: where the tag alone has changed the date is asked by instead.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import requests

from cryolithe_stream.empiar.client import BrokenTransferError, Client, check_answer
from cryolithe_stream.empiar.index import Size
from cryolithe_stream.empiar.partial import NOTHING, Partial, Version
from cryolithe_stream.empiar.progress import Progress
from cryolithe_stream.empiar.tree import RemoteFile
from cryolithe_stream.errors import OutputError, RemoteError
from cryolithe_stream.store.faults import output_faults

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)
_PROGRESS_BYTES = 1 << 20


def is_whole(client: Client, file: RemoteFile, target: Path) -> bool:
    """Whether a file is there already, of the size that the server says (asked for where the list rounds it)."""
    if not target.is_file():
        return False
    length = target.stat().st_size
    if file.size is not None and (file.size.exact is not None or not _fits(file.size, length)):
        return file.size.exact == length
    size = client.look(file.url).size
    return file.size is not None if size is None else size == length


def download(client: Client, file: RemoteFile, target: Path, progress: Progress) -> int:
    """Make `target` the whole file; returns its size in bytes.

    Raises RemoteError when the server does not give the file, or sizes contradict each other; OutputError when it
    cannot be written; StoppedError. What has come stays beside it as `NAME.partial`, unless the disk was full.
    """
    with output_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with Partial(target) as partial:
            if partial.length and not _can_continue(partial.version, file):
                partial.begin(NOTHING)
            progress.present(partial.length)
            _complete(client, file, partial, progress)
            partial.finish()
            return partial.length


def _complete(client: Client, file: RemoteFile, partial: Partial, progress: Progress) -> None:
    patience, furthest = client.patience(), partial.length
    while partial.version.size is None or partial.length != partial.version.size:
        headers = {}
        if partial.length:
            headers["Range"] = f"bytes={partial.length}-"
            if partial.version.condition:
                headers["If-Range"] = partial.version.condition
        try:
            with client.open(file.url, patience, headers=headers) as response:
                _accept(response, file, partial, progress)
                most = _most(file, partial.version)
                for data in client.chunks(response):
                    if partial.length + len(data) > most:
                        _forget(partial, NOTHING, progress)
                        raise RemoteError(f"{file.url}: more comes than the {most} bytes announced")
                    partial.append(data)
                    progress.arrived(len(data))
            if partial.version.size is None:  # sent in chunks, whose end is marked
                _check_size(file, partial.length)
                return
            if partial.length < partial.version.size:
                raise BrokenTransferError("the server stopped before the end")
        except BrokenTransferError as error:
            if partial.length - furthest >= _PROGRESS_BYTES:
                furthest = partial.length
                patience.renew()
            patience.pause(file.url, error.what)
    _check_size(file, partial.length)


def _accept(response: requests.Response, file: RemoteFile, partial: Partial, progress: Progress) -> None:
    """Make the partial file ready for the answer's body; BrokenTransferError where another attempt has to be made."""
    known = partial.version
    if response.status_code == 416 and partial.length:
        _forget(partial, NOTHING, progress)
        raise BrokenTransferError("the server has fewer bytes than it announced")
    check_answer(response, file.url, (200, 206))
    if response.status_code == 206:
        match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        total = None if match is None or match[3] == "*" else int(match[3])
        found = _version(file, response, total)
        if not partial.length or match is None or int(match[1]) != partial.length or known.differs(found):
            _forget(partial, NOTHING, progress)
            raise BrokenTransferError("the server has another version by now")
        partial.version = replace(known, size=known.size if total is None else total)
        return
    length = response.headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    found = _version(file, response, size)
    if partial.length and known.is_twin(found):
        partial.relabel(replace(known, etag=""))  # the next attempt asks by the date
        raise BrokenTransferError("another machine answers, and tags the file differently")
    if size is None and (file.size is None or response.headers.get("Transfer-Encoding", "").lower() != "chunked"):
        raise RemoteError(f"{file.url}: the server does not say how long the file is, so it cannot be checked")
    if size is not None:
        _check_size(file, size)
    _forget(partial, found, progress)
    free = shutil.disk_usage(partial.path.parent).free
    if size is not None and size > free:
        raise OutputError(
            f"{file.url} has {size} bytes, and {free} are free at {partial.path.parent}",
            fix="Free space there or name another folder",
        )


def _most(file: RemoteFile, version: Version) -> int:
    """The most bytes that the file can have."""
    if version.size is not None:
        return version.size
    assert file.size is not None
    return file.size.most


def _can_continue(version: Version, file: RemoteFile) -> bool:
    """Whether a partial file may still become the file: of the same address, and of a size that is listed."""
    if version.size is not None and file.size is not None:
        return version.url == file.url and _fits(file.size, version.size)
    return version.url == file.url and (version.size is not None or file.size is not None)


def _forget(partial: Partial, version: Version, progress: Progress) -> None:
    progress.present(-partial.length)
    partial.begin(version)


def _version(file: RemoteFile, response: requests.Response, size: int | None) -> Version:
    return Version(file.url, size, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))


def _check_size(file: RemoteFile, n_bytes: int) -> None:
    if file.size is not None and not _fits(file.size, n_bytes):
        listed = f"{file.size.least} to {file.size.most}" if file.size.exact is None else f"{file.size.exact}"
        raise RemoteError(f"{file.url}: {n_bytes} bytes are sent, but {listed} are listed", fix="Try again later")


def _fits(size: Size, n_bytes: int) -> bool:
    return size.least <= n_bytes <= size.most
