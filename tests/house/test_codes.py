"""Every error code that the source raises can be explained."""

from __future__ import annotations

import re
from pathlib import Path

from casb import codes
from casb.identity import tokens
from casb.store import codes as store_codes

SOURCE = Path(__file__).resolve().parents[2] / "addons" / "casb"
RAISED = re.compile(r'"([A-Z]\d{3})"\s*,\s*f?"')


def test_every_code_that_is_raised_has_its_page() -> None:
    explained = {*codes.CODES, *tokens.CODES, *store_codes.CODES}
    raised = {code for path in SOURCE.rglob("*.py") for code in RAISED.findall(path.read_text())}
    assert len(raised) > 60
    assert sorted(raised - explained) == []
