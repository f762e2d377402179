"""A TCP relay that reaches the proxy from another loopback address: how one machine plays a second network."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Self

BLOCK = 64 * 1024


class Relay:
    """Takes connections on a port of 127.0.0.1 and passes them on to `target`, coming from `source`."""

    def __init__(self, target: int, source: str, port: int = 0) -> None:
        self._target, self._source = target, source
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, name=f"relay from {source}", daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # Closed: we end.
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()

    def _pass_on(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self._target), source_address=(self._source, 0)) as far:
                self._open |= {near, far}
                with selectors.DefaultSelector() as ready:
                    ready.register(near, selectors.EVENT_READ, far)
                    ready.register(far, selectors.EVENT_READ, near)
                    while ready.get_map():
                        for key, _ in ready.select():
                            chunk = key.fileobj.recv(BLOCK)  # type: ignore[union-attr]  # Only sockets are registered.
                            if chunk:
                                key.data.sendall(chunk)
                            else:
                                ready.unregister(key.fileobj)
                                key.data.shutdown(socket.SHUT_WR)
                self._open -= {near, far}

    def close(self) -> None:
        """Ends it, with what is open through it."""
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
