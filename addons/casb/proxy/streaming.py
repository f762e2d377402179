"""Files judged while they pass: worker processes that read them, and the hold-back window.

A piece leaves when the matcher has passed the `WINDOW` bytes behind it, so whatever a policy blocks for is found before
its last byte has left; the window itself leaves after the final verdict. A worker that dies, hangs or cannot read makes
the file *unscannable* at that place.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import casb
from casb.inspection.spec import Recipe
from casb.model.file import FileFacts, Finding, Verdict, VerdictStatus
from casb.proxy.bodies import Bodies, Spooling
from casb.proxy.scanning import finding
from casb.proxy.stream_worker import FRAME, MATCHERS, MODULES

WINDOW = 256 * 1024
"""Bytes that are held back: more than any coding keeps to itself and any matcher looks ahead."""
_ANSWER = 1024 * 1024
_BEHIND = 64 * 1024
_MOST = 8 * 1024 * 1024
_PIECES = 4  # of a held body, judged at once
INSPECTOR = "stream"
_MAKING = 60.0  # seconds that making a matcher may take


class Unjudged(Exception):
    """A file cannot be judged as it passes; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a stream so far, at its end with everything."""

    text: bool
    detected_type: str
    findings: tuple[Finding, ...]
    behind: int = 0
    """Bytes of text in which a value that is yet to be found may begin."""
    size: int | None = None
    sha256: str | None = None

    def facts(self, known: FileFacts) -> FileFacts:
        """As a file that was read."""
        status = VerdictStatus.SENSITIVE if self.findings else VerdictStatus.CLEAN
        return FileFacts(
            name=known.name,
            extension=known.extension,
            size=self.size if self.size is not None else known.size,
            declared_type=known.declared_type,
            inspected=True,
            detected_type=self.detected_type or None,
            sha256=self.sha256,
            verdict=Verdict(status=status, findings=self.findings, inspector=INSPECTOR),
        )


class StreamWorkers:
    """A few processes, each of which reads many streams at once.

    `seconds` bounds one piece, `memory` a process's address space in bytes, `modules` says whose factories may make
    matchers, `path` is added to the processes' module path. They start with the first stream, or ahead with `start`.
    """

    def __init__(
        self,
        *,
        workers: int = 2,
        seconds: float = 20,
        memory: int = 2 * 1024**3,
        modules: tuple[str, ...] = MODULES,
        path: str = "",
    ) -> None:
        self._seconds, self._memory, self._modules, self._path = seconds, memory, modules, path
        self._slots: list[_Process | None] = [None] * workers
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)

    async def begin(self, matcher: Recipe | None, *, charset: str, coding: str, name: str) -> StreamScan:
        """A new stream. Raises `Unjudged` when there is no worker for it, or its coding cannot be undone."""
        process = await self._least_busy()
        digest = matcher.digest if matcher else ""
        new = matcher is not None and process.learn(matcher)
        scan = StreamScan(process, next(self._numbers), self._seconds)
        try:
            patience = _MAKING if new else self._seconds
            await scan.ask("begin", b"", patience, digest=digest, charset=charset, coding=coding, name=name)
        except Unjudged:
            scan.drop()
            raise
        return scan

    async def start(self) -> None:
        """Start one process ahead of the first stream."""
        with contextlib.suppress(Unjudged):
            await self._least_busy()

    async def _least_busy(self) -> _Process:
        async with self._starting:
            best = 0
            for number, each in enumerate(self._slots):
                if each is None or not each.alive:
                    best = number
                    break
                chosen = self._slots[best]
                if chosen is not None and each.streams < chosen.streams:
                    best = number
            found = self._slots[best]
            if found is None or not found.alive:
                if found is not None:
                    await found.end()
                try:
                    async with asyncio.timeout(60):
                        found = await _Process.start(self._memory, self._modules, self._path)
                except (OSError, EOFError, TimeoutError, ValueError) as error:
                    raise Unjudged("no process to read it") from error
                self._slots[best] = found
            return found

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that run."""
        return [each.pid for each in self._slots if each is not None and each.alive]

    async def close(self) -> None:
        """End all of them, and with them all streams."""
        for each in self._slots:
            if each is not None:
                await each.end()
        self._slots = [None] * len(self._slots)


