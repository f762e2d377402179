"""Uploaded logs on their way to being parsed: addresses to put them to, their files, and what became of them.

An address is a secret that is good for one file and one hour. A file is on the disk before anybody hears that it was
taken, and stays until its task is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from casb.errors import StoreError
from casb.store.discovery_book import Book, millis, moment

LIFE = timedelta(hours=1)
LARGEST = 5 * 1024**3
"""Bytes of one upload."""
FREE = 512 * 1024**2
"""Bytes left free on the disk: the activity log needs room, too."""
FOLDER = "uploads"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file to come, or there (`size` is known then)."""

    file: str
    source: str
    path: Path
    asked_by: str
    created: datetime
    size: int | None = None
    sha256: str | None = None


class Uploads:
    """All of them. Raises `StoreError` D050 with the reason when one cannot be taken."""

    def __init__(self, folder: Path, book: Book) -> None:
        self._folder = folder / FOLDER
        self._database = book.database

    def begin(self, file: str, source: str, who: str, now: datetime) -> str:
        """The secret of a new upload's address."""
        secret = secrets.token_urlsafe(32)
        path = self._folder / f"{secrets.token_hex(12)}.log"
        with self._database.writing() as writer:
            writer.execute(
                "INSERT INTO uploads (key, file, source, path, asked_by, created) VALUES (?,?,?,?,?,?)",
                (_key(secret), file[:255], source[:64], str(path), who, millis(now)),
            )
        return secret

    def find(self, secret: str, now: datetime) -> Upload:
        """The upload that an address belongs to. Raises `StoreError` D050."""
        with self._database.reading() as reader:
            row = reader.execute(
                "SELECT file, source, path, asked_by, created, size, sha256 FROM uploads WHERE key = ?", (_key(secret),)
            ).fetchone()
        if row is None or moment(row[4]) + LIFE < now:
            raise StoreError("D050", "this upload address was never given, or has expired")
        return Upload(
            file=row[0],
            source=row[1],
            path=Path(row[2]),
            asked_by=row[3],
            created=moment(row[4]),
            size=row[5],
            sha256=row[6],
        )

    async def receive(self, secret: str, chunks: AsyncIterator[bytes], now: datetime, most: int = LARGEST) -> Upload:
        """Write what comes to the disk; on return it is there. Sent again, it replaces what was there."""
        upload = self.find(secret, now)
        partial = upload.path.with_name(f"{upload.path.name}.{secrets.token_hex(4)}.part")
        whole, size = hashlib.sha256(), 0
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > most:
                        raise StoreError("D050", f"the file is larger than {most} bytes")
                    if size % FREE < len(chunk) and shutil.disk_usage(self._folder).free < FREE:
                        raise StoreError("D050", "the disk is full")
                    whole.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            if shutil.disk_usage(self._folder).free < FREE:
                raise StoreError("D050", "the disk is full")
            os.replace(partial, upload.path)
        except OSError as error:
            raise StoreError("D050", f"the upload cannot be kept ({error.strerror})") from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        with self._database.writing() as writer:
            writer.execute(
                "UPDATE uploads SET size = ?, sha256 = ? WHERE key = ?", (size, whole.hexdigest(), _key(secret))
            )
        return self.find(secret, now)

    def done(self, secret: str) -> None:
        """The address is used up; its file belongs to a task now."""
        with self._database.writing() as writer:
            writer.execute("DELETE FROM uploads WHERE key = ?", (_key(secret),))

    def adopt(self, source: Path) -> Path:
        """Take a file of this machine in, as a copy. Raises `StoreError` D050."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target = self._folder / f"{secrets.token_hex(12)}.log"
            if shutil.disk_usage(self._folder).free < FREE + source.stat().st_size:
                raise StoreError("D050", "the disk is full")
            shutil.copyfile(source, target)
            target.chmod(0o600)
        except OSError as error:
            raise StoreError("D050", f"{source} cannot be taken ({error.strerror})") from error
        return target

    def sweep(self, now: datetime) -> None:
        """Forget addresses that have expired, and their files."""
        limit = millis(now - LIFE * 2)
        with self._database.writing() as writer:
            rows = writer.execute("SELECT path FROM uploads WHERE created < ?", (limit,)).fetchall()
            writer.execute("DELETE FROM uploads WHERE created < ?", (limit,))
        for (path,) in rows:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _key(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
