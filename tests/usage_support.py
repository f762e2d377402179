"""Rows of usage, logs of now, and a PostgreSQL of one's own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg

from casb.discovery.shaping import Row
from casb.settings import Secret
from casb.store.discovery_frames import table, write

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
TODAY = NOW.date()


def row(
    app: str = "dropbox",
    user: str | None = "ada",
    ip: str | None = "192.0.2.1",
    *,
    stream: str = "s1",
    in_global: bool = True,
    day: date = TODAY,
    account: str | None = None,
    device: str | None = None,
    resource: str | None = None,
    events: int = 1,
    blocked: int = 0,
    up: int = 10,
    down: int = 100,
) -> Row:
    at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=9)
    return Row(
        stream, in_global, day, app, user, account, ip, device, resource, events, blocked, up, down, up + down, at,
        at + timedelta(minutes=5),
    )  # fmt: skip


def spill(folder: Path, rows: list[Row], name: str = "spill") -> Path:
    path = folder / f"{name}.parquet"
    write(path, table(rows))
    return path


def squid(
    count: int, *, host: str = "www.dropbox.com", user: str = "user", start: datetime | None = None, size: int = 500
) -> str:
    """Lines of a proxy that were written within the last hour."""
    begin = (start or datetime.now(UTC) - timedelta(hours=1)).timestamp()
    return "".join(
        f"{begin + number / 10:.3f} 9 192.0.2.{number % 5} TCP_MISS/200 {size} GET http://{host}/f{number} "
        f"{user}{number % 7} DIRECT/- -\n"
        for number in range(count)
    )


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _program(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda each: each.parts[-3])
    assert versions, f"PostgreSQL's {name} is not installed; scripts/test installs it"
    return str(versions[-1])


@contextmanager
def postgres() -> Iterator[str]:
    """A private cluster on a loopback port, run by somebody who is not root; its connection string."""
    folder = Path(tempfile.mkdtemp(prefix="casb-pg-"))
    other: dict[str, int] = {}
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        other = {"user": nobody.pw_uid, "group": nobody.pw_gid}
    data, port = folder / "data", free_port()
    environment = {**os.environ, "LC_ALL": "C", "HOME": str(folder)}
    environment = {name: value for name, value in environment.items() if not name.startswith("PG")}

    def call(*command: str) -> None:
        done = subprocess.run(  # type: ignore[call-overload]
            command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False, **other
        )
        assert done.returncode == 0, done.stderr

    call(_program("initdb"), "-D", str(data), "-U", "casb", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=20"
    server = subprocess.Popen(  # type: ignore[call-overload]
        [_program("postgres"), "-D", str(data), *options.split()],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **other,
    )
    try:
        for _ in range(300):
            with socket.socket() as opened:
                if opened.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        time.sleep(0.5)
        yield f"host=127.0.0.1 port={port} user=casb dbname=postgres"
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for connections that a failed test left open
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def emptied(conninfo: str) -> Secret:
    """The same database with nothing in it."""
    with psycopg.connect(conninfo, autocommit=True) as con:
        con.execute("DROP SCHEMA public CASCADE")
        con.execute("CREATE SCHEMA public")
    return Secret(conninfo)
