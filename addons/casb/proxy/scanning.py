"""Runs `inspection.scan` in worker processes, so that a hostile file costs a reader and never the proxy.

Each worker is a program of its own with limits on memory, processor time and files, and with an empty environment. It
reads one file at a time, in a fork, so what happens there concerns that file alone: the file is *unscannable*, and the
next one gets a fresh fork. Nothing that happens to a worker lets a file pass.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import casb
from casb.inspection.malware import YARA
from casb.inspection.scan import Why, extension, unscannable
from casb.inspection.spec import Recipe
from casb.model.file import EngineVerdict, FileFacts, Finding, Verdict, VerdictStatus
from casb.model.signs import Sign
from casb.proxy.scan_worker import ANSWER, FRAME, MATCHERS

logger = logging.getLogger(__name__)

_SLICE = 256 * 1024
_NAME = 4096
_GRACE = 5.0
_MAKING = 60.0
_SIGNS = frozenset(Sign)
_EXCERPT = 1000


class Scanner:
    """A pool of scan workers.

    `seconds` is the limit per file, of wall clock and of processor time, to which a second is added for every `rate`
    bytes. `wait` is how long a file may queue for a worker, `queue` how many may; beyond that they are *busy* at once.
    `memory` bounds a worker's address space in bytes, `files` is after how many files a worker is replaced.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        seconds: float = 20,
        rate: int = 8 * 1024 * 1024,
        wait: float = 60,
        queue: int = 256,
        memory: int = 1536 * 1024 * 1024,
        files: int = 500,
    ) -> None:
        self._seconds = seconds
        self._rate = rate
        self._wait = wait
        self._queue = queue
        self._memory = memory
        self._files = files
        self._slots = asyncio.Semaphore(workers)
        self._waiting = 0
        self._idle: list[_Worker] = []
        self._closed = False

    async def scan(
        self,
        body: bytes | Path | Recipe,
        name: str,
        declared_type: str | None = None,
        *,
        matcher: Recipe | None = None,
        rules: Recipe | None = None,
        text: bool | None = None,
        size: int | None = None,
    ) -> FileFacts:
        """The facts of a file. Never raises on account of the file or a worker: those become *unscannable*.

        A `Recipe` as body is opened in the worker: its factory gives a seekable binary file of `size` bytes. `matcher`
        makes the matcher, once per worker and digest, and `rules` the YARA rules. `text` says whether documents are
        read: by default when there is something to search for.
        """
        size = len(body) if isinstance(body, bytes) else size
        if self._waiting >= self._queue:
            return unscannable(name, declared_type, Why.BUSY, size)
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait):
                await self._slots.acquire()
        except TimeoutError:
            return unscannable(name, declared_type, Why.BUSY, size)
        finally:
            self._waiting -= 1
        try:
            order = _Order(body, name, declared_type, matcher, rules, matcher is not None if text is None else text)
            return await self._with_worker(order, self._allowed(body, size))
        except TimeoutError:
            return unscannable(name, declared_type, Why.TIMEOUT, size)
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError):
            return unscannable(name, declared_type, Why.CRASHED, size)
        finally:
            self._slots.release()

    async def start(self) -> None:
        """Starts one worker ahead of the first file."""
        self._idle.append(await _Worker.start(self._memory))

    async def close(self) -> None:
        """Ends the workers that are idle; one that is reading a file ends with it."""
        self._closed = True
        while self._idle:
            await self._idle.pop().end()

    @property
    def pids(self) -> list[int]:
        """The idle workers' process ids, for health pages and tests."""
        return [worker.pid for worker in self._idle]

    def _allowed(self, body: bytes | Path | Recipe, size: int | None) -> float:
        """Seconds for a file."""
        if isinstance(body, Path):
            with contextlib.suppress(OSError):
                size = body.stat().st_size
        return self._seconds + (size or 0) / self._rate

    async def _with_worker(self, order: _Order, seconds: float) -> FileFacts:
        worker = await self._idle_worker()
        good = False
        try:
            making = _MAKING * len(worker.unknown(order))
            # The worker keeps the time itself, and then lives on; this is for one that does not answer at all.
            async with asyncio.timeout(seconds + making + _GRACE):
                answer = await worker.ask(order, seconds)
            facts = _facts(answer, order.name, order.declared_type)
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
        return await _Worker.start(self._memory)


