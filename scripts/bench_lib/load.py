"""Load, in a process of its own: `python -m bench_lib.load JOB`, one JSON object in, one out.

Requests are written and answers read as raw bytes, so that the client is not what limits a fast proxy. An answer that
is not the one expected ends the run: a proxy that refuses quickly must not look fast.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace


class LoadFailed(RuntimeError):
    """The load could not be made, or a proxy answered something else than it should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to ask for, where, and how. `least` is the smallest body, in bytes, that is a good answer."""

    kind: str  # keep-alive, connections, download, http2
    port: int
    host: str  # the name in the URL and in the handshake
    authority: str
    ca: str
    path: str
    least: int
    headers: Mapping[str, str] = field(default_factory=dict)
    connections: int = 16
    seconds: float = 3.0

    def head(self) -> bytes:
        """The request, without a body."""
        lines = [f"GET {self.path} HTTP/1.1", f"host: {self.authority}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(slots=True, kw_only=True)
class Done:
    """What came of it."""

    requests: int = 0
    body_bytes: int = 0
    seconds: float = 0.0


def run(job: Job) -> Done:
    """Make the load in a process of its own; raises `LoadFailed`."""
    if job.kind == "http2":
        return _h2load(job)
    command = [sys.executable, "-m", "bench_lib.load", json.dumps(asdict(job))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=job.seconds * 4 + 120)
    if ended.returncode:
        raise LoadFailed((ended.stderr.strip() or "the load generator ended without a word").splitlines()[-1])
    return Done(**json.loads(ended.stdout))


def _h2load(job: Job) -> Done:
    """h2load cuts off what is under way when its time is up: on a busy machine a short time may end without an answer,
    and is then tried again with a longer one."""
    for lasting in (job.seconds, job.seconds * 4, job.seconds * 16):
        counts = _h2load_counts(replace(job, seconds=lasting))
        good = counts.get("2xx", 0)
        if counts.get("3xx", 0) + counts.get("4xx", 0) + counts.get("5xx", 0) + counts.get("failed", 0):
            break
        if good:
            return Done(requests=good, body_bytes=good * job.least, seconds=lasting)
    raise LoadFailed(f"h2load: {counts}")


def _h2load_counts(job: Job) -> dict[str, int]:
    command = [
        "h2load",
        f"--clients={job.connections}",
        "--max-concurrent-streams=8",
        f"--duration={round(job.seconds * 1000)}ms",
    ]
    command += ["--warm-up-time=0", f"--connect-to=127.0.0.1:{job.port}"]
    command += [f"--header={name}: {value}" for name, value in job.headers.items()]
    ended = subprocess.run(
        [*command, f"https://{job.authority}{job.path}"], capture_output=True, text=True, timeout=job.seconds + 120
    )
    counts: dict[str, int] = {}
    for line in ended.stdout.splitlines():
        name, _, rest = line.partition(":")
        if name in ("requests", "status codes"):
            for part in rest.split(","):
                number, _, what = part.strip().partition(" ")
                counts[what] = int(number)
    if not counts:
        raise LoadFailed(f"h2load: {ended.stdout[-300:] or ended.stderr[-300:]}")
    return counts


class _Reader:
    """Takes one answer after the other out of a stream of bytes; bodies with a length, or chunked."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.buffer = bytearray()

    def feed(self, data: bytes) -> int | None:
        """The size of the body that is complete now, or None."""
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return None
        lower = bytes(self.buffer[:head]).lower()
        at = lower.find(b"\r\ncontent-length:")
        if at >= 0:
            end = lower.find(b"\r\n", at + 2)
            size = int(lower[at + 17 : end if end >= 0 else head])
            if len(self.buffer) < head + 4 + size:
                return None
        elif self.buffer.endswith(b"\r\n0\r\n\r\n"):
            size = len(self.buffer) - head - 4
        else:
            return None
        if not lower.startswith(b"http/1.1 200") or size < self.job.least:
            raise LoadFailed(f"port {self.job.port}: {bytes(self.buffer[:300])!r}")
        self.buffer.clear()
        return size


def _context(job: Job) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=job.ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


class _KeepAlive(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, job: Job, done: Done, ends: float, over: asyncio.Future[None]) -> None:
        self.head, self.done, self.ends, self.over = job.head(), done, ends, over
        self.reader = _Reader(job)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self.head)

    def data_received(self, data: bytes) -> None:
        """Count, and ask again."""
        try:
            size = self.reader.feed(data)
        except LoadFailed as error:
            self.over.set_exception(error)
            self.transport.abort()
            return
        if size is None:
            return
        self.done.requests += 1
        self.done.body_bytes += size
        if time.monotonic() < self.ends:
            self.transport.write(self.head)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The end, foreseen or not."""
        if not self.over.done():
            early = time.monotonic() < self.ends
            self.over.set_exception(LoadFailed("connection lost")) if early else self.over.set_result(None)


async def _keep_alive(job: Job, done: Done) -> None:
    context, loop = _context(job), asyncio.get_running_loop()
    ends = time.monotonic() + job.seconds
    overs = [loop.create_future() for _ in range(job.connections)]
    for over in overs:
        await loop.create_connection(
            lambda over=over: _KeepAlive(job, done, ends, over),  # type: ignore[misc]
            "127.0.0.1",
            job.port,
            ssl=context,
            server_hostname=job.host,
        )
    await asyncio.gather(*overs)


async def _once(job: Job, context: ssl.SSLContext, done: Done) -> None:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", job.port, ssl=context, server_hostname=job.host)
    writer.write(job.head())
    answer, size = _Reader(job), None
    while size is None:
        data = await reader.read(262_144)
        if not data:
            raise LoadFailed("connection lost")
        size = answer.feed(data)
    done.requests += 1
    done.body_bytes += size
    writer.transport.abort()


async def _connections(job: Job, done: Done) -> None:
    ends = time.monotonic() + job.seconds

    async def one_after_the_other() -> None:
        while time.monotonic() < ends:
            await _once(job, _context(job), done)  # a fresh context has no session to resume

    await asyncio.gather(*(one_after_the_other() for _ in range(job.connections)))


async def _download(job: Job, done: Done) -> None:
    """One body, counted and thrown away; chunk marks count as body, which is a thousandth."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", job.port, ssl=_context(job), server_hostname=job.host, limit=1 << 20
    )
    writer.write(job.head().replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    head = await reader.readuntil(b"\r\n\r\n")
    while data := await reader.read(1 << 20):
        done.body_bytes += len(data)
    writer.transport.abort()
    done.requests = 1
    if not head.startswith(b"HTTP/1.1 200") or done.body_bytes < job.least:
        raise LoadFailed(f"port {job.port}: {done.body_bytes} bytes after {head[:300]!r}")


def main() -> int:
    """Exit status 1 with a sentence about what went wrong."""
    job = Job(**json.loads(sys.argv[1]))
    done, begun = Done(), time.monotonic()
    kinds = {"keep-alive": _keep_alive, "connections": _connections, "download": _download}
    try:
        asyncio.run(kinds[job.kind](job, done))
    except (LoadFailed, OSError) as error:
        print(f"{job.kind}: {error}", file=sys.stderr)
        return 1
    done.seconds = time.monotonic() - begun
    json.dump(asdict(done), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
