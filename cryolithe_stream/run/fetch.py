"""One file from an address: looked up, its start, or all of it, under its name only when it is whole."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryolithe_stream.empiar import Client, NoProgress, RemoteFile, Server, Size
from cryolithe_stream.empiar.client import check_answer
from cryolithe_stream.empiar.download import download
from cryolithe_stream.empiar.names import safe_name
from cryolithe_stream.errors import AccessError, InputError, MissingFileError, OutputError, RemoteError
from cryolithe_stream.store import RemotePath, output_faults
from cryolithe_stream.store.atomic import sync

_HEADER_BYTES = 1024
_MOST_HEADER_BYTES = 64 << 20
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Source:
    """A file at an address as it was found: its size in bytes, and what tells versions apart (tag, else date)."""

    place: RemotePath
    size: int
    version: str

    @property
    def name(self) -> str:
        """The name that it has here: the last part of its address. Raises InputError when no file can have it."""
        name = self.place.name if self.place.scheme == "s3" else safe_name(self.place.name)
        if not name or safe_name(name.replace("%", "%25")) is None:
            raise InputError(f"{self.place} has no name that a file can have", fix="Fetch it by hand")
        return name


class _Web(Server):
    """A server that the user named: it may send elsewhere, but not from https to http."""

    def allows_redirect(self, source: str, target: str) -> bool:
        """Whether a redirect may be followed."""
        old, new = urlsplit(source), urlsplit(target)
        return "@" not in new.netloc and new.scheme in ("https", old.scheme)


def look_up(place: RemotePath) -> Source:
    """What a server says of a file. Raises MissingFileError, RemoteError."""
    missing = MissingFileError(f"{place} does not exist", fix="Check the address")
    if place.scheme == "s3":
        facts = place.facts()
        if facts is None:
            raise missing
        return Source(place, *facts)
    client = _client(place)
    with client.open(str(place), client.patience(), method="HEAD") as response:
        if response.status_code in (404, 410):
            raise missing
        _check(place, response.status_code)
        check_answer(response, str(place), (200,))
        length = response.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise RemoteError(f"{place}: the server does not say how long the file is", fix="Fetch it by hand")
        return Source(place, int(length), response.headers.get("ETag") or response.headers.get("Last-Modified", ""))


def fetch_start(source: Source, target: Path) -> None:
    """A file of the size of an MRC file that has only its header, extended header included. Raises RemoteError."""
    start = _start(source, _HEADER_BYTES)
    lengths = (int.from_bytes(start[92:96], "little"), int.from_bytes(start[92:96], "big"))
    extended = min(lengths)  # the other byte order makes a small number a huge one
    if 0 < extended <= _MOST_HEADER_BYTES:
        start = _start(source, _HEADER_BYTES + extended)
    with output_faults(target), target.open("wb") as file:
        file.write(start)
        file.truncate(source.size)


def fetch(source: Source, target: Path, *, most_bytes: int | None = None) -> None:
    """Make `target` the whole file.

    Raises InputError when it has more than `most_bytes`, RemoteError, OutputError.
    """
    if most_bytes is not None and source.size > most_bytes:
        raise InputError(f"{source.place} has {source.size} bytes, at most {most_bytes} are expected", fix="Check it")
    with output_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    if source.size > free:
        raise OutputError(
            f"{source.place} has {source.size} bytes, and {free} are free at {target.parent}", fix="Free space there"
        )
    if source.place.scheme != "s3":
        size = Size(source.size, source.size)
        download(_client(source.place), RemoteFile(source.name, str(source.place), size), target, NoProgress())
        return
    partial = target.with_name(f"{target.name}.partial")
    with output_faults(target):
        source.place.copy_to(partial)
        if partial.stat().st_size != source.size or source.place.facts() != (source.size, source.version):
            partial.unlink()
            raise RemoteError(f"{source.place} changed while it was fetched", fix="Run again")
        sync(partial)
        partial.replace(target)
        sync(target.parent)


def _start(source: Source, n_bytes: int) -> bytes:
    n_bytes = min(n_bytes, source.size)
    if source.place.scheme == "s3":
        return source.place.read_range(0, n_bytes) if n_bytes else b""
    headers = {"Range": f"bytes=0-{max(n_bytes - 1, 0)}"}
    data = bytearray()
    client = _client(source.place)
    with client.open(str(source.place), client.patience(), headers=headers) as response:
        check_answer(response, str(source.place), (200, 206))
        for chunk in client.chunks(response):
            data += chunk
            if len(data) >= n_bytes:
                break
    if len(data) < n_bytes:
        raise RemoteError(f"{source.place}: the server stopped before the end", fix="Run again")
    return bytes(data[:n_bytes])


def _check(place: RemotePath, status: int) -> None:
    if status in (401, 403):
        raise AccessError(f"{place}: the server gives no permission ({status})", fix="Check the address and ~/.netrc")


def _client(place: RemotePath) -> Client:
    parts = urlsplit(str(place))
    server = f"{parts.scheme}://{parts.netloc}"
    return Client(_Web(api_url=server, files_url=server, attempts=_ATTEMPTS), private={str(place): place.url})
