"""Sessions shared by the proxy processes of one machine: one SQLite file, values encrypted, and a shared counter.

Three files in the data folder: `sessions.db`; `sessions.keys` (the key ring, mode 0600, newest key first, one
`<id> <hex>` a line); `sessions.epoch` (eight bytes, mapped into every process). Keys and index names are digests.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import mmap
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from casb.errors import StoreError
from casb.store.session_keys import FollowedRing

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entry (
  kind TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, ends REAL NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_ends ON entry (ends);
CREATE TABLE IF NOT EXISTS named (
  name BLOB NOT NULL, kind TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (name, kind, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS named_entry ON named (kind, key);
"""
_COUNTER: Final = struct.Struct("@Q")  # native: copied as one word, so that readers see no half of it
_MANY: Final = 500  # keys in one question
_PURGED: Final = 60.0  # seconds between two removals of what has expired, beside those that are asked for


class Epoch:
    """A counter that all processes see. Reading is a memory access; adding takes a lock on the file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._lock = threading.Lock()
        with self._held():
            if os.fstat(self._file).st_size < _COUNTER.size:
                os.pwrite(self._file, _COUNTER.pack(1), 0)
        self._map = mmap.mmap(self._file, _COUNTER.size)

    def read(self) -> int:
        """The counter."""
        return int(_COUNTER.unpack_from(self._map)[0])

    def bump(self) -> None:
        """Add one."""
        with self._held():
            _COUNTER.pack_into(self._map, 0, self.read() + 1)

    def close(self) -> None:
        """Let the file go."""
        self._map.close()
        os.close(self._file)

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:  # flock is per open file, so threads need their own lock
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)


class SqliteSessions:
    """A `SessionStore` in `<folder>/sessions.db`. `clock` gives seconds since 1970, alike in all processes.

    One connection with a thread of its own, so that no other slow work delays a look-up; a process that forks opens its
    own store.
    """

    def __init__(self, folder: str | Path, *, clock: Callable[[], float] = time.time, busy: float = 5.0) -> None:
        self._folder = Path(folder)
        self._clock = clock
        self._purged = clock()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sessions")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._keys = FollowedRing(self._folder / "sessions.keys")
            self._epoch = Epoch(self._folder / "sessions.epoch")
            database = self._folder / "sessions.db"
            os.close(os.open(database, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = _connect(database, busy)
        except (OSError, sqlite3.Error) as error:
            raise StoreError("S051", f"the session store in {self._folder} cannot be opened: {error}") from error

    async def put(self, kind: str, key: bytes, value: bytes, *, ttl: float, indexes: Sequence[str] = ()) -> None:
        """Keep `value` for `ttl` seconds."""
        now = self._clock()
        row = (kind, key, self._keys.seal(value, _aad(kind, key)), now + ttl)
        names = [(_name(index), kind, key) for index in indexes]
        if abs(now - self._purged) >= _PURGED:
            await self.purge()

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?)", row)
            db.execute("DELETE FROM named WHERE kind = ? AND key = ?", (kind, key))
            db.executemany("INSERT INTO named VALUES (?, ?, ?)", names)

        await self._run(write)

    async def add(self, kind: str, key: bytes, value: bytes, *, ttl: float) -> bool:
        """As `put`, but only when nothing is there."""
        now = self._clock()
        row = (kind, key, self._keys.seal(value, _aad(kind, key)), now + ttl)

        def write(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM entry WHERE kind = ? AND key = ? AND ends <= ?", (kind, key, now))
            return db.execute("INSERT OR IGNORE INTO entry VALUES (?, ?, ?, ?)", row).rowcount == 1

        return await self._run(write)

    async def get(self, kind: str, key: bytes) -> bytes | None:
        """The value, or None."""
        query, values = "SELECT value FROM entry WHERE kind = ? AND key = ? AND ends > ?", (kind, key, self._clock())
        row = await self._run(lambda db: db.execute(query, values).fetchone(), writes=False)
        return None if row is None else self._keys.open(row[0], _aad(kind, key))

    async def present(self, kind: str, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Which of many are there."""
        now = self._clock()

        def look(db: sqlite3.Connection) -> frozenset[bytes]:
            # Few questions with many keys: each lets go of the interpreter and waits for it again.
            found: list[bytes] = []
            for at in range(0, len(keys), _MANY):
                some = keys[at : at + _MANY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key FROM entry WHERE kind = ? AND ends > ? AND key IN ({marks})"  # noqa: S608 - marks only
                found += (row[0] for row in db.execute(query, (kind, now, *some)).fetchall())
            return frozenset(found)

        return await self._run(look, writes=False)

    async def take(self, kind: str, key: bytes) -> bytes | None:
        """The value, removed in the same step."""

        def write(db: sqlite3.Connection) -> tuple[bytes, float] | None:
            rows = db.execute("DELETE FROM entry WHERE kind = ? AND key = ? RETURNING value, ends", (kind, key))
            row: tuple[bytes, float] | None = next(iter(rows.fetchall()), None)
            db.execute("DELETE FROM named WHERE kind = ? AND key = ?", (kind, key))
            return row

        row = await self._run(write)
        return None if row is None or row[1] <= self._clock() else self._keys.open(row[0], _aad(kind, key))

    async def touch(self, kind: str, key: bytes, *, ttl: float) -> None:
        """Prolong, when still there."""
        now = self._clock()
        query = "UPDATE entry SET ends = ? WHERE kind = ? AND key = ? AND ends > ?"
        await self._run(lambda db: db.execute(query, (now + ttl, kind, key, now)).close())

    async def drop(self, kind: str, key: bytes) -> None:
        """Remove, if there."""

        def write(db: sqlite3.Connection) -> int:
            db.execute("DELETE FROM named WHERE kind = ? AND key = ?", (kind, key))
            return db.execute("DELETE FROM entry WHERE kind = ? AND key = ?", (kind, key)).rowcount

        if await self._run(write):
            self._epoch.bump()

    async def drop_index(self, index: str) -> int:
        """Remove everything kept under an index."""
        name, now = _name(index), self._clock()

        def write(db: sqlite3.Connection) -> tuple[int, int]:
            places = db.execute("SELECT kind, key FROM named WHERE name = ?", (name,)).fetchall()
            rows = [
                row
                for place in places
                for row in db.execute("DELETE FROM entry WHERE kind = ? AND key = ? RETURNING ends", place).fetchall()
            ]
            db.executemany("DELETE FROM named WHERE kind = ? AND key = ?", places)
            return len(rows), sum(ends > now for (ends,) in rows)

        touched, alive = await self._run(write)
        if touched:
            self._epoch.bump()
        return alive

    def epoch(self) -> int:
        """Grows with every drop, in any process."""
        return self._epoch.read()

    async def purge(self) -> int:
        """Remove what has expired."""
        now = self._purged = self._clock()

        def write(db: sqlite3.Connection) -> int:
            gone = db.execute("DELETE FROM entry WHERE ends <= ?", (now,)).rowcount
            db.execute(
                "DELETE FROM named WHERE NOT EXISTS "
                "(SELECT 1 FROM entry WHERE entry.kind = named.kind AND entry.key = named.key)"
            )
            return gone

        return await self._run(write)

    def close(self) -> None:
        """Let the files go."""
        self._thread.shutdown()
        self._db.close()
        self._epoch.close()

    async def _run[T](self, work: Callable[[sqlite3.Connection], T], *, writes: bool = True) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, work, writes)

    def _transact[T](self, work: Callable[[sqlite3.Connection], T], writes: bool) -> T:
        try:
            if not writes:
                return work(self._db)
            # IMMEDIATE waits for other writers up front; a read that becomes a write would fail at once instead.
            self._db.execute("BEGIN IMMEDIATE").close()
            try:
                result = work(self._db)
            except BaseException:
                self._db.execute("ROLLBACK").close()
                raise
            self._db.execute("COMMIT").close()
            return result
        except sqlite3.Error as error:
            raise StoreError("S051", f"the session store does not answer: {error}") from error


def _connect(path: Path, busy: float) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=busy, isolation_level=None, check_same_thread=False)
    try:
        # Losing the newest sessions in a power cut costs a sign-in; a sync on every write would cost everybody time.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "secure_delete=ON"):
            database.execute(f"PRAGMA {pragma}").close()
        database.executescript(_SCHEMA).close()
    except BaseException:
        database.close()
        raise
    return database


def _aad(kind: str, key: bytes) -> bytes:
    return kind.encode("ascii") + b"|" + key


def _name(index: str) -> bytes:
    return hashlib.sha256(index.encode("utf-8")).digest()
