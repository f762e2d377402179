"""Held bodies of one worker: taken in on threads, so that no disk and no decoder keeps the other users waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from casb.errors import ContentError, StoreError
from casb.rewrite import codings
from casb.store.held import Held, HeldBody

_PIECE = 64 * 1024
_GROWTH = 200
"""What grows more than so many times when it is decoded is no file that people exchange."""


class Bodies:
    """Makes held bodies and does the slow work on them. `file` is the largest body held, in bytes."""

    def __init__(self, held: Held, *, file: int, threads: int = 2) -> None:
        self.held = held
        self.file = file
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="bodies")

    async def run[T](self, work: Callable[[], T]) -> T:
        """Do something slow on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def decoded(self, body: HeldBody, coding: str) -> HeldBody:
        """A finished body without its content coding; the same body when it has none.

        Raises `ContentError` when it does not decode, `StoreError` when there is no room for what comes out.
        """
        decoder = codings.decoder_for(coding, limit=self.file, ratio=_GROWTH)
        if decoder is None or not body.size:
            return body
        return await self.run(lambda: self._decoded(body, decoder))

    def _decoded(self, body: HeldBody, decoder: codings.Coder) -> HeldBody:
        plain = self.held.begin()
        try:
            for piece in body.pieces():
                plain.write(decoder.feed(piece))
            plain.write(decoder.finish())
            plain.finish()
        except (ContentError, StoreError):
            plain.drop()
            raise
        return plain

    def close(self) -> None:
        """Wait for nothing; files go with their bodies."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Spooling:
    """A `taking.Taking` that keeps a body until it is there whole.

    `give_up` is told why a body cannot be held, when that is so; it refuses the exchange, or answers that policy lets
    it pass unread. `most` bounds what is read into memory once it is there; else the largest body held does.
    """

    def __init__(self, bodies: Bodies, give_up: Callable[[str], bool], *, most: int | None = None) -> None:
        self.bodies = bodies
        self._most = most
        self.body = bodies.held.begin()
        self.passing = False
        self.done = False
        self._give_up = give_up
        self._unheld = b""

    async def take(self, data: bytes, *, last: bool) -> None:
        """Keep a step. Small bodies never leave memory and need no thread."""
        most = self.bodies.file if self._most is None else self._most
        if self.body.size + len(data) > most:
            self.give_up(f"larger than {most} bytes", data)
            return
        try:
            await self.bodies.run(lambda: self._write(data, last))
        except StoreError as error:
            self.give_up(error.message, b"")

    def _write(self, data: bytes, last: bool) -> None:
        self.body.write(data)
        if last:
            self.body.finish()

    @property
    def more(self) -> bool:
        """Never: what is here is held."""
        return False

    @property
    def empty(self) -> bool:
        """Whether nothing came."""
        return self.body.size == 0 and not self._unheld

    def give_up(self, why: str, unheld: bytes) -> None:
        """It cannot be held whole, or cannot be judged; `unheld` is what is not in `body` yet."""
        if self._give_up(why):
            self._unheld = unheld
            self.passing = self.done = True

    def given(self) -> Iterable[bytes]:
        """Everything that is held."""
        yield from self._all()

    def _all(self) -> Iterator[bytes]:
        yield from self.body.pieces(_PIECE)
        if self._unheld:
            yield self._unheld

    def replace(self, data: bytes | HeldBody) -> None:
        """Something else leaves in its place. Raises `StoreError` when there is no room for it."""
        if isinstance(data, HeldBody):
            other = data
        else:
            other = self.bodies.held.begin()
            other.write(data)
            other.finish()
        if other is not self.body:
            self.body.drop()
            self.body = other

    def drop(self) -> None:
        """Give up the file."""
        self.body.drop()