class StreamScan:
    """One stream in a worker."""

    def __init__(self, process: _Process, number: int, seconds: float) -> None:
        self._process, self._number, self._seconds = process, number, seconds
        self._open = True
        process.streams += 1

    async def ask(self, op: str, data: bytes, seconds: float = 0, /, **more: str) -> Seen:
        """Hand over a piece and wait until it was read. Raises `Unjudged`."""
        head = {"id": self._number, "op": op, "size": len(data), **more}
        try:
            async with asyncio.timeout(seconds or self._seconds):
                told = json.loads(await self._process.ask(head, data))
        except TimeoutError:
            await self._process.end()  # nobody knows what it is doing
            raise Unjudged("reading took too long") from None
        except (OSError, EOFError, ValueError) as error:
            raise Unjudged("the process that read it ended") from error
        if "error" in told:
            raise Unjudged(str(told["error"])[:200])
        try:
            return self._seen(told)
        except (KeyError, TypeError, ValueError) as error:
            raise Unjudged("the process that read it answered nonsense") from error

    def _seen(self, told: Any) -> Seen:
        return Seen(
            text=told["text"] is True,
            detected_type=str(told["detected_type"]),
            findings=tuple(finding(each) for each in told["findings"]),
            behind=int(told["behind"]),
            size=told.get("size"),
            sha256=told.get("sha256"),
        )

    def drop(self) -> None:
        """Over, in whatever way."""
        if self._open:
            self._open = False
            self._process.streams -= 1
            self._process.tell({"id": self._number, "op": "drop"})


