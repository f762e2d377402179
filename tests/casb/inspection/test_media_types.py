"""Every type that we detect belongs to a group that policies speak of."""

from __future__ import annotations

import pytest

from casb.inspection import media_types
from casb.inspection.media_types import OOXML_MAIN
from casb.policy.filetypes import group_of


@pytest.mark.parametrize("media_type", sorted(set(OOXML_MAIN.values())))
def test_every_office_type_is_in_an_office_group(media_type: str) -> None:
    assert group_of(media_type) in {"document", "spreadsheet", "presentation"}


@pytest.mark.parametrize(
    ("media_type", "group"),
    [
        (media_types.PDF, "document"),
        (media_types.DOCX, "document"),
        (media_types.XLSX, "spreadsheet"),
        (media_types.PPTX, "presentation"),
        (media_types.ENCRYPTED_OFFICE, "document"),
        (media_types.ZIP, "archive"),
        (media_types.TEXT, "text"),
        ("application/java-archive", "executable"),
        ("text/x-shellscript", "executable"),
        ("message/rfc822", "text"),
        ("application/vnd.ms-outlook", "document"),
        (media_types.AGE, "other"),
        (media_types.OLE, "other"),
        (media_types.OCTETS, "other"),
    ],
)
def test_groups(media_type: str, group: str) -> None:
    assert group_of(media_type) == group
