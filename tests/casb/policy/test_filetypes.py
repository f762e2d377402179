"""Media types and their groups."""

from __future__ import annotations

import pytest

from casb.policy.filetypes import GROUPS, NAMES, group_of


@pytest.mark.parametrize(
    ("media_type", "group"),
    [
        ("application/pdf", "document"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "document"),
        ("application/encrypted", "document"),
        ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "spreadsheet"),
        ("application/vnd.ms-excel.sheet.macroenabled.12", "spreadsheet"),
        ("text/csv", "spreadsheet"),
        ("application/vnd.ms-powerpoint", "presentation"),
        ("application/zip", "archive"),
        ("application/vnd.microsoft.portable-executable", "executable"),
        ("text/x-shellscript", "executable"),
        ("image/svg+xml", "image"),
        ("text/plain", "text"),
        ("application/json", "text"),
        ("application/octet-stream", "other"),
        ("", "other"),
    ],
)
def test_group_of(media_type: str, group: str) -> None:
    assert group_of(media_type) == group


def test_every_group_has_types_of_its_own() -> None:
    for group, beginnings in GROUPS.items():
        assert [group_of(each) for each in beginnings] == [group] * len(beginnings)
    assert set(NAMES) == {*GROUPS, "other"}
