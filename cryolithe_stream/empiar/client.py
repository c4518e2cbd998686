"""Requests that are repeated with growing pauses, and bodies that are read as they come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from urllib.parse import urljoin

import requests
from urllib3 import Retry
from urllib3.exceptions import HTTPError, InvalidHeader, MaxRetryError

from cryolithe_stream.empiar.server import Server
from cryolithe_stream.errors import RemoteError

_CHUNK_BYTES = 1 << 20
_MOST_REDIRECTS = 5
_LONGEST_DATE = 80
_AGAIN = frozenset({429, 500, 502, 503, 504})
_BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError, HTTPError)


class StoppedError(Exception):
    """Work that was asked to stop did so."""


class BrokenTransferError(RemoteError):
    """A transfer ended before its end, or came too slowly; it may be taken up again."""


class UnansweredError(RemoteError):
    """All attempts for one address were in vain."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as the server sees it: the status of its answer, the exact size where it is told, the date or ''."""

    status: int
    size: int | None
    modified: str


class Patience:
    """The attempts that are left for one address."""

    def __init__(self, server: Server, stop: threading.Event) -> None:
        self._server, self._stop = server, stop
        self.renew()

    def renew(self) -> None:
        """All attempts again: there was progress."""
        self._left = Retry(
            total=max(self._server.attempts - 1, 0),
            backoff_factor=self._server.first_pause_s,
            backoff_max=self._server.longest_pause_s,
            backoff_jitter=self._server.first_pause_s,
        )

    def pause(self, url: str, why: str, response: requests.Response | None = None) -> None:
        """Wait before the next attempt. Raises UnansweredError when none is left, StoppedError when asked to stop."""
        try:
            self._left = self._left.increment("GET", url, error=BrokenTransferError(why))
        except MaxRetryError as error:
            times = f"{self._server.attempts} times in a row"
            raise UnansweredError(f"{url}: {why}, {times}", fix="Try again later") from error
        wanted = None
        if response is not None:
            try:
                wanted = self._left.get_retry_after(response.raw)
            except InvalidHeader:
                wanted = None
        seconds = self._left.get_backoff_time() if wanted is None else min(wanted, self._server.longest_pause_s)
        if self._stop.wait(seconds):
            raise StoppedError


