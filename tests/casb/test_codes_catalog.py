"""Every code that the catalog raises has its page, and no page is left over."""

from __future__ import annotations

import re
from pathlib import Path

import casb
from casb.codes import CODES
from casb.codes_catalog import ROWS


def test_codes_match_the_sources() -> None:
    root = Path(casb.__file__).parent
    text = "".join(
        path.read_text()
        for room in ("catalog", "store", "connectors", "commands")
        for path in (root / room).glob("*.py")
    )
    raised = set(re.findall(r'"(C2\d{2}|S06[12])"', text))
    assert raised == {row[0] for row in ROWS}


def test_every_row_is_complete_and_can_be_explained() -> None:
    for code, *texts in ROWS:
        assert all(texts[:3])
        assert CODES[code].meaning == texts[0]