class _Process:
    """One worker; answers come in the order of the questions."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._reader: asyncio.Task[None] | None = None
        self._learnt: list[str] = []
        self.streams = 0

    @classmethod
    async def start(cls, memory: int, modules: tuple[str, ...], path: str) -> _Process:
        package = str(Path(casb.__file__).parent.parent)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-B", "-m", "casb.proxy.stream_worker", str(memory), *modules),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, (package, path))), "PATH": os.defpath},
            cwd="/",
            start_new_session=True,
        )
        made = cls(process)
        await made._receive()  # it is ready
        made._reader = asyncio.create_task(made._answers())
        return made

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and (self._reader is None or not self._reader.done())

    async def ask(self, head: dict[str, Any], data: bytes) -> bytes:
        """The answer to one frame. Raises `OSError` or `EOFError` when the process dies."""
        if not self.alive:
            raise EOFError
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        try:
            self._write(head, data)
            if self._process.stdin is not None:
                await self._process.stdin.drain()
        except BaseException:
            answer.cancel()
            raise
        return await answer

    def learn(self, matcher: Recipe) -> bool:
        """Have a matcher made, unless it is there."""
        if matcher.digest in self._learnt:
            return False
        self._learnt = [*self._learnt, matcher.digest][-MATCHERS:]
        self.tell({"op": "matcher", "digest": matcher.digest, "factory": matcher.factory}, matcher.data)
        return True

    def tell(self, head: dict[str, Any], data: bytes = b"") -> None:
        """One frame that has no answer."""
        if self.alive:
            with contextlib.suppress(OSError, EOFError):
                self._write({**head, "size": len(data)}, data)

    def _write(self, head: dict[str, Any], data: bytes) -> None:
        if self._process.stdin is None:
            raise EOFError
        told = json.dumps(head).encode("ascii")
        self._process.stdin.write(FRAME.pack(len(told)) + told)
        if data:
            self._process.stdin.write(data)

    async def _receive(self) -> bytes:
        incoming = self._process.stdout
        if incoming is None:
            raise EOFError
        (length,) = FRAME.unpack(await incoming.readexactly(FRAME.size))
        if length > _ANSWER:
            raise ValueError("the answer is too long")
        return await incoming.readexactly(length)

    async def _answers(self) -> None:
        try:
            while True:
                told = await self._receive()
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(told)
        except (OSError, EOFError, ValueError, IndexError):
            pass
        finally:
            while self._waiting:
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_exception(EOFError())

    async def end(self) -> None:
        """Kill the process and bury it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()
        if self._reader is not None:
            await asyncio.wait([self._reader])


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What a passing file is judged by. All three carry out what they say."""

    blocks: Callable[[Seen], bool]
    """Whether what is certain so far is enough to stop it; then it has been refused."""
    final: Callable[[Seen], bool]
    """The verdict at the end; False: it has been refused."""
    may: Callable[[], bool]
    """Whether the body may pass in pieces at all, as far as is known once its head is complete."""
    unjudged: Callable[[str], bool]
    """It cannot be judged any further; True: policy lets it pass unread."""


class Inspecting(Spooling):
    """A `taking.Taking` that judges a body while it passes, once it is longer than `hold` bytes and proves to be text.

    Up to there, and whenever it is something else, it is held as by `Spooling`. `known` is its length, if told; `about`
    are the `charset`, the content `coding` and the `name`.
    """

    def __init__(
        self,
        bodies: Bodies,
        workers: StreamWorkers,
        judge: Judge,
        *,
        matcher: Recipe | None,
        hold: int,
        known: int | None,
        **about: str,
    ) -> None:
        super().__init__(bodies, judge.unjudged)
        self._workers, self._judge, self._hold, self._known = workers, judge, hold, known
        self._matcher, self._about = matcher, about
        self._scan: StreamScan | None = None
        self._tried = self._last = False
        self._earlier: Iterator[bytes] | None = None  # what was held before it proved to be text
        self._later: deque[bytes] = deque()  # and what came while that was read
        self._window: deque[bytes] = deque()
        self._held_back = 0
        self._ready: list[bytes] = []

    @property
    def more(self) -> bool:
        """Whether there is something to judge that is here already."""
        return self._scan is not None and not self.done and (self._earlier is not None or bool(self._later))

    async def take(self, data: bytes, *, last: bool) -> None:
        """A step of the body, to the matcher or to the disk."""
        if self._scan is not None:
            self._last = self._last or last
            if data:
                self._later.append(data)
            await self._advance()
            return
        large = self.body.size + len(data) > self._hold or (self._known is not None and self._known > self._hold)
        await super().take(data, last=last)
        if large and not last and not self.passing and not self._tried and self._judge.may():
            self._tried = True
            await self._try()

    async def _try(self) -> None:
        """Read the beginning; when it is text, the body passes from here on."""
        too_large = self._known is not None and self._known > self.bodies.file
        try:
            scan = await self._workers.begin(self._matcher, **self._about)
        except Unjudged:
            return
        seen: Seen | None = None
        pieces = self.body.pieces()
        kept: list[bytes] = []
        try:
            for piece in pieces:
                kept.append(piece)
                seen = await scan.ask("feed", piece)
                if seen.detected_type:
                    break
        except Unjudged:
            scan.drop()
            return
        if seen is None or not (seen.text or (too_large and seen.detected_type)):
            scan.drop()
            return
        self._scan = scan
        for piece in kept:
            self._keep(piece)
        if not self._judge.blocks(seen):
            self._earlier = pieces
            self.passing = True

    async def _advance(self) -> None:
        """Judge one step of what is here."""
        scan = self._scan
        if scan is None:
            raise LookupError("nothing reads this stream")
        data = self._next()
        ends = self._last and not self.more
        self._keep(data)
        try:
            seen = await scan.ask("finish" if ends else "feed", data)
        except Unjudged as why:
            self._unjudged(str(why))
            return
        if ends:
            scan.drop()
            if self._judge.final(seen):
                self._flush()
        elif not self._judge.blocks(seen):
            if seen.behind <= _BEHIND:
                self._release()
            elif self._held_back > _MOST:
                self._unjudged("a value may be hidden in more text than is held back")

    def _next(self) -> bytes:
        if self._earlier is not None:
            step = list(itertools.islice(self._earlier, _PIECES))
            if len(step) == _PIECES:
                return b"".join(step)
            self._earlier = None
            return b"".join(step)
        return self._later.popleft() if self._later else b""

    def _unjudged(self, why: str) -> None:
        if self._scan is not None:
            self._scan.drop()
        if self._judge.unjudged(why):
            self._flush()
            self.done = True

    def _keep(self, data: bytes) -> None:
        if data:
            self._window.append(data)
            self._held_back += len(data)

    def _release(self) -> None:
        while self._window and self._held_back - len(self._window[0]) >= WINDOW:
            piece = self._window.popleft()
            self._held_back -= len(piece)
            self._ready.append(piece)

    def _flush(self) -> None:
        self._ready.extend(self._window)
        self._window.clear()
        self._held_back = 0

    def given(self) -> Iterable[bytes]:
        """What may leave: the whole body when it was held, what the matcher has passed otherwise."""
        if self._scan is None:
            yield from super().given()
            return
        ready, self._ready = self._ready, []
        yield from ready
        if self.done:
            while rest := self._next():
                yield rest

    def drop(self) -> None:
        """Give up the file, the window and the worker's interest."""
        if self._scan is not None:
            self._scan.drop()
        self._window.clear()
        self._later.clear()
        self._ready.clear()
        super().drop()