class Client:
    """Requests to one server from any number of threads; `stop` ends them all.

    `private` has addresses with passwords that are asked for in place of those that are named, told and written down.
    """

    def __init__(self, server: Server, *, private: Mapping[str, str] | None = None) -> None:
        self.server = server
        self._private = private or {}
        self.stop = threading.Event()
        self._own = threading.local()
        self._guard = threading.Lock()
        self._read: set[requests.Response] = set()

    def halt(self) -> None:
        """End all requests of all threads, those too that wait for bytes; the client is of no use any more."""
        self.stop.set()
        with self._guard:
            for response in self._read:
                with suppress(OSError, ValueError, RuntimeError):  # it ended just now
                    response.raw.shutdown()

    def patience(self) -> Patience:
        """A fresh number of attempts."""
        return Patience(self.server, self.stop)

    def open(
        self, url: str, patience: Patience, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """The answer to a request, its body still to be read; whoever takes it closes it.

        Answers that ask for patience (429, 5xx) and broken connections are tried again. Raises RemoteError when that
        does not help, and for redirects that are not allowed.
        """
        while True:
            try:
                response = self._send(method, url, dict(headers or {}))
            except requests.exceptions.SSLError as error:
                raise RemoteError(f"{url}: its certificate is not trusted", fix="Check the network") from error
            except _BROKEN as error:
                patience.pause(url, _reason(error))
                continue
            except (requests.RequestException, ValueError) as error:  # ValueError: a redirect to what is no address
                raise RemoteError(f"{url} cannot be asked for ({type(error).__name__})") from error
            if response.status_code not in _AGAIN:
                return response
            response.close()
            patience.pause(url, f"the server answers {response.status_code}", response)

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """The body, as it comes. Raises BrokenTransferError when it breaks off or comes too slowly, StoppedError."""
        with self._guard:
            self._read.add(response)
        try:
            yield from self._chunks(response)
        finally:
            with self._guard:
                self._read.discard(response)

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        began, got = time.monotonic(), 0
        while True:
            if self.stop.is_set():
                raise StoppedError
            try:
                data = response.raw.read1(_CHUNK_BYTES)
            except _BROKEN as error:
                raise BrokenTransferError(_reason(error)) from error
            if not data:
                return
            if self.stop.is_set():
                raise StoppedError
            yield data
            got, elapsed = got + len(data), time.monotonic() - began
            if elapsed >= self.server.timeout_s:
                if got < self.server.slowest_bytes_s * elapsed:
                    raise BrokenTransferError(f"the transfer is slower than {self.server.slowest_bytes_s} bytes/s")
                began, got = time.monotonic(), 0

    def body(self, url: str, most_bytes: int) -> bytes | None:
        """The whole body at an address, None where there is nothing (404).

        Raises RemoteError when the server does not give it, or more than `most_bytes`.
        """
        patience = self.patience()
        while True:
            with self.open(url, patience) as response:
                if response.status_code == 404:
                    return None
                check_answer(response, url, (200,))
                data = bytearray()
                try:
                    for chunk in self.chunks(response):
                        data += chunk
                        if len(data) > most_bytes:
                            raise RemoteError(f"{url} gives more than {most_bytes} bytes")
                    return bytes(data)
                except BrokenTransferError as error:
                    why = error.what
            patience.pause(url, why)

    def look(self, url: str) -> Seen:
        """What the server says of a file, asked for with HEAD. Raises RemoteError when it does not answer."""
        with self.open(url, self.patience(), method="HEAD") as response:
            length = response.headers.get("Content-Length", "")
            usable = response.status_code == 200 and "Content-Encoding" not in response.headers
            size = int(length) if usable and length.isascii() and length.isdigit() else None
            return Seen(response.status_code, size, response.headers.get("Last-Modified", "")[:_LONGEST_DATE])

    def _send(self, method: str, url: str, headers: dict[str, str]) -> requests.Response:
        if not hasattr(self._own, "session"):
            self._own.session = _session()
        asked, timeout = url, self.server.timeout_s
        url = self._private.get(url, url)
        for _ in range(_MOST_REDIRECTS):
            response: requests.Response = self._own.session.request(
                method, url, headers=headers, stream=True, timeout=timeout, allow_redirects=False
            )
            if not response.is_redirect:
                return response
            response.close()
            target = urljoin(url, response.headers["Location"])
            if not self.server.allows_redirect(url, target):
                raise RemoteError(
                    f"{asked} leads to another server, which is not followed: {target.partition('?')[0][:200]!r}"
                )
            url = target
        raise RemoteError(f"{asked} leads from one address to the next without end")


def check_answer(response: requests.Response, url: str, wanted: tuple[int, ...]) -> None:
    """Raise RemoteError when an answer is not of the wanted kind, or packed though nobody asked for it."""
    if response.status_code not in wanted:
        raise RemoteError(f"{url}: the server answers {response.status_code} {response.reason or ''}".rstrip())
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RemoteError(f"{url}: the server packs what it sends, so its size cannot be checked")


def _session() -> requests.Session:
    try:
        number = version("cryolithe-stream")
    except PackageNotFoundError:
        number = "unreleased"
    session = requests.Session()
    session.headers["User-Agent"] = f"cryolithe-stream/{number} {requests.utils.default_user_agent()}"
    session.headers["Accept-Encoding"] = "identity"
    return session


def _reason(error: Exception) -> str:
    text = str(error).lower()
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return "the server does not answer in time"
    if "incompleteread" in type(error).__name__.lower() or "incompleteread" in text:
        return "the server stopped before the end"
    return "the connection failed"
