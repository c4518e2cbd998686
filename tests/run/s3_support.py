"""An S3 server and a web server, each a process of its own on loopback, and a proxy that fails when it is told to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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


def bucket(name: str = "bucket") -> Any:
    """A new bucket on the server that the environment names, as an fsspec file system."""
    files = fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
    files.mkdir(name)
    return files


def objects(files: Any, prefix: str) -> dict[str, bytes]:
    """Every object below a prefix, by its relative name."""
    return {name.removeprefix(f"{prefix}/"): files.cat_file(name) for name in files.find(prefix)}
