"""Bodies that wait for their verdict: the first of each in memory, the rest encrypted on disk.

A file holds blocks of 64 KiB, each sealed with AES-256-GCM under a key that lives in the memory of this process (and of
the worker that reads the file) and nowhere else. So what a crash leaves behind is noise, and is removed at the next
start. Block `n` begins at `n * (BLOCK + TAG)`; its nonce is `n`, which no other block under that key has; the last
block is marked, so that a file cut short does not read as whole. Random access, no rewriting.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import secrets
import shutil
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from casb.errors import StoreError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK = 64 * 1024
TAG = 16
SMALL = 256 * 1024
"""Bytes of one body that stay in memory; a longer one has a file."""
_LOOK = 8 * 1024 * 1024
_ENDING = ".held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """How to read a held file in another process. The key opens this one file."""

    path: Path
    key: bytes = field(repr=False)
    size: int  # of the plain bytes

    def told(self) -> bytes:
        """For `open_told` in another process."""
        return json.dumps({"path": str(self.path.absolute()), "key": self.key.hex(), "size": self.size}).encode()


class Held:
    """The folder of held bodies, shared by all workers of a deployment.

    `budget` bounds the bytes of all files in it, `floor` is what stays free on its disk.
    """

    def __init__(self, folder: Path, *, budget: int, floor: int) -> None:
        self.folder = folder
        self.budget = budget
        self.floor = floor

    def prepare(self) -> int:
        """Make the folder and clear away what processes left that are no more; the number of files removed.

        Raises `StoreError` S013 when the folder cannot be made.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise StoreError("S013", f"the folder {self.folder} cannot be made ({error.strerror})") from error
        removed = 0
        for path in self.folder.glob(f"*{_ENDING}"):
            if _abandoned(path):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def begin(self) -> HeldBody:
        """An empty body. No file is made before it has grown."""
        return HeldBody(self)

    def used(self) -> int:
        """Bytes of all files in the folder, of every process."""
        total = 0
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def require(self, more: int) -> None:
        """Raise `StoreError` S014 unless there is room for so many bytes more."""
        if self.used() + more > self.budget:
            raise StoreError("S014", "held files have used up limits.spool_total")
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            raise StoreError("S013", f"the folder {self.folder} cannot be used ({error.strerror})") from error
        if free - more < self.floor:
            raise StoreError("S014", "the disk of held files is nearly full (limits.spool_free)")


