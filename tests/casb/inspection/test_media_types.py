"""Media types to the groups that policies speak of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.inspection.media_types import OOXML_MAIN, Group, group


@pytest.mark.parametrize(
    ("media_type", "expected"),
    [
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document"),
        ("application/vnd.ms-word.document.macroEnabled.12", "document"),
        ("application/pdf", "document"),
        ("application/PDF; version=1.7", "document"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "spreadsheet"),
        ("application/vnd.ms-excel.sheet.binary.macroenabled.12", "spreadsheet"),
        ("application/vnd.oasis.opendocument.spreadsheet", "spreadsheet"),
        ("application/vnd.ms-powerpoint", "presentation"),
        ("text/plain; charset=utf-8", "text"),
        ("text/csv", "text"),
        ("application/json", "text"),
        ("text/rtf", "document"),
        ("image/svg+xml", "image"),
        ("application/zip", "archive"),
        ("application/vnd.microsoft.portable-executable", "executable"),
        ("text/x-shellscript", "executable"),
        ("video/mp4", "other"),
        ("application/octet-stream", "other"),
        ("", "other"),
        (None, "other"),
    ],
)
def test_group(media_type: str | None, expected: str) -> None:
    assert group(media_type) == expected


@pytest.mark.parametrize("media_type", sorted(set(OOXML_MAIN.values())))
def test_every_office_type_is_an_office_group(media_type: str) -> None:
    assert group(media_type) in {Group.DOCUMENT, Group.SPREADSHEET, Group.PRESENTATION}


@given(st.text())
def test_any_text_has_a_group(text: str) -> None:
    assert group(text) in Group
