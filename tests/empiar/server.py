"""A real HTTP server on loopback that serves folders as Apache does, and misbehaves on demand."""

from __future__ import annotations

import email.utils
import hashlib
import json
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit

DATE = 1_600_000_000


def apache_size(n: int) -> str:
    """APR's apr_strfsize: bytes below 973, then four characters."""
    if n < 973:
        return f"{n:3d} "
    for unit in "KMGTPE":
        rest, n = n & 1023, n >> 10
        if n >= 973:
            continue
        if n < 9 or (n == 9 and rest < 973):
            tenths = (rest * 5 + 256) // 512
            return f"{n + 1}.0{unit}" if tenths >= 10 else f"{n}.{tenths}{unit}"
        return f"{n + (rest >= 512):3d}{unit}"
    raise AssertionError


def apache_row(name: str, size: str, link: str | None = None) -> str:
    kind = "folder.gif" if name.endswith("/") else "unknown.gif"
    return (
        f'<tr><td valign="top"><img src="/icons/{kind}" alt="[   ]"></td><td><a href="{link or quote(name)}">{name}</a>'
        f'</td><td align="right">2020-09-13 12:26  </td><td align="right">{size}</td><td>&nbsp;</td></tr>\n'
    )


def apache_page(path: str, rows: str) -> str:
    parent = path.rstrip("/").rsplit("/", 1)[0] + "/"
    return (
        '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 3.2 Final//EN">\n<html>\n <head>\n  <title>Index of '
        f"{path}</title>\n </head>\n <body>\n<h1>Index of {path}</h1>\n  <table>\n"
        '   <tr><th valign="top"><img src="/icons/blank.gif" alt="[ICO]"></th><th><a href="?C=N;O=D">Name</a></th>'
        '<th><a href="?C=M;O=A">Last modified</a></th><th><a href="?C=S;O=A">Size</a></th>'
        '<th><a href="?C=D;O=A">Description</a></th></tr>\n   <tr><th colspan="5"><hr></th></tr>\n'
        f'<tr><td valign="top"><img src="/icons/back.gif" alt="[PARENTDIR]"></td><td><a href="{parent}">Parent '
        'Directory</a></td><td>&nbsp;</td><td align="right">  - </td><td>&nbsp;</td></tr>\n'
        f'{rows}   <tr><th colspan="5"><hr></th></tr>\n</table>\n</body></html>\n'
    )


@dataclass
class Archive:
    """What the server has, how it behaves, and what it was asked.

    `files` maps paths below `/files/` to bytes, `pages` overrides whole index pages, `behaviours` maps a path to a
    list of words that are used up one a request; one that ends in `*` stays: `cut:N` (N bytes of the body, then the
    connection ends), `stall:N` (N bytes, then nothing), `drip:S` (a byte every S seconds), `silent:S`, `503:S`
    (Retry-After S), `status:N`, `lie:N` (Content-Length N), `oldhttp` (no length at all), `chunked`, `gzip`, `endless`
    (an index), `redirect:URL`, `norange`, `norange-cut` (2 MB from the start), `othertag`, `plain206` (a part that
    nobody asked for), `blind` (to If-Range), `shifted` (another part than asked for).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    entries: dict[str, object] = field(default_factory=dict)
    behaviours: dict[str, list[str]] = field(default_factory=dict)
    dates: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: DATE))
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    head_allowed: bool = True
    etags: bool = True
    guard: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)
    at_once: int = 0
    most_at_once: int = 0

    def behaviour(self, path: str) -> str:
        with self.guard:
            waiting = self.behaviours.get(path)
            if not waiting:
                return ""
            return waiting[0].removesuffix("*") if waiting[0].endswith("*") else waiting.pop(0)

    def asked(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        return [headers for m, p, headers in self.requests if p == path and m == method]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def archive(self) -> Archive:
        return self.server.archive

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        archive, path = self.archive, unquote(urlsplit(self.path).path)
        with archive.guard:
            archive.requests.append((self.command, path, dict(self.headers)))
            archive.times.append(time.monotonic())
            archive.at_once += 1
            archive.most_at_once = max(archive.most_at_once, archive.at_once)
        try:
            self._answer(path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with archive.guard:
                archive.at_once -= 1

    def _answer(self, path: str) -> None:
        archive = self.archive
        word, _, value = archive.behaviour(path).partition(":") if self.command == "GET" else ("", "", "")
        if self.command == "HEAD" and not archive.head_allowed:
            return self._send(405, b"no")
        if word == "503":
            return self._send(503, b"busy", {"Retry-After": value} if value else {})
        if word == "status":
            return self._send(int(value), b"no")
        if word == "redirect":
            return self._send(302, b"", {"Location": value})
        if word == "silent":
            archive.released.wait(float(value))
            self.close_connection = True
            return None
        if path.startswith("/api/entry/"):
            name = path.removeprefix("/api/entry/").strip("/")
            found = archive.entries.get(name)
            if found is None:
                return self._send(404, b'{"detail": "Not found."}')
            body = found if isinstance(found, bytes) else json.dumps(found).encode()
            return self._send(200, body, {"Content-Type": "application/json"})
        if path.endswith("/") and path.startswith("/files/"):
            return self._index(path, word, value)
        if path.removeprefix("/files/") in archive.files:
            return self._file(path, word, value)
        return self._send(404, b"no such file")

    def _index(self, path: str, word: str, value: str) -> None:
        below = path.removeprefix("/files/")
        page = self.archive.pages.get(below)
        if page is None:
            names = {}
            for name, data in self.archive.files.items():
                if name.startswith(below):
                    first, slash, _ = name.removeprefix(below).partition("/")
                    names[first + slash] = "  - " if slash else apache_size(len(data))
            if not names:
                return self._send(404, b"no such folder")
            page = apache_page(path, "".join(apache_row(name, size) for name, size in sorted(names.items())))
        if word == "endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            row = apache_row("a" * 200, "  1 ").encode() * 4000
            while True:
                self._chunk(row)
        return self._send(200, page.encode(), {"Content-Type": "text/html"})

    def _file(self, path: str, word: str, value: str) -> None:
        archive, data = self.archive, self.archive.files[path.removeprefix("/files/")]
        tag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}{"-2" if word == "othertag" else ""}"'
        date = email.utils.formatdate(archive.dates[path], usegmt=True)
        headers = {"Last-Modified": date, "Accept-Ranges": "bytes"} | ({"ETag": tag} if archive.etags else {})
        status, body, wanted = 200, data, self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if wanted and not word.startswith("norange") and (condition in (None, tag, date) or word == "blind"):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                return self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            status, body = 206, data[start:]
            headers["Content-Range"] = f"bytes {start + (word == 'shifted')}-{len(data) - 1}/{len(data)}"
        if word == "plain206":
            status, body = 206, data[1:]
        if word == "oldhttp":
            self.close_connection = True
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)
            return None
        if word == "gzip":
            headers["Content-Encoding"] = "gzip"
        if word == "chunked":
            self.send_response(status)
            for name, text in (headers | {"Transfer-Encoding": "chunked"}).items():
                self.send_header(name, text)
            self.end_headers()
            for i in range(0, len(body), 5000):
                if value and i >= int(value):
                    self.close_connection = True
                    return None
                self._chunk(body[i : i + 5000])
            return self._chunk(b"")
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", value if word == "lie" else str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return None
        if word == "drip":
            for i in range(len(body)):
                self.wfile.write(body[i : i + 1])
                self.wfile.flush()
                time.sleep(float(value))
        if word == "stall":
            self.wfile.write(body[: int(value)])
            self.archive.released.wait(100)
            self.close_connection = True
            return None
        if word == "norange-cut":
            word, value = "cut", "2000000"
        self.wfile.write(body[: int(value)] if word == "cut" else body)
        if word in ("cut", "lie"):
            self.close_connection = True
        return None

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"