def _abandoned(path: Path) -> bool:
    """Whether nobody holds the lock that a file's writer keeps for as long as it lives."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


class HeldBody:
    """One body: written once from its beginning to its end, then read any number of times.

    Not for several threads at once. Its file goes with `drop`, with the object, or with the process.
    """

    def __init__(self, held: Held) -> None:
        self._held = held
        self._tail = bytearray()  # of the block that is not full; everything, as long as there is no file
        self._descriptor = -1
        self._path = Path()
        self._away: weakref.finalize[[int, Path], HeldBody] | None = None
        self._key = b""
        self._cipher: AESGCM | None = None
        self._blocks = 0
        self._granted = 0  # bytes on disk that the folder has allowed
        self._finished = False
        self.size = 0

    @property
    def on_disk(self) -> bool:
        """Whether it has outgrown memory."""
        return self._cipher is not None

    def write(self, data: bytes) -> None:
        """Append. Raises `StoreError` S014 for want of room, S015 when the disk refuses; `pieces` still gives all."""
        self._tail += data
        self.size += len(data)
        if not self.on_disk:
            if self.size <= SMALL:
                return
            self._open()
        whole = len(self._tail) // BLOCK * BLOCK
        if whole == len(self._tail):
            whole -= BLOCK  # the last block is sealed as such, and only `finish` knows which it is
        if whole > 0:
            self._seal(whole)

    def finish(self) -> None:
        """Everything has been written. Raises as `write`."""
        if self.on_disk and not self._finished:
            self._put(self._block(self._blocks, bytes(self._tail), last=True))
            self._tail.clear()
            self._blocks += 1
        self._finished = True

    def sealed(self) -> Sealed | None:
        """What another process needs to read the file; None when the body is in memory (`content`)."""
        if not self.on_disk:
            return None
        return Sealed(path=self._path, key=self._key, size=self.size)

    def content(self) -> bytes:
        """The whole of a body that is in memory."""
        if self.on_disk:
            raise ValueError("this body is on disk")
        return bytes(self._tail)

    def source(self) -> io.BytesIO | io.BufferedReader:
        """A finished body as a seekable file."""
        sealed = self.sealed()
        return io.BytesIO(self.content()) if sealed is None else open_sealed(sealed)

    def pieces(self, size: int = BLOCK) -> Iterator[bytes]:
        """The body from its beginning to as far as it has been written, in pieces of `size` at most."""
        if self._cipher is None:
            view = bytes(self._tail)
            for at in range(0, len(view), size):
                yield view[at : at + size]
            return
        for number in range(self._blocks):
            last = self._finished and number == self._blocks - 1
            yield _opened(self._cipher, self._descriptor, number, last=last)
        if self._tail:
            yield bytes(self._tail)

    def drop(self) -> None:
        """Give up the file and what is in memory."""
        self._tail.clear()
        if self._away is not None:
            self._away()
            self._descriptor = -1

    def _open(self) -> None:
        self._held.require(self.size)
        self._path = self._held.folder / f"{secrets.token_hex(16)}{_ENDING}"
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            self._away = weakref.finalize(self, _gone, self._descriptor, self._path)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError("S015", f"a body could not be held on disk ({error.strerror})") from error
        self._key = AESGCM.generate_key(256)
        self._cipher = AESGCM(self._key)

    def _seal(self, whole: int) -> None:
        view, count = bytes(self._tail[:whole]), whole // BLOCK
        self._put(b"".join(self._block(self._blocks + n, view[n * BLOCK : (n + 1) * BLOCK]) for n in range(count)))
        del self._tail[:whole]  # what the disk has refused stays here
        self._blocks += count

    def _block(self, number: int, plain: bytes, *, last: bool = False) -> bytes:
        assert self._cipher is not None  # noqa: S101  # narrows the type
        return self._cipher.encrypt(_nonce(number), plain, _mark(last))

    def _put(self, sealed: bytes) -> None:
        self._granted -= len(sealed)
        if self._granted < 0:
            self._held.require(len(sealed))
            self._granted = _LOOK
        at, view = self._blocks * (BLOCK + TAG), memoryview(sealed)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, at)
                at, view = at + written, view[written:]
        except OSError as error:
            raise StoreError("S015", f"a body could not be held on disk ({error.strerror})") from error


def _gone(descriptor: int, path: Path) -> None:
    os.close(descriptor)
    path.unlink(missing_ok=True)


class SealedFile(io.RawIOBase):
    """The plain bytes of a held file, read-only and seekable. A block that does not open reads as an `OSError`."""

    def __init__(self, sealed: Sealed) -> None:
        self._descriptor = -1
        self._cipher = AESGCM(sealed.key)
        self._descriptor = os.open(sealed.path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = sealed.size
        self._at = 0
        self._number = -1
        self._block = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self._at >= self._size:
            return 0
        number, within = divmod(self._at, BLOCK)
        if number != self._number:
            self._block = _opened(self._cipher, self._descriptor, number, last=number == (self._size - 1) // BLOCK)
            self._number = number
        view = memoryview(buffer).cast("B")
        piece = self._block[within : within + len(view)]
        if not piece:
            raise OSError("a held file is shorter than it should be")
        view[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def fileno(self) -> int:
        raise OSError("the file on disk is not what is read")

    def close(self) -> None:
        if not self.closed and self._descriptor >= 0:
            os.close(self._descriptor)
        super().close()


def open_sealed(sealed: Sealed) -> io.BufferedReader:
    """A held file as a seekable, read-only file of its plain bytes. Raises `OSError` when it is gone."""
    return io.BufferedReader(SealedFile(sealed), BLOCK)


def open_told(data: bytes) -> io.BufferedReader:
    """What `Sealed.told` tells of, opened. Raises `OSError` when it is gone."""
    told = json.loads(data)
    return open_sealed(Sealed(path=Path(told["path"]), key=bytes.fromhex(told["key"]), size=told["size"]))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def _mark(last: bool) -> bytes:
    return b"last" if last else b"more"


def _opened(cipher: AESGCM, descriptor: int, number: int, *, last: bool) -> bytes:
    sealed = os.pread(descriptor, BLOCK + TAG, number * (BLOCK + TAG))
    try:
        return cipher.decrypt(_nonce(number), sealed, _mark(last))
    except (InvalidTag, ValueError) as error:
        raise OSError("a held file was changed") from error