class _Order:
    """One file for a worker."""

    __slots__ = ("body", "declared_type", "matcher", "name", "rules", "text")

    def __init__(
        self,
        body: bytes | Path | Recipe,
        name: str,
        declared_type: str | None,
        matcher: Recipe | None,
        rules: Recipe | None,
        text: bool,
    ) -> None:
        self.body = body
        self.name = name
        self.declared_type = declared_type
        self.matcher = matcher
        self.rules = rules
        self.text = text

    @property
    def payload(self) -> bytes:
        """What is sent behind the head."""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.data if isinstance(self.body, Recipe) else b""

    @property
    def recipes(self) -> list[Recipe]:
        """What the worker must have made."""
        return [each for each in (self.matcher, self.rules) if each is not None]

    def head(self, seconds: float, *, making: list[Recipe]) -> bytes:
        path = self.body if isinstance(self.body, Path) else None
        return json.dumps(
            {
                "name": self.name[-_NAME:],
                "declared_type": self.declared_type,
                "path": str(path.absolute()) if path else None,
                "source": self.body.factory if isinstance(self.body, Recipe) else None,
                "size": len(self.payload),
                "seconds": seconds,
                "text": self.text,
                "matcher": self.matcher.digest if self.matcher else None,
                "rules": self.rules.digest if self.rules else None,
                "making": [[each.digest, each.factory, len(each.data)] for each in making],
            }
        ).encode("ascii")


class _Worker:
    """One process and its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._made: list[str] = []
        self.served = 0

    @classmethod
    async def start(cls, memory: int) -> _Worker:
        package = str(Path(casb.__file__).parent.parent)
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                *("-P", "-B", "-m", "casb.proxy.scan_worker", str(memory)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=ANSWER,
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

    def unknown(self, order: _Order) -> list[Recipe]:
        """What an order needs and was not made there, or is not kept any more."""
        return [each for each in order.recipes if each.digest not in self._made]

    async def ask(self, order: _Order, seconds: float) -> bytes:
        """Sends a file, returns the answer. Raises `OSError` or `EOFError` when the worker dies."""
        outgoing, incoming = self._process.stdin, self._process.stdout
        if outgoing is None or incoming is None:
            raise EOFError
        self.served += 1
        making = self.unknown(order)
        head = order.head(seconds, making=making)
        outgoing.write(FRAME.pack(len(head)) + head)
        for each in making:
            outgoing.write(each.data)
            self._made = [*self._made, each.digest][-MATCHERS:]
        view = memoryview(order.payload)
        for at in range(0, len(view), _SLICE):
            outgoing.write(view[at : at + _SLICE])
            await outgoing.drain()
        await outgoing.drain()
        (length,) = FRAME.unpack(await incoming.readexactly(FRAME.size))
        if length > ANSWER:
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
                while await self._process.stdout.read(ANSWER):
                    pass


def _facts(answer: bytes, name: str, declared_type: str | None) -> FileFacts:
    """A worker's answer, believed in nothing but what it alone can know. Raises on any other shape."""
    whole = json.loads(answer)
    if "why" in whole:
        why = Why(whole["why"])
        if why is Why.FAILED:
            logger.error("the matcher of the policies, or the YARA rules, could not be made in a scan worker")
        return unscannable(name, declared_type, why)
    told = whole["facts"]
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
        verdict=_verdict(told["verdict"], label),
        engines=tuple(_engine(each) for each in _list(told["engines"])),
        signs=frozenset(_sign(each) for each in _list(told["signs"])),
        properties=tuple(_pair(each) for each in _list(told["properties"])),
    )


def _engine(told: Any) -> EngineVerdict:
    return EngineVerdict(
        engine=YARA,
        status=VerdictStatus(told["status"]),
        threat=_text(told["threat"]) or "",
        why=_text(told["why"]) or "",
    )


def _verdict(told: Mapping[str, Any], label: str | None) -> Verdict:
    return Verdict(
        status=VerdictStatus(told["status"]),
        findings=tuple(finding(each) for each in _list(told["findings"])),
        label=label,
        inspector=_text(told["inspector"]) or "",
        why=_text(told["why"]) or "",
    )


def finding(told: Mapping[str, Any]) -> Finding:
    """A finding as a worker tells of it. Raises on any other shape."""
    info_type, count, confidence = told["info_type"], _number(told["count"]), _number(told["confidence"])
    if not isinstance(info_type, str) or count is None or confidence is None:
        raise TypeError("not a finding")
    return Finding(
        info_type=info_type,
        count=count,
        confidence=confidence,
        places=tuple(_place(each) for each in _list(told["places"])),
        total=_number(told["total"]) or 0,
        levels=tuple(_level(each) for each in _list(told["levels"])),
    )


def _level(told: object) -> tuple[int, int]:
    level, count = map(_number, _list(told))
    if level is None or count is None:
        raise TypeError("not a level")
    return level, count


def _place(told: object) -> tuple[int, str]:
    offset, excerpt = _list(told)
    if not isinstance(offset, int) or not isinstance(excerpt, str):
        raise TypeError("not a place")
    return offset, excerpt[:_EXCERPT]


def _pair(told: object) -> tuple[str, str]:
    name, value = _list(told)
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError("not a property")
    return name, value


def _sign(told: object) -> str:
    if not isinstance(told, str) or told not in _SIGNS:
        raise TypeError("not a sign")
    return told


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return value


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: object) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise TypeError("not a number")
    return value
