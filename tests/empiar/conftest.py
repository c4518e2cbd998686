"""A server, and a client that is impatient enough for tests."""

from __future__ import annotations

import threading

import pytest

from cryolithe_stream.empiar import Client, Server
from tests.empiar import server as http


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def archive():
    return http.Archive()


@pytest.fixture
def address(archive):
    server = http.Server(archive)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.url
    archive.released.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(address):
    return Server(
        api_url=f"{address}/api",
        files_url=f"{address}/files",
        timeout_s=0.5,
        attempts=4,
        first_pause_s=0.01,
        longest_pause_s=1.5,
    )


@pytest.fixture
def client(server):
    client = Client(server)
    yield client
    client.halt()
