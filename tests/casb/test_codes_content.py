"""Every code that is raised has its page, and no page is left over."""

from __future__ import annotations

import re
from pathlib import Path

import casb
from casb.codes import CODES
from casb.codes_content import ROWS


def test_codes_match_the_sources() -> None:
    root = Path(casb.__file__).parent
    rooms = ["protection", "inspection", "store", "commands", "proxy", "config"]
    text = "".join(path.read_text() for room in rooms for path in (root / room).rglob("*.py"))
    raised = set(re.findall(r'Error\(\s*"([AFK]\d{3})"', text))
    raised |= set(re.findall(r'"(C16\d)"', text))
    # A refusal of `may_open` names the code that is raised for it.
    raised |= set(re.findall(r'(?:", |error: str = )"(F\d{3})"', text))
    assert raised == {row[0] for row in ROWS}


def test_every_row_is_complete() -> None:
    for _, *texts in ROWS:
        assert all(texts[:3])


def test_every_row_can_be_explained() -> None:
    assert {row[0] for row in ROWS} <= set(CODES)
