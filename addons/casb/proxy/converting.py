"""Runs `convert_worker.convert` in worker processes: a hostile file costs a worker, never the proxy.

Nothing that happens to a worker lets a file pass: whoever asked is told, and refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import casb
from casb.errors import ContentError
from casb.inspection.labelling import LabelOrder
from casb.proxy.convert_worker import FRAME
from casb.store.held import HeldBody

_SLICE = 256 * 1024
_HEAD = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """The file as it leaves, and the label it has then. `data` is where the caller wanted it; `head` its beginning."""

    data: bytes | HeldBody
    head: bytes
    sha256: str
    label: str
    label_id: str
    written: bool


class Converter:
    """A pool. `seconds` is the wall-clock limit per file, `wait` how long a file may queue, `memory` a worker's address
    space in bytes, `files` after how many files a worker is replaced."""

    def __init__(
        self,
        *,
        workers: int = 2,
        seconds: float = 30,
        wait: float = 60,
        memory: int = 1536 * 1024 * 1024,
        files: int = 200,
    ) -> None:
        self._seconds = seconds
        self._wait = wait
        self._memory = memory
        self._files = files
        self._slots = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._closed = False

    async def convert(
        self,
        data: bytes | HeldBody,
        password: str | None,
        label: LabelOrder | None,
        only: str = "",
        into: Callable[[], HeldBody] | None = None,
    ) -> Converted:
        """The file labelled and encrypted, in a body that `into` makes, or in memory. So many files as there are
        workers are under way at once; the others wait where they are held.

        Raises `ContentError` with the worker's code, or F011 when it gave none; `StoreError` when `into` has no room.
        """
        try:
            async with asyncio.timeout(self._wait):
                await self._slots.acquire()
        except TimeoutError:
            raise ContentError("F011", "no worker was free to encrypt the file") from None
        try:
            return await self._with_worker(_Order(data, password, label, only), into)
        except TimeoutError:
            raise ContentError("F011", "encrypting the file took too long") from None
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError):
            raise ContentError("F011", "encrypting the file failed") from None
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Ends the workers that are idle; one that is at work ends with its file."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    @property
    def pids(self) -> list[int]:
        """The idle workers' process ids, for tests."""
        return [worker.pid for worker in self._idle]

    async def _with_worker(self, order: _Order, into: Callable[[], HeldBody] | None) -> Converted:
        worker = await self._idle_worker()
        good = False
        try:
            async with asyncio.timeout(self._seconds):
                told, taken = await worker.ask(order, into)
            good = True
        finally:
            # Not good: dead, stuck or taken over, or our caller has gone.
            if good and worker.served < self._files and not self._closed:
                self._idle.append(worker)
            else:
                await asyncio.shield(worker.end())
        if told["code"]:
            raise ContentError(str(told["code"])[:4], str(told["message"])[:200])
        if not taken.head:
            raise ValueError("an empty file")
        return Converted(
            data=taken.finish(),
            head=taken.head,
            sha256=taken.digest.hexdigest(),
            label=str(told["label"]),
            label_id=str(told["label_id"]),
            written=told["written"] is True,
        )

    async def _idle_worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await worker.end()
        return await _Worker.start(self._memory, self._seconds)


@dataclass(frozen=True, slots=True)
class _Order:
    """One file for a worker."""

    data: bytes | HeldBody
    password: str | None
    label: LabelOrder | None
    only: str

    @property
    def size(self) -> int:
        return self.data.size if isinstance(self.data, HeldBody) else len(self.data)

    def pieces(self) -> Iterator[bytes | memoryview]:
        if isinstance(self.data, HeldBody):
            yield from self.data.pieces()
            return
        view = memoryview(self.data)
        for at in range(0, len(view), _SLICE):
            yield view[at : at + _SLICE]


class _Taken:
    """A result on its way in."""

    def __init__(self, into: Callable[[], HeldBody] | None) -> None:
        self._memory = bytearray()
        self._held = into() if into else None
        self.digest = hashlib.sha256()
        self.head = b""

    def write(self, piece: bytes) -> None:
        self.head = self.head or piece[:16]
        self.digest.update(piece)
        if self._held is not None:
            self._held.write(piece)
        else:
            self._memory += piece

    def finish(self) -> bytes | HeldBody:
        if self._held is None:
            return bytes(self._memory)
        self._held.finish()
        return self._held


class _Worker:
    """One process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.served = 0

    @classmethod
    async def start(cls, memory: int, seconds: float) -> _Worker:
        package = str(Path(casb.__file__).parent.parent)
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-B", "-m", "casb.proxy.convert_worker", str(memory), str(max(1, round(seconds)))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PYTHONPATH": package, "PATH": os.defpath},  # no secret of ours is in reach of a hostile file
                cwd="/",
                start_new_session=True,  # a Ctrl-C in the terminal is the proxy's to handle
            )
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, order: _Order, into: Callable[[], HeldBody] | None) -> tuple[Any, _Taken]:
        """Sends a file; the answer's head and body. Raises `OSError` or `EOFError` when the worker dies."""
        outgoing, incoming = self._process.stdin, self._process.stdout
        if outgoing is None or incoming is None:
            raise EOFError
        self.served += 1
        label = asdict(order.label) if order.label else None
        told = {"password": order.password, "label": label, "only": order.only, "size": order.size}
        head = json.dumps(told).encode("ascii")
        outgoing.write(FRAME.pack(len(head)) + head)
        for piece in order.pieces():
            outgoing.write(piece)
            await outgoing.drain()
        await outgoing.drain()
        (length,) = FRAME.unpack(await incoming.readexactly(FRAME.size))
        if length > _HEAD:
            raise ValueError("the answer is too long")
        answer = json.loads(await incoming.readexactly(length))
        left = answer["size"]
        if not isinstance(left, int) or not 0 <= left <= 2 * order.size + 1024 * 1024:
            raise ValueError("the answer is out of proportion")
        taken = _Taken(into)
        while left:
            piece = await incoming.readexactly(min(left, _SLICE))
            taken.write(piece)
            left -= len(piece)
        return answer, taken

    async def end(self) -> None:
        """Kills the process and its child, and buries it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session of its own
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        if self._process.stdout is not None:
            with contextlib.suppress(OSError, ValueError):
                while await self._process.stdout.read(_HEAD):
                    pass
