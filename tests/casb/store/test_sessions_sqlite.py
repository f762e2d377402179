"""What is the SQLite store's own; the rest is in tests/contracts/test_session_store.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store import session_keys
from casb.store.session_keys import KeyRing, load_keys
from casb.store.sessions_sqlite import Epoch, SqliteSessions

KEY = b"k" * 32
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)

COUNTS = ("SELECT count(*) FROM entry", "SELECT count(*) FROM named")

type Open = Callable[[], SqliteSessions]


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Open]:
    opened: list[SqliteSessions] = []

    def open_one() -> SqliteSessions:
        opened.append(SqliteSessions(tmp_path))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


async def test_nothing_readable_is_on_the_disk(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    await store.put("login", KEY, b"ada@contoso.example", ttl=60, indexes=["user:ada@contoso.example"])
    files = sorted(tmp_path.iterdir())
    assert {"sessions.db", "sessions.keys", "sessions.epoch"} <= {each.name for each in files}
    for each in files:
        assert b"ada" not in each.read_bytes(), each.name
        assert each.stat().st_mode & 0o077 == 0, f"{each.name} is ours alone"


async def test_it_cleans_up_by_itself(tmp_path: Path) -> None:
    seconds = [1000.0]
    store = SqliteSessions(tmp_path, clock=lambda: seconds[0])
    for number in range(5):
        await store.put("pending", bytes([number]), b"x", ttl=10 + 50 * (number == 4), indexes=["a"])
    counts = []
    for later in (59, 1, 1):
        seconds[0] += later
        await store.put("pending", KEY, b"x", ttl=600)
        with sqlite3.connect(tmp_path / "sessions.db") as database:
            counts.append([database.execute(count).fetchone()[0] for count in COUNTS])
        database.close()
    assert counts == [[6, 5], [1, 0], [1, 0]]
    store.close()


async def test_sessions_outlive_the_process(open_store: Open) -> None:
    first = open_store()
    await first.put("login", KEY, b"value", ttl=60)
    await first.put("login", b"x", b"value", ttl=60)
    await first.drop("login", b"x")
    epoch = first.epoch()
    second = open_store()
    assert await second.get("login", KEY) == b"value"
    assert second.epoch() == epoch
    await second.drop("login", KEY)
    assert first.epoch() > epoch


def tamper(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / "sessions.db") as database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET value = zeroblob(50)",
        "UPDATE entry SET value = substr(value, 1, 20)",
        "UPDATE entry SET value = CAST(substr(value, 1, length(value) - 3) || x'000000' AS BLOB)",
        "UPDATE entry SET value = 'text'",
        "UPDATE entry SET value = 7",
        "UPDATE entry SET value = x''",
        "UPDATE entry SET kind = 'child'",
        "UPDATE entry SET key = zeroblob(32)",
        "UPDATE entry SET value = CAST('v1.k1.s' || 'x' AS BLOB)",
    ],
)
async def test_what_was_altered_or_moved_is_refused(open_store: Open, tmp_path: Path, statement: str) -> None:
    store = open_store()
    await store.put("login", KEY, b"value", ttl=60)
    tamper(tmp_path, statement)
    kind, key = ("child", KEY) if "kind" in statement else ("login", bytes(32) if "key =" in statement else KEY)
    with pytest.raises(StoreError) as caught:
        await store.get(kind, key)
    assert caught.value.code == "S053"


async def test_a_key_ring_that_rotates(open_store: Open, tmp_path: Path) -> None:
    first = open_store()
    await first.put("login", KEY, b"before", ttl=60)
    path = tmp_path / "sessions.keys"
    path.write_text(f"fresh {'ab' * 32}\n" + path.read_text())
    second = open_store()
    assert await second.get("login", KEY) == b"before", "old keys still open"
    await second.put("login", b"x", b"after", ttl=60)
    path.write_text(path.read_text().splitlines()[0] + "\n")
    third = open_store()
    assert await third.get("login", b"x") == b"after", "new values use the first key"
    with pytest.raises(StoreError, match="not in the ring"):
        await third.get("login", KEY)


async def test_a_broken_store_says_so(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    tamper(tmp_path, "DROP TABLE entry")
    for attempt in (store.get("a", KEY), store.put("a", KEY, b"", ttl=1), store.take("a", KEY), store.drop("a", KEY)):
        with pytest.raises(StoreError) as caught:
            await attempt
        assert caught.value.code == "S051"


async def test_a_failed_write_leaves_nothing_half_done(open_store: Open, tmp_path: Path) -> None:
    store = open_store()
    await store.put("login", KEY, b"value", ttl=60, indexes=["a"])
    tamper(tmp_path, "DROP TABLE named")
    with pytest.raises(StoreError):
        await store.take("login", KEY)
    assert await store.get("login", KEY) == b"value"


@pytest.mark.parametrize("content", ["", "x", "k1 zz", "k1 00ff", "k.1 " + "00" * 32, "k1 " + "00" * 32 + " more", "é"])
def test_key_rings_that_are_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "sessions.keys"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(StoreError) as caught:
        SqliteSessions(tmp_path)
    assert caught.value.code == "S053"
    assert "00ff" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_ring_that_others_may_read(tmp_path: Path, mode: int) -> None:
    load_keys(tmp_path / "sessions.keys")
    (tmp_path / "sessions.keys").chmod(mode)
    with pytest.raises(StoreError, match="read by others"):
        SqliteSessions(tmp_path)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        SqliteSessions(tmp_path / "file" / "below")
    assert caught.value.code == "S051"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sessions.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError) as caught:
        SqliteSessions(tmp_path / "data")
    assert caught.value.code == "S051"


@given(value=st.binary(max_size=100), aad=st.binary(max_size=40), place=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_sealing(value: bytes, aad: bytes, place: int, bit: int) -> None:
    ring = KeyRing([NEW, OLD])
    sealed = ring.seal(value, aad)
    assert sealed.startswith(b"v1.new.")
    assert ring.open(sealed, aad) == value
    assert KeyRing([OLD, NEW]).open(sealed, aad) == value
    with pytest.raises(StoreError):
        ring.open(sealed, aad + b"x")
    with pytest.raises(StoreError):
        KeyRing([OLD]).open(sealed, aad)
    altered = bytearray(sealed)
    altered[place % len(sealed)] ^= 1 << bit
    with pytest.raises(StoreError):
        ring.open(bytes(altered), aad)


@given(st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StoreError):
        KeyRing([NEW]).open(data, b"")


def test_without_the_better_cipher(monkeypatch: pytest.MonkeyPatch) -> None:
    better = KeyRing([NEW]).seal(b"value", b"")
    monkeypatch.setattr(session_keys, "_cipher", lambda key: ("g", AESGCM(key)))
    plain = KeyRing([NEW]).seal(b"value", b"")
    assert plain.startswith(b"v1.new.g")
    monkeypatch.undo()
    assert KeyRing([NEW]).open(plain, b"") == KeyRing([NEW]).open(better, b"") == b"value"


def test_an_empty_ring() -> None:
    with pytest.raises(StoreError):
        KeyRing([])


def test_epoch(tmp_path: Path) -> None:
    one, two = Epoch(tmp_path / "e"), Epoch(tmp_path / "e")
    assert one.read() == two.read() == 1
    for each in (one, two, one):
        each.bump()
    assert one.read() == two.read() == 4
    one.close()
    two.close()
