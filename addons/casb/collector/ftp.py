"""The FTP receiver: an account and a folder for each source; plain, or with TLS for control and data.

An account can put files and see its own folder; it cannot read, rename or remove anything.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyftpdlib.authorizers import AuthenticationFailed, DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

from casb.collector.spool import SourceSpool
from casb.errors import ConfigError
from casb.settings import Collector

logger = logging.getLogger(__name__)

RIGHTS = "elw"  # change into, list, store
CONNECTIONS = 256
PER_ADDRESS = 32


class Ftp:
    """One listener for all FTP sources; runs in a thread of its own."""

    def __init__(self, settings: Collector, spools: Mapping[str, SourceSpool]) -> None:
        """`spools` by account. Raises `ConfigError` D060."""
        host, _, port = (settings.ftp or "").rpartition(":")
        self._loop = IOLoop()
        handler = _handler(settings, spools)
        try:
            self._server = FTPServer((host.strip("[]"), int(port)), handler, ioloop=self._loop)
        except (OSError, ValueError) as error:
            raise ConfigError("D060", f"FTP cannot listen on {settings.ftp} ({error})") from error
        self._server.max_cons = CONNECTIONS
        self._server.max_cons_per_ip = PER_ADDRESS
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="ftp", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, also what is under way: a file that is not complete is not taken."""
        self._over.set()
        self._thread.join(10)

    def _serve(self) -> None:
        while not self._over.is_set():
            self._server.serve_forever(timeout=0.2, blocking=False, handle_exit=False)
        self._server.close_all()


class _Accounts(DummyAuthorizer):  # type: ignore[misc]
    """Compares passwords in a time that tells nothing."""

    def validate_authentication(self, username: str, password: str, handler: Any) -> None:
        known = self.has_user(username)
        expected = self.user_table[username]["pwd"] if known else "x"
        if not hmac.compare_digest(str(password).encode(), str(expected).encode()) or not known:
            raise AuthenticationFailed("wrong account or password")


def _handler(settings: Collector, spools: Mapping[str, SourceSpool]) -> type:
    accounts = _Accounts()
    for account, spool in spools.items():
        password = spool.source.password
        accounts.add_user(account, password.reveal() if password else "", str(spool.incoming), perm=RIGHTS)
    secure = settings.ftp_certificate is not None
    base: Any = TLS_FTPHandler if secure else FTPHandler

    class Handler(base):  # type: ignore[misc]
        """Hands complete files over."""

        authorizer = accounts
        passive_ports = range(settings.ftp_passive[0], settings.ftp_passive[1] + 1)
        banner = "casb log collector"
        timeout = 300
        max_login_attempts = 3
        auth_failed_timeout = 3

        def on_file_received(self, file: str) -> None:
            spool = spools.get(self.username)
            if spool is not None and not spool.adopt(Path(file)):
                logger.error("an FTP file was not taken yet source=%s", spool.source.name)
                spool.hold(Path(file))

        def on_incomplete_file_received(self, file: str) -> None:
            Path(file).unlink(missing_ok=True)

    if secure:
        Handler.certfile = settings.ftp_certificate
        Handler.tls_control_required = True
        Handler.tls_data_required = True
    return Handler
