"""A relay on loopback that stands for the network between two processes, and can swallow all that it is given."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Connections to `port` lead to `target`; while it is cut, bytes are taken and lost and nothing is refused."""

    def __init__(self, target: int) -> None:
        self._target, self._swallows, self._ends = target, threading.Event(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def cut(self) -> None:
        """From now on nothing comes through, as if a cable were pulled."""
        self._swallows.set()

    def close(self) -> None:
        self._ends.set()
        for thread in list(self._threads):
            thread.join(timeout=20)
        self._listener.close()

    def _accept(self) -> None:
        while not self._ends.is_set():
            if not select.select([self._listener], [], [], 0.1)[0]:
                continue
            near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._target))
            for one, other in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._carry, args=(one, other), daemon=True))
                self._threads[-1].start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with one, suppress(OSError, ValueError):  # the other direction may have closed it
            while not self._ends.is_set():
                if not select.select([one], [], [], 0.1)[0]:
                    continue
                data = one.recv(1 << 16)
                if self._swallows.is_set():
                    if not data:
                        self._ends.wait()
                    continue
                if not data:
                    other.shutdown(socket.SHUT_WR)
                    return
                other.sendall(data)


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """A relay to a port of this machine, closed when the block ends."""
    made = Relay(target)
    try:
        yield made
    finally:
        made.close()
