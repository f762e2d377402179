"""Protected files: lines to rows, look-ups, and what an administrator says afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.protection.encrypt import HandOver
from casb.store.protected_sqlite import ProtectedFiles, line_of, opening_of, row_of

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)


def line(file: str = "f1", **more: Any) -> dict[str, Any]:
    facts = HandOver(file=file, user="t/ada", user_name="ada@contoso.example", name="q3_100%.xlsx", app="files")
    made: dict[str, Any] = line_of(
        facts, "office", NOW, sha256="a" * 64, key_id="k1", secret=b"wrapped", recovery=b"age"
    )
    return made | more


@pytest.fixture
def files(tmp_path: Path) -> ProtectedFiles:
    made = ProtectedFiles(tmp_path)
    assert (
        made.keep([row_of(line()), row_of(line("f2", user="t/bob", sha256="", time="2026-03-02T09:00:00.000Z"))]) == 2
    )
    return made


def test_a_line_comes_back(files: ProtectedFiles) -> None:
    found = files.get("f1")
    assert found is not None
    assert (found.facts.name, found.facts.user, found.format) == ("q3_100%.xlsx", "t/ada", "office")
    assert (found.secret, found.recovery, found.key_id, found.time) == (b"wrapped", b"age", "k1", NOW)
    assert files.by_digest("a" * 64) == found
    assert files.by_digest("") is None
    assert files.get("f3") is None


def test_a_line_that_comes_again_changes_nothing(files: ProtectedFiles) -> None:
    files.revoke("f1", "grace", NOW)
    assert files.keep([row_of(line(name="other.xlsx"))]) == 0
    found = files.get("f1")
    assert found is not None
    assert (found.facts.name, found.standing.revoked) == ("q3_100%.xlsx", True)


def test_revoke_restore_expire(files: ProtectedFiles) -> None:
    assert files.revoke("f1", "grace", NOW)
    assert not files.revoke("f1", "grace", NOW), "once"
    assert not files.revoke("f9", "grace", NOW)
    found = files.get("f1")
    assert found is not None
    assert (found.revoked, found.revoked_by) == (NOW, "grace")
    assert files.restore("f1")
    assert not files.restore("f1")
    assert files.expire("f1", NOW + timedelta(days=1))
    found = files.get("f1")
    assert found is not None
    assert (found.standing.revoked, found.standing.expires) == (False, NOW + timedelta(days=1))


def test_openings_are_counted_once(files: ProtectedFiles) -> None:
    files.keep([], [("o1", "f1"), ("o2", "f1")])
    files.keep([], [("o1", "f1")])
    assert [each.opened for each in files.search("q3")] == [0, 2]


@pytest.mark.parametrize(
    ("words", "ids"),
    [("", ["f2", "f1"]), ("100%", ["f2", "f1"]), ("q3%x", []), ("_", ["f2", "f1"]), ("t/bob", ["f2"]), ("' OR 1", [])],
)
def test_search(files: ProtectedFiles, words: str, ids: list[str]) -> None:
    assert [each.facts.file for each in files.search(words)] == ids


def test_what_is_shown_opens_nothing(files: ProtectedFiles) -> None:
    found = files.get("f1")
    assert found is not None
    shown = json.dumps(found.as_json())
    assert "secret" not in shown
    assert "recovery" not in shown
    assert [each.facts.file for each in files.of_user("t/ada")] == ["f1"]
    assert files.keys() == {"k1": 2}


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "a b"},
        {"sha256": "x"},
        {"time": "yesterday"},
        {"name": 7},
        {"name": "x" * 5000},
        {"secret": "?"},
        {"secret": "A" * 20_000},
        {"user": None},
    ],
    ids=[
        "no id",
        "an id with a space",
        "a digest",
        "a time",
        "a number",
        "a long name",
        "no base64",
        "a long key",
        "no user",
    ],
)
def test_a_line_that_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match="S031"):
        row_of(line(**change))


@given(st.dictionaries(st.sampled_from(sorted(line())), st.none() | st.integers() | st.text(max_size=20)))
def test_any_line_is_a_row_or_an_error(change: dict[str, Any]) -> None:
    for read in (row_of, opening_of):
        try:
            read(line(**change))
        except StoreError:
            continue
