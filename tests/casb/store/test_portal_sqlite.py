"""The portal's small tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from casb.store.portal_sqlite import ADMIN, VIEWER, AdminSession, PortalStore
from casb.store.records_sqlite import Database

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PortalStore]:
    database = Database(tmp_path / "casb.db")
    yield PortalStore(database)
    database.close()


def session(name: str = "ada", provider: str = "local") -> AdminSession:
    return AdminSession(name=name, role=ADMIN, provider=provider, created=NOW, seen=NOW, expires=NOW + 10 * HOUR)


def test_the_first_account_is_made_once(store: PortalStore) -> None:
    assert store.add_account("ada", ADMIN, "hash", NOW, first=True)
    assert not store.add_account("eve", ADMIN, "hash", NOW, first=True)
    assert not store.add_account("ada", VIEWER, "other", NOW)
    account = store.account("ada")
    assert account is not None
    assert (account.role, account.password, account.created) == (ADMIN, "hash", NOW)
    assert store.account("eve") is None


def test_the_last_admin_stays(store: PortalStore) -> None:
    store.add_account("ada", ADMIN, "hash", NOW)
    store.add_account("vic", VIEWER, "hash", NOW)
    assert not store.remove_account("ada")
    assert store.remove_account("vic")
    assert not store.remove_account("vic")
    store.add_account("bob", ADMIN, "hash", NOW)
    assert store.remove_account("ada")


def test_sessions_end_by_idleness_by_age_and_by_hand(store: PortalStore) -> None:
    store.add_session(b"k", session())
    assert store.session(b"k", NOW + timedelta(minutes=59), HOUR) is not None
    assert store.session(b"k", NOW + timedelta(minutes=118), HOUR) is not None  # it was used in between
    assert store.session(b"k", NOW + timedelta(minutes=178), HOUR) is None
    assert store.session(b"k", NOW, HOUR) is None  # and it stays ended
    store.add_session(b"l", session())
    assert store.session(b"l", NOW + 10 * HOUR, 24 * HOUR) is None
    store.add_session(b"m", session())
    store.drop_session(b"m")
    assert store.session(b"m", NOW, HOUR) is None


def test_a_new_password_and_a_removal_end_local_sessions_only(store: PortalStore) -> None:
    store.add_account("ada", ADMIN, "hash", NOW)
    store.add_account("bob", ADMIN, "hash", NOW)
    for key, each in ((b"a", session()), (b"b", session("bob")), (b"c", session("ada", "entra"))):
        store.add_session(key, each)
    store.set_password("ada", "new")
    store.remove_account("bob")
    assert [store.session(key, NOW, HOUR) is None for key in (b"a", b"b", b"c")] == [True, True, False]


def test_a_flow_is_taken_once_and_in_time(store: PortalStore) -> None:
    store.put_flow(b"k", "value", NOW, HOUR)
    assert store.take_flow(b"k", NOW) == "value"
    assert store.take_flow(b"k", NOW) is None
    store.put_flow(b"l", "value", NOW, HOUR)
    assert store.take_flow(b"l", NOW + HOUR) is None


def test_failures_lock_longer_and_longer(store: PortalStore) -> None:
    def fail(times: int) -> None:
        for _ in range(times):
            store.note_failure(["ip x"], NOW, free=3, first=timedelta(seconds=30), most=timedelta(minutes=2))

    fail(2)
    assert store.locked_until(["ip x"], NOW) is None
    fail(1)
    assert store.locked_until(["ip x", "name y"], NOW) == NOW + timedelta(seconds=30)
    assert store.locked_until(["name y"], NOW) is None
    fail(1)
    assert store.locked_until(["ip x"], NOW) == NOW + timedelta(seconds=60)
    fail(5)
    assert store.locked_until(["ip x"], NOW) == NOW + timedelta(minutes=2)
    assert store.locked_until(["ip x"], NOW + timedelta(minutes=2)) is None
    store.forgive(["ip x"])
    fail(2)
    assert store.locked_until(["ip x"], NOW) is None


def test_read_tokens(store: PortalStore) -> None:
    store.add_token("t1", b"digest", "SIEM", "ada", NOW)
    assert store.use_token(b"other", NOW) is None
    used = store.use_token(b"digest", NOW + HOUR)
    assert used is not None
    assert used.label == "SIEM"
    assert [each.used for each in store.tokens()] == [NOW + HOUR]
    removed = store.remove_token("t1")
    assert removed is not None
    assert store.use_token(b"digest", NOW) is None
    assert store.remove_token("t1") is None


def test_the_audit_log_pages_backwards(store: PortalStore) -> None:
    for number in range(5):
        store.note("ada", "192.0.2.1", "did", NOW, number=number)
    first = store.audit(limit=2)
    assert [each.detail["number"] for each in first] == [4, 3]
    assert [each.detail["number"] for each in store.audit(before=first[-1].seq)] == [2, 1, 0]


def test_only_the_last_word_of_a_proxy_counts(store: PortalStore) -> None:
    store.put_status("edge", {"workers": 1}, NOW)
    store.put_status("edge", {"workers": 2}, NOW + HOUR)
    assert [(each.name, each.time, each.facts) for each in store.statuses()] == [("edge", NOW + HOUR, {"workers": 2})]
