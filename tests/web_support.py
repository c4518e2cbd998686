"""A web server of files that knows byte ranges as RFC 9110 has them."""

from __future__ import annotations

import http.server
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, whole or a range of their bytes, with entity tags; passwords are asked for below /private."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._send(body=False)

    def do_GET(self) -> None:
        self._send(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _send(self, *, body: bool) -> None:
        file = Path(self.translate_path(self.path))
        if self.path.startswith("/private") and not self.headers.get("Authorization"):
            return self._answer(401, b"", {})
        if not file.is_file():
            return self._answer(404, b"", {})
        data = file.read_bytes()
        tag = {"ETag": f'"{len(data)}-{file.stat().st_mtime_ns}"', "Accept-Ranges": "bytes"}
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._answer(200, data, tag, body=body)
        if wanted[1]:
            first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
        else:
            first, last = max(len(data) - int(wanted[2]), 0), len(data) - 1
        if first >= len(data):
            return self._answer(416, b"", {"Content-Range": f"bytes */{len(data)}"}, body=body)
        tag["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self._answer(206, data[first : last + 1], tag, body=body)

    def _answer(self, status: int, data: bytes, headers: dict[str, str], *, body: bool = True) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=sys.argv[1]))
    sys.stdout.write(f"127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
