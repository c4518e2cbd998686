"""An S3 server and a web server, each a process of its own on loopback, and a proxy that fails when it is told to."""

from __future__ import annotations

import http.client
import http.server
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

SECRET = "shown-nowhere-8c1f"
_PORT = re.compile(r"(?:127\.0\.0\.1|0\.0\.0\.0)[: ](?:port )?(\d+)")


@contextmanager
def process_with_port(arguments: list[str], **given: Any) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server process and its address, which is read from what it prints within a minute."""
    log = Path(given.pop("log"))
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.STDOUT, **given)
    try:
        deadline = time.monotonic() + 60
        while not (found := _PORT.search(log.read_text())):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield process, f"http://127.0.0.1:{found[1]}"
    finally:
        process.kill()
        process.wait(timeout=30)


def s3_server(log: Path) -> Any:
    """moto's S3 server."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "ignore"}
    return process_with_port(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], log=log, env=environment
    )


def file_system() -> Any:
    """The server that the environment names."""
    return fsspec.filesystem("s3", use_listings_cache=False)


def objects(files: Any, prefix: str) -> dict[str, bytes]:
    """Every object below a prefix, by its relative name."""
    return {name.removeprefix(f"{prefix}/"): files.cat_file(name) for name in files.find(prefix)}


class Proxy(http.server.ThreadingHTTPServer):
    """Stands before a server; once `after` objects with voxels were written it answers `fault` to all that comes.

    A fault of 0 closes the connection without an answer, None is none. Unless it `knows_conditions` it answers 501 to
    requests with one; to `forbidden` methods it answers 403.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.upstream = upstream.removeprefix("http://")
        self.fault: int | None = None
        self.after = 0
        self.knows_conditions = True
        self.forbidden: tuple[str, ...] = ()
        self.headers_seen: list[tuple[str, str, str]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, fault: int, *, after: int) -> None:
        self.fault, self.after = fault, after

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no fault."""


class _Forward(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def forward(self) -> None:
        body = self._body()
        if self.server.fault is not None and self.server.after <= 0:
            if not self.server.fault:
                self.close_connection = True
                return
            self._answer(self.server.fault, [], b"<Error><Code>Sorry</Code></Error>" if self.command != "HEAD" else b"")
            return
        if self.command in self.server.forbidden:
            self._answer(403, [], b"<Error><Code>AccessDenied</Code></Error>")
            return
        if self.headers.get("If-None-Match") and not self.server.knows_conditions:
            self._answer(501, [], b"<Error><Code>NotImplemented</Code></Error>")
            return
        self.server.headers_seen.append((self.command, self.path, self.headers.get("If-None-Match", "")))
        if self.command == "PUT" and "/c/" in self.path:
            self.server.after -= 1
        connection = http.client.HTTPConnection(self.server.upstream, timeout=30)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "expect")}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        kept = [
            (k, v) for k, v in response.getheaders() if k.lower() not in ("transfer-encoding", "connection", "date")
        ]
        self._answer(response.status, kept, response.read())
        connection.close()

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        lengths = [v for k, v in headers if k.lower() == "content-length"]
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", lengths[0] if lengths and self.command == "HEAD" else str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward
