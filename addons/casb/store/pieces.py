"""Pieces of files under way, encrypted on disk, until their file is whole: shared by the workers of one machine.

Each piece is a file of its own, so that two workers never write to the same one. A piece that comes again with the same
bytes is the same file; with other bytes it is another one, and whoever joins them sees that they contradict each other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from casb.errors import StoreError

AGE = 24 * 3600.0
"""Seconds that the pieces of a file that is not finished are kept."""
ROOM = 4 * 1024**3
"""Bytes that all of them together may take."""
SWEEP = 60.0
_NONCE = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Pieces put together. `body` is what is there without a gap from the beginning; `size` counts all there is."""

    body: bytes
    size: int
    count: int
    gap: bool = False
    conflict: bool = False


class Pieces:
    """A folder of transfers."""

    def __init__(self, folder: Path, *, room: int = ROOM, age: float = AGE) -> None:
        self._folder = folder
        self._room, self._age = room, age
        self._used, self._swept = 0, float("-inf")

    def add(self, transfer: str, key: bytes, place: int | None, data: bytes, now: float) -> bool:
        """Keep a piece. `place` None: behind those that are there. False: there is no room. Raises `StoreError`."""
        self._sweep(now)
        if self._used + len(data) > self._room:
            return False
        digest = hashlib.sha256(data).hexdigest()[:32]
        try:
            home = self._home(transfer)
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            if place is None:
                known = sorted(path.name for path in home.glob("*.piece"))
                if any(each.endswith(f"-{digest}.piece") for each in known):
                    return True
                place = len(known)
            name = f"{place:020d}-{digest}.piece"
            nonce = os.urandom(_NONCE)
            sealed = nonce + ChaCha20Poly1305(key).encrypt(nonce, data, f"{transfer}/{name}".encode())
            draft = home / f"{os.urandom(8).hex()}.draft"
            draft.write_bytes(sealed)
            draft.replace(home / name)
        except OSError as error:
            raise StoreError("S016", f"a piece of an upload cannot be kept: {type(error).__name__}") from None
        self._used += len(data)
        return True

    def read(self, transfer: str, key: bytes) -> list[tuple[int, bytes]]:
        """All pieces, by place. Raises `StoreError` when one cannot be read."""
        home = self._home(transfer)
        found = []
        try:
            for path in sorted(home.glob("*.piece")):
                raw = path.read_bytes()
                told = f"{transfer}/{path.name}".encode()
                data = ChaCha20Poly1305(key).decrypt(raw[:_NONCE], raw[_NONCE:], told)
                found.append((int(path.name.partition("-")[0]), data))
        except (OSError, InvalidTag, ValueError) as error:
            raise StoreError("S016", f"a piece of an upload cannot be read: {type(error).__name__}") from None
        return found

    def size(self, transfer: str) -> int:
        """Bytes that the pieces of a transfer take, roughly."""
        return sum(path.stat().st_size for path in self._home(transfer).glob("*.piece"))

    def mark(self, transfer: str, what: str, text: bytes) -> None:
        """Remember what was decided on a transfer, for every worker. Raises `StoreError`."""
        try:
            home = self._home(transfer)
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft = home / f"{os.urandom(8).hex()}.draft"
            draft.write_bytes(text)
            draft.replace(home / f"{what}.mark")
        except OSError as error:
            raise StoreError("S016", f"a decision on an upload cannot be kept: {type(error).__name__}") from None

    def marked(self, transfer: str, what: str) -> bytes | None:
        """What was remembered."""
        try:
            return (self._home(transfer) / f"{what}.mark").read_bytes()
        except OSError:
            return None

    def forget(self, transfer: str) -> None:
        """Remove the pieces; marks stay."""
        for path in self._home(transfer).glob("*.piece"):
            path.unlink(missing_ok=True)

    def _home(self, transfer: str) -> Path:
        if not transfer.isalnum():
            raise ValueError("not a transfer's id")
        return self._folder / transfer

    def _sweep(self, now: float) -> None:
        """Once a minute: count what is there, and remove what nobody goes on with."""
        if now - self._swept < SWEEP:
            return
        self._swept, self._used = now, 0
        for home in self._folder.iterdir() if self._folder.is_dir() else ():
            try:
                if now - home.stat().st_mtime > self._age:
                    shutil.rmtree(home, ignore_errors=True)
                else:
                    self._used += sum(path.stat().st_size for path in home.iterdir())
            except OSError:
                continue  # Another worker was quicker.


def join(pieces: Iterable[tuple[int, bytes]], *, numbered: bool) -> Joined:
    """Put pieces together, by number or by offset. Where two of them say different things of one place it is a
    `conflict`; what lies behind a `gap` is not in the body."""
    body, count, size = bytearray(), 0, 0
    gap = conflict = False
    before: int | None = None
    for place, data in sorted(pieces, key=lambda each: each[0]):
        size += len(data)
        if numbered:
            conflict = conflict or place == before
            gap = gap or (before is not None and place > before + 1)
            before = place
            count += 1
            if not gap:
                body += data
            continue
        count += 1
        if place > len(body):
            gap = True
        if gap:
            continue
        overlap = min(len(body) - place, len(data))
        conflict = conflict or body[place : place + overlap] != data[:overlap]
        body += data[overlap:]
    return Joined(body=bytes(body), size=size if numbered else len(body), count=count, gap=gap, conflict=conflict)
