"""The encrypted files of the quarantine: one age container each, named by the activity that refused it.

A file is written under a name of its own, made durable, and only then renamed: under its final name it is whole. Its
header carries, wrapped by the deployment's key ring, whose it is and why it is here, so that a file whose line was lost
in a crash still tells; the recovery recipient opens it with the stock `age`. The keys are of a purpose of their own:
what is kept here never opens where handed-over files are opened.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from casb.errors import ContentError, StoreError
from casb.protection.container import CHUNK, Stanza, open_container
from casb.protection.encrypt import AgeProtector, HandOver, Random, Unwrap, Wrap, unwrap_stanza
from casb.settings import Settings

PURPOSE = "quarantined file"
"""What the key ring's keys are used for here."""
ENDING = ".age"
DRAFT = ".part"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_STEP = 1024 * 1024
_LOOK = 16 * 1024 * 1024
"""Bytes after which the room that is left is looked at again."""


def folder_of(settings: Settings, data: Path) -> Path:
    """Where the files of a deployment are."""
    return Path(settings.quarantine.folder or data / "quarantine")


def is_id(text: str) -> bool:
    """Whether a text can be the id of a file; everything else must not come near a path."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was written: size in bytes and SHA-256 of the plain file."""

    size: int
    sha256: str


class Vault:
    """The folder. `limit` bounds the bytes of all its files, `floor` is what stays free on its disk."""

    def __init__(self, folder: Path, *, limit: int, floor: int = 0) -> None:
        self.folder = folder
        self.limit = limit
        self.floor = floor

    def keep(
        self, facts: HandOver, pieces: Iterable[bytes], wrap: Wrap, random: Random, recovery: str | None
    ) -> Stored:
        """Write one file, encrypted as it comes; durable on return. Raises `StoreError` S081 for want of room and
        S082 when the disk refuses; nothing is left behind then."""
        if not is_id(facts.file):
            raise StoreError("S082", "a file of the quarantine has no usable id")
        draft = self.folder / f"{facts.file}{DRAFT}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(draft, flags, 0o600)
        except OSError as error:
            raise _refused(error) from error
        try:
            with os.fdopen(descriptor, "wb") as out:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stored = self._write(out.write, facts, pieces, wrap, random, recovery)
                out.flush()
                os.fsync(out.fileno())
                os.rename(draft, self._path(facts.file))
            _sync(self.folder)
        except OSError as error:
            _gone(draft)
            raise _refused(error) from error
        except BaseException:
            _gone(draft)
            raise
        return stored

    def _write(
        self,
        write: Callable[[bytes], object],
        facts: HandOver,
        pieces: Iterable[bytes],
        wrap: Wrap,
        random: Random,
        recovery: str | None,
    ) -> Stored:
        def own(_purpose: str, aad: bytes, data: bytes) -> tuple[str, bytes]:
            return wrap(PURPOSE, aad, data)

        order = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
        protecting = AgeProtector(own, random, recovery).start(facts.name, "", None, order)
        digest, size, room = hashlib.sha256(), 0, -1
        for piece in pieces:
            if room < len(piece):
                self.require(max(len(piece), 1))
                room = _LOOK
            room -= len(piece)
            digest.update(piece)
            size += len(piece)
            write(protecting.update(piece))
        write(protecting.finish())
        return Stored(size=size, sha256=digest.hexdigest())

    def used(self) -> int:
        """Bytes of all files."""
        return sum(each.stat().st_size for each in self._files())

    def require(self, more: int) -> None:
        """Raise `StoreError` S081 unless there is room for so many bytes more."""
        if self.used() + more > self.limit:
            raise StoreError("S081", "the quarantine is full (quarantine.limit)")
        if shutil.disk_usage(self.folder).free - more < self.floor:
            raise StoreError("S081", "the disk of the quarantine is nearly full (limits.spool_free)")

    def open(self, identifier: str, unwrap: Unwrap) -> Iterator[bytes]:
        """The plain file, piece by piece. Raises `StoreError` S083 when it is gone, `ContentError` when it was changed:
        at the latest at the end, hence call `check` before any of it is given out."""
        return self._plain(identifier, unwrap)

    def _plain(self, identifier: str, unwrap: Unwrap) -> Iterator[bytes]:
        file = self._opened(identifier)
        with file:
            yield from open_container(iter(lambda: file.read(CHUNK * 4), b""), lambda s: _key(s, identifier, unwrap)[0])

    def _opened(self, identifier: str) -> BinaryIO:
        try:
            if not is_id(identifier):
                raise FileNotFoundError
            return os.fdopen(os.open(self._path(identifier), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
        except OSError:
            raise StoreError("S083", "this file is not in the quarantine any more") from None

    def check(self, identifier: str, unwrap: Unwrap) -> Stored:
        """Read all of a file: size and SHA-256. Raises as `open`."""
        digest, size = hashlib.sha256(), 0
        for piece in self._plain(identifier, unwrap):
            digest.update(piece)
            size += len(piece)
        return Stored(size=size, sha256=digest.hexdigest())

    def facts(self, identifier: str, unwrap: Unwrap) -> HandOver:
        """What a file's header says. Raises as `open`."""
        found: list[HandOver] = []

        def look(stanzas: Iterable[Stanza]) -> bytes:
            key, facts = _key(stanzas, identifier, unwrap)
            found.append(facts)
            return key

        with self._opened(identifier) as file:
            for _ in open_container(iter(lambda: file.read(CHUNK * 4), b""), look):
                break
        return found[0]

    def delete(self, identifier: str) -> bool:
        """Remove a file for good; False when it is not there. Raises `StoreError` S082."""
        if not is_id(identifier):
            return False
        try:
            self._path(identifier).unlink()
            _sync(self.folder)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _refused(error) from error
        return True

    def ids(self) -> dict[str, datetime]:
        """The files that are there, and since when."""
        found = {}
        for path in self.folder.glob(f"*{ENDING}"):
            with contextlib.suppress(OSError):
                found[path.name.removesuffix(ENDING)] = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return found

    def sweep(self) -> int:
        """Remove what writers left that are no more; the number of files removed."""
        removed = 0
        for path in self.folder.glob(f"*{DRAFT}"):
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _path(self, identifier: str) -> Path:
        return self.folder / f"{identifier}{ENDING}"

    def _files(self) -> Iterator[os.DirEntry[str]]:
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                        yield entry


def _key(stanzas: Iterable[Stanza], identifier: str, unwrap: Unwrap) -> tuple[bytes, HandOver]:
    key, facts = unwrap_stanza(tuple(stanzas), lambda _purpose, key_id, aad, blob: unwrap(PURPOSE, key_id, aad, blob))
    if facts.file != identifier:
        raise ContentError("F003", "this file of the quarantine belongs under another name")
    return key, facts


def _refused(error: OSError) -> StoreError:
    return StoreError("S082", f"a file could not be put into the quarantine ({error.strerror})")


def _gone(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
