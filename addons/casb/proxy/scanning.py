"""Runs `inspection.scan` in worker processes, so that a hostile file costs a worker and never the proxy.

Each worker is a program of its own with limits on memory, processor time and files, and with an empty environment. It
reads one file at a time, in a fork, so its death concerns that file alone: the file is *unscannable*, and the next one
gets a fresh worker. Nothing that happens to a worker lets a file pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import casb
from casb.inspection.scan import Why, extension, unscannable
from casb.model.file import FileFacts, Verdict, VerdictStatus
from casb.proxy.scan_worker import FRAME
from casb.store.held import Sealed

_SLICE = 256 * 1024
_ANSWER = 64 * 1024
_NAME = 1024


class Scanner:
    """A pool of scan workers. `seconds` is the wall-clock limit per file (processor time is limited to the same),
    `wait` how long a file may queue for a worker, `memory` a worker's address space in bytes, `files` after how many
    files a worker is replaced."""

    def __init__(
        self,
        *,
        workers: int = 2,
        seconds: float = 20,
        wait: float = 60,
        memory: int = 1024 * 1024 * 1024,
        files: int = 500,
    ) -> None:
        self._seconds = seconds
        self._wait = wait
        self._memory = memory
        self._files = files
        self._slots = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._closed = False

    async def scan(self, body: bytes | Path | Sealed, name: str, declared_type: str | None = None) -> FileFacts:
        """The facts of a file. Never raises on account of the file or a worker: those become *unscannable*."""
        size = len(body) if isinstance(body, bytes) else None
        try:
            async with asyncio.timeout(self._wait):
                await self._slots.acquire()
        except TimeoutError:
            return unscannable(name, declared_type, Why.BUSY, size)
        try:
            return await self._with_worker(body, name, declared_type)
        except TimeoutError:
            return unscannable(name, declared_type, Why.TIMEOUT, size)
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError):
            return unscannable(name, declared_type, Why.CRASHED, size)
        finally:
            self._slots.release()

    async def start(self) -> None:
        """Starts one worker ahead of the first file."""
        self._idle.append(await _Worker.start(self._memory, self._seconds))

    async def close(self) -> None:
        """Ends the workers that are idle; one that is reading a file ends with it."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    @property
    def pids(self) -> list[int]:
        """The idle workers' process ids, for health pages and tests."""
        return [worker.pid for worker in self._idle]

    async def _with_worker(self, body: bytes | Path | Sealed, name: str, declared_type: str | None) -> FileFacts:
        worker = await self._idle_worker()
        good = False
        try:
            async with asyncio.timeout(self._seconds):
                answer = await worker.ask(body, name, declared_type)
            facts = _facts(answer, name, declared_type)
            good = True
            return facts
        finally:
            # Not good: dead, stuck or taken over, or our caller has gone; its state is unknown in any case.
            if good and worker.served < self._files and not self._closed:
                self._idle.append(worker)
            else:
                await asyncio.shield(worker.end())

    async def _idle_worker(self) -> _Worker:
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
            await worker.end()
        return await _Worker.start(self._memory, self._seconds)


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
                *("-P", "-B", "-m", "casb.proxy.scan_worker", str(memory), str(max(1, round(seconds)))),
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

    async def ask(self, body: bytes | Path | Sealed, name: str, declared_type: str | None) -> bytes:
        """Sends a file, returns the answer. Raises `OSError` or `EOFError` when the worker dies."""
        outgoing, incoming = self._process.stdin, self._process.stdout
        if outgoing is None or incoming is None:
            raise EOFError
        self.served += 1
        request = {
            "name": name[-_NAME:],
            "declared_type": declared_type,
            **_place(body),
        }
        head = json.dumps(request).encode("ascii")
        outgoing.write(FRAME.pack(len(head)) + head)
        if isinstance(body, bytes):
            view = memoryview(body)
            for at in range(0, len(body), _SLICE):
                outgoing.write(view[at : at + _SLICE])
                await outgoing.drain()
        await outgoing.drain()
        (length,) = FRAME.unpack(await incoming.readexactly(FRAME.size))
        if length > _ANSWER:
            raise ValueError("the answer is too long")
        return await incoming.readexactly(length)

    async def end(self) -> None:
        """Kills the process and its reader, and buries it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # it leads a session of its own
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        if self._process.stdout is not None:
            with contextlib.suppress(OSError, ValueError):
                while await self._process.stdout.read(_ANSWER):
                    pass


def _place(body: bytes | Path | Sealed) -> dict[str, object]:
    """Where the worker finds a file: behind the head, at a path, or at a path and under a key."""
    if isinstance(body, bytes):
        return {"path": None, "key": None, "size": len(body)}
    if isinstance(body, Path):
        return {"path": str(body.absolute()), "key": None, "size": 0}
    return {"path": str(body.path.absolute()), "key": body.key.hex(), "size": body.size}


def _facts(answer: bytes, name: str, declared_type: str | None) -> FileFacts:
    """A worker's answer, believed in nothing but what it alone can know. Raises on any other shape."""
    told = json.loads(answer)
    verdict = told["verdict"]
    label = _text(told["label"])
    return FileFacts(
        name=name,
        extension=extension(name),
        size=_number(told["size"]),
        declared_type=declared_type,
        inspected=True,
        detected_type=_text(told["detected_type"]),
        sha256=_text(told["sha256"]),
        label=label,
        label_id=_text(told["label_id"]),
        verdict=_verdict(verdict, label),
    )


def _verdict(told: Mapping[str, Any], label: str | None) -> Verdict:
    status = VerdictStatus(told["status"])
    return Verdict(status=status, label=label, inspector=_text(told["inspector"]) or "", why=_text(told["why"]) or "")


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError("not a number")
    return value
