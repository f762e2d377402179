"""From the end of sessions to the last byte on 1,000 open connections: streams, server-sent events, WebSockets.

pytest tests/bench/bench_revocation.py -s
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import os
import resource
import secrets
import ssl
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from casb.identity.sessions import ChildRecord, LoginRecord, dump, key_of
from casb.model.identity import Device, User
from casb.store.sessions_sqlite import SqliteSessions
from proxy_world import APP_HOST, BROWSER, World, world

KINDS = ("chunked", "events", "socket")


async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers by path, then says something every three seconds, for ever."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if "/socket" in head.partition("\r\n")[0]:
            key = next(line for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
            told = hashlib.sha1(  # noqa: S324 - RFC 6455 section 1.3
                key.partition(":")[2].strip().encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            )
            accept = base64.b64encode(told.digest()).decode()
            writer.write(
                b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                + f"sec-websocket-accept: {accept}\r\n\r\n".encode()
            )
            piece = b"\x81\x05hello"
        else:
            kind = b"text/event-stream" if "/events" in head else b"application/octet-stream"
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n")
            piece = b"9\r\ndata: x\n\n\r\n"
        while not reader.at_eof():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(3)
    writer.close()


async def connection(
    proxy: World, context: ssl.SSLContext, number: int, cookie: str, gate: asyncio.Semaphore, opened: list[int]
) -> float:
    """One open connection; the time at which it was over."""
    kind = KINDS[number % 3]
    lines = [f"GET /{kind} HTTP/1.1", f"host: {proxy.host}:{proxy.port}", f"cookie: {cookie}", f"user-agent: {BROWSER}"]
    if kind == "socket":
        lines += ["upgrade: websocket", "connection: Upgrade", "sec-websocket-version: 13", "sec-fetch-mode: websocket"]
        lines += [f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}"]
    else:
        lines += ["sec-fetch-mode: cors", "sec-fetch-dest: empty"]
    async with gate:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port, ssl=context, server_hostname=proxy.host)
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if head.split()[1] not in (b"200", b"101"):
            raise RuntimeError(head)
        await reader.read(10)
        opened.append(number)
    with contextlib.suppress(OSError):
        while await reader.read(65536):
            pass
    over = time.monotonic()  # nothing came after this
    writer.close()
    return over


async def fill(store: SqliteSessions, proxy: World, people: int) -> list[str]:
    """Sessions for so many people; their cookies."""
    cookies, now = [], datetime.now(UTC)
    for number in range(people):
        key, cookie = key_of(secrets.token_urlsafe(32)), secrets.token_urlsafe(32)
        user = User(id=f"t/{number}", name=f"p{number}@contoso.example")
        record = LoginRecord(
            id=key.hex()[:32],
            provider="test",
            user=user,
            device=Device(),
            started=now,
            expires=now + timedelta(hours=8),
        )
        child = ChildRecord(login=key.hex(), host=f"{proxy.host}:{proxy.port}", app="files")
        names = (f"login:{key.hex()}", f"user:{user.id}", "app:files")
        await store.put("login", key, dump(record), ttl=3600, indexes=names[:2])
        await store.put("child", key_of(cookie), dump(child), ttl=3600, indexes=names)
        cookies.append(f"__Host-casb_s={cookie}")
    return cookies


async def measure(proxy: World, many: int, people: int, index: str) -> dict[str, float]:
    """Milliseconds from the event on, for so many connections of so many people."""
    store = SqliteSessions(proxy.data)
    cookies = await fill(store, proxy, people)
    context = ssl.create_default_context(cafile=str(proxy.folder / "certs" / "casb-ca.pem"))
    opened: list[int] = []
    gate = asyncio.Semaphore(16)
    tasks = [
        asyncio.create_task(connection(proxy, context, number, cookies[number % people], gate, opened))
        for number in range(many)
    ]
    while len(opened) < many:
        await asyncio.sleep(0.1)
        for each in [one for one in tasks if one.done()]:
            each.result()
    await asyncio.sleep(1)
    begun = time.monotonic()
    await store.drop_index(index)
    dropped = time.monotonic() - begun
    async with asyncio.timeout(30):
        ends = [last - begun for last in await asyncio.gather(*tasks)]
    store.close()
    ends.sort()
    points = {"dropped": dropped, "median": ends[many // 2], "99 of 100": ends[many * 99 // 100], "latest": ends[-1]}
    return {name: round(1000 * value, 1) for name, value in points.items()}


async def run(folder: Path, many: int) -> list[dict[str, object]]:
    """Everybody's in one app, then one person's."""
    server = await asyncio.start_server(upstream, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    with world(folder, start=False) as proxy:
        upstream_ = f'{{connect: "http://127.0.0.1:{port}"}}'
        proxy.write("apps/files.yaml", f"id: files\nname: F\ndomains: [{APP_HOST}]\nupstream: {upstream_}\n")
        await asyncio.to_thread(proxy.start)
        rows: list[dict[str, object]] = []
        for people, index in ((many, "app:files"), (1, "user:t/0")):
            rows.append({"connections": many, "people": people, **await measure(proxy, many, people, index)})
    server.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(run(Path(folder) / "world", arguments.connections))
    for row in rows:
        text = json.dumps(row) if arguments.format == "json" else "  ".join(f"{key}: {row[key]}" for key in row)
        sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
