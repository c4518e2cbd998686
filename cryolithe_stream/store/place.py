"""Where things are kept: a local path, or an address in an object store or on a web server."""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cryolithe_stream.errors import InputError
from cryolithe_stream.store.remote_faults import remote_faults

DRAFTS = ".cryolithe-stream"
ROOT_METADATA = ("zarr.json", ".zattrs", ".zgroup")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//?)")
_SCHEMES = ("s3", "http", "https")
_PATTERN = re.compile(r"[*?\[\]#{}]")  # fsspec takes them for patterns and versions


@dataclass(frozen=True, slots=True, repr=False)
class RemotePath:
    """An address below `s3://`, `https://` or `http://`, with the part of pathlib's manners that is needed of it.

    It is small and picklable: connections are made where it is used, with what fsspec, botocore and the environment
    know of credentials. As text it has no password and no query. A `draft` is an image whose root metadata lie in a
    folder of ours inside it until they are published, so that nothing opens it.
    """

    url: str
    draft: bool = False

    @classmethod
    def parse(cls, url: str) -> RemotePath:
        """The address that a text names. Raises InputError, whose text shows no password."""
        scheme, shown = url.partition("://")[0].lower(), public_url(url)
        if scheme not in _SCHEMES:
            raise InputError(
                f"{shown}: {scheme}:// is not known", fix="Name a local path, or s3://, https:// or http://"
            )
        parts = urlsplit(url)
        below = parts.path.strip("/").split("/") if parts.path.strip("/") else []
        if not parts.netloc.rpartition("@")[2] or not url.isprintable() or any(p in ("", ".", "..") for p in below):
            raise InputError(f"{shown} is no address of a file or folder", fix=f"Give it as {scheme}://NAME/PATH")
        if scheme == "s3" and ("@" in parts.netloc or _PATTERN.search(url)):
            raise InputError(
                f"{shown} holds characters that such an address cannot have: * ? [ ] # or a password",
                fix="Credentials come from the environment or ~/.aws; name other objects",
            )
        if scheme == "s3":
            return cls("/".join(("s3:/", parts.netloc, *below)))
        return cls(urlunsplit(parts._replace(path="/".join(("", *below)))))

    def __str__(self) -> str:
        return public_url(self.url)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    @property
    def scheme(self) -> str:
        """`s3`, `https` or `http`."""
        return self.url.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part."""
        return str(self).partition("://")[2].rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of the name, with its dot."""
        return Path(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """What holds it. Raises InputError for a bucket or a server."""
        above, _, name = self._bare().rpartition("/")
        if above.endswith("/") or not name:
            raise InputError(f"{self} is a whole bucket or server", fix="Name something in it")
        return RemotePath(above)

    def with_name(self, name: str) -> RemotePath:
        """Its neighbour of another name."""
        return self.parent / name

    def __truediv__(self, below: str) -> RemotePath:
        return RemotePath(f"{self._bare()}/{below}")

    def joinpath(self, *below: str) -> RemotePath:
        """What lies below it."""
        return self / "/".join(below)

    def absolute(self) -> RemotePath:
        """Itself."""
        return self

    def resolve(self) -> RemotePath:
        """Itself."""
        return self

    def as_draft(self) -> RemotePath:
        """The same image while it is unfinished."""
        return replace(self, draft=True)

    def published(self) -> RemotePath:
        """The same image when it is finished."""
        return replace(self, draft=False)

    def exists(self) -> bool:
        """Whether there is anything: an object, objects below it, or on a web server an image.

        A draft exists when its root metadata do. Raises RemoteError.
        """
        if self.draft:
            return any((self / f"{DRAFTS}/{name}").exists() for name in ROOT_METADATA)
        if self.scheme != "s3":
            return any((self / name)._answers() for name in ROOT_METADATA)
        with remote_faults(self):
            try:
                self.files().info(self.url)
            except FileNotFoundError as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                return False
        return True

    def read_bytes(self) -> bytes:
        """The content of an object. Raises FileNotFoundError and RemoteError."""
        with remote_faults(self):
            return bytes(self.files().cat_file(self.url))

    def read_range(self, start: int, stop: int) -> bytes:
        """A part of an object. Raises FileNotFoundError and RemoteError."""
        with remote_faults(self):
            return bytes(self.files().cat_file(self.url, start=start, end=stop))

    def facts(self) -> tuple[int, str] | None:
        """Size in bytes and entity tag of an object, None where there is none. Raises RemoteError."""
        with remote_faults(self):
            try:
                found = self.files().info(self.url)
            except FileNotFoundError as error:
                if code_of(error) == "NoSuchBucket":
                    raise
                return None
        return None if found["type"] == "directory" else (int(found["size"]), str(found.get("ETag", "")).strip('"'))

    def copy_to(self, file: Path) -> None:
        """Write an object into a file of this machine, piece by piece. Raises RemoteError."""
        with remote_faults(self):
            self.files().get_file(self.url, str(file))

    def write_bytes(self, data: bytes) -> None:
        """Make an object of this content, whole or not at all. Raises RemoteError."""
        with remote_faults(self):
            self.files().pipe_file(self.url, data)

    def create_bytes(self, data: bytes) -> None:
        """The same where there is no such object yet (`If-None-Match: *`); FileExistsError where there is.

        A server that refuses the condition itself gets the object without it.
        """
        with remote_faults(self):
            try:
                self.files().pipe_file(self.url, data, mode="create")
            except OSError as error:
                if code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise FileExistsError(str(self)) from None
                if code_of(error) != "NotImplemented":
                    raise
                self.files().pipe_file(self.url, data)

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove an object; one that is missing is fine. Raises RemoteError."""
        with remote_faults(self):
            self.files().rm_file(self.url)

    def below(self) -> list[str]:
        """The relative names of all objects below it. Raises RemoteError."""
        with remote_faults(self):
            files = self.files()
            start = f"{files._strip_protocol(self.url)}/"
            found = files.find(f"{self.url}/")
        return sorted(name.removeprefix(start) for name in found if name.startswith(start) and name != start)

    def files(self) -> Any:
        """The fsspec file system; what it is told besides comes from fsspec's configuration and the environment.

        Raises InputError when a package is missing.
        """
        fsspec = needed("fsspec", self)
        if self.scheme == "s3":
            needed("s3fs", self)
            return fsspec.filesystem("s3", use_listings_cache=False)
        needed("aiohttp", self)
        return fsspec.filesystem(self.scheme)

    def _answers(self) -> bool:
        try:
            self.read_bytes()
        except FileNotFoundError:
            return False
        return True

    def _bare(self) -> str:
        """The address without query, to which names can be added."""
        parts = urlsplit(self.url)
        return self.url if self.scheme == "s3" else urlunsplit(parts._replace(query="", fragment="")).rstrip("/")


Place = Path | RemotePath
PlaceLike = str | os.PathLike[str] | RemotePath


def place_of(value: Any) -> Place:
    """The place that a text or path names; `~` is the home folder. Raises InputError for addresses that are none."""
    if isinstance(value, RemotePath):
        return value
    text = str(value)
    if found := _SCHEME.match(text):
        if found[2] == "/":
            if found[1].lower() not in _SCHEMES:
                return Path(text).expanduser()
            raise InputError(f"{public_url(text)} lacks a slash", fix="Give an address as text, not as a Path")
        return RemotePath.parse(text)
    return Path(text).expanduser()


def public_url(text: str) -> str:
    """A text as it may be shown: of an address, without user, password, query and fragment."""
    if not _SCHEME.match(text):
        return text
    scheme, _, rest = text.partition(":")
    slashes = rest[: len(rest) - len(rest.lstrip("/"))]
    host, slash, path = rest.lstrip("/").partition("/")
    cut = re.split(r"[?#]", f"{host.rpartition('@')[2]}{slash}{path}", maxsplit=1)[0]
    return f"{scheme}:{slashes}{cut.rstrip('/')}"


def needed(package: str, place: RemotePath) -> Any:
    """A package that addresses need. Raises InputError when it is not installed."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise InputError(f"{place} needs the package {package}", fix=f"pip install {package}") from error


def code_of(error: BaseException) -> str:
    """The code of an answer of S3 that an error stands for."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))
