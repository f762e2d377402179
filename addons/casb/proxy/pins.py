"""Which digests pages have named, for all workers and across restarts: a file that only grows, and a set in memory.

A worker that serves a resource need not be the one that served the page. Lines of hex; a digest is no secret.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from casb.rewrite.integrity import HASHES

_MOST = 50_000
"""Digests kept. Beyond that the book is begun anew; pages name theirs again when they are next seen."""


class Pins:
    """The book of one deployment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: set[bytes] = set()
        self._read = 0
        self._refresh()

    def __bool__(self) -> bool:
        if not self._known:
            self._refresh()
        return bool(self._known)

    def note(self, digests: set[bytes]) -> None:
        """Keep what a text names, before the text goes on. A disk that fails costs the other workers, not this one."""
        new = digests - self._known
        if not new:
            return
        self._known |= new
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            if len(self._known) > _MOST:
                self._known, self._read, flags = set(new), 0, flags | os.O_TRUNC
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, b"".join(each.hex().encode() + b"\n" for each in sorted(new)))
            finally:
                os.close(descriptor)

    def has(self, body: bytes) -> bool:
        """Does some page pin exactly this body?"""
        self._refresh()
        sizes = {len(each) for each in self._known}
        return any(HASHES[size](body).digest() in self._known for size in sizes)

    def _refresh(self) -> None:
        """Read what others have added: one `stat` when there is nothing."""
        try:
            size = self._path.stat().st_size
            if size == self._read:
                return
            with self._path.open("rb") as file:
                file.seek(self._read if size > self._read else 0)
                added = file.read(8 * 1024 * 1024)
        except OSError:
            return
        whole = added.rpartition(b"\n")[0]
        self._read = (self._read if size > self._read else 0) + len(whole) + (1 if whole else 0)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                digest = bytes.fromhex(line.decode("latin-1"))
                if len(digest) in HASHES:
                    self._known.add(digest)
