"""Rows of the quarantine: lines that are none, states that follow each other, and who may release."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store.quarantine_sqlite import AT_LEAST, QuarantinedFiles, row_of

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
LINE: dict[str, Any] = {
    "kind": "quarantine",
    "id": "01A",
    "time": "2026-03-02T08:00:00Z",
    "user": "t/ada",
    "user_name": "ada@contoso.example",
    "app": "files",
    "app_name": "Company Files",
    "policy": "p",
    "name": "50% off_x.txt",
    "type": "text/plain",
    "sha256": "a" * 64,
    "size": 5,
    "until": "2026-03-03T08:00:00Z",
    "failure": "",
    "facts": {"reasons": []},
}


@pytest.fixture
def files(tmp_path: Path) -> QuarantinedFiles:
    made = QuarantinedFiles(tmp_path)
    made.keep([row_of(LINE), row_of(LINE | {"id": "01B", "user": "t/bea", "failure": "full", "sha256": ""})])
    return made


def states(files: QuarantinedFiles) -> dict[str, str]:
    return {each.id: each.state for each in files.search()}


def test_rows_are_found_by_words_state_and_person(files: QuarantinedFiles) -> None:
    assert states(files) == {"01A": "kept", "01B": "failed"}
    assert [each.id for each in files.search("50% off_x", "kept")] == ["01A"]
    assert files.search("50_") == []
    assert [each.id for each in files.of_user("t/ada")] == ["01A"]
    assert files.of_user("t/bea") == []  # it is not there
    assert files.keep([row_of(LINE)]) == 0


def test_a_release_takes_somebody_else_where_two_are_needed(files: QuarantinedFiles) -> None:
    assert not files.release("01A", "grace", "w", NOW, two=True)
    assert files.ask("01A", "grace", "w", NOW)
    assert not files.release("01A", "grace", "w", NOW, two=True)
    assert files.release("01A", "heidi", "w", NOW, two=True)
    found = files.get("01A")
    assert found is not None
    assert (found.state, found.changed_by, found.asked_by) == ("released", "heidi", "grace")
    assert found.until == NOW + AT_LEAST
    assert not files.release("01A", "ivan", "w", NOW)


def test_what_has_run_out_is_not_released(files: QuarantinedFiles) -> None:
    late = NOW + timedelta(days=2)
    assert not files.release("01A", "grace", "w", late)
    assert [each.id for each in files.due(late)] == ["01A"]
    assert files.end("01A", "expired", "casb", "", late)
    assert not files.end("01A", "deleted", "grace", "", late)
    assert not files.release("01B", "grace", "w", NOW)
    assert files.purge(NOW) == 0
    assert files.purge(late) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../x"},
        {"sha256": "x"},
        {"size": -1},
        {"size": "5"},
        {"until": "soon"},
        {"facts": []},
        {"name": None},
        {"policy": "p" * 5000},
        {"failure": 1},
    ],
    ids=str,
)
def test_a_line_that_is_none_is_told(change: dict[str, Any]) -> None:
    with pytest.raises(StoreError) as caught:
        row_of(LINE | change)
    assert caught.value.code == "S031"


_ANY = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.integers(), max_size=2))


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(sorted(LINE)), _ANY, max_size=6))
def test_any_line_is_a_row_or_an_error(change: dict[str, Any]) -> None:
    try:
        assert len(row_of(LINE | change)) == 16
    except StoreError as error:
        assert error.code == "S031"
