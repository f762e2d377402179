"""Every code about SAML that is raised has its page, and no page is left over."""

from __future__ import annotations

import re
from pathlib import Path

import casb
from casb.codes import CODES
from casb.codes_saml import ROWS


def test_codes_match_the_sources() -> None:
    root = Path(casb.__file__).parent
    text = "".join(path.read_text() for path in root.rglob("*saml*.py") if path.name != "codes_saml.py")
    raised = set(re.findall(r'"(T0[4-6]\d|C192)"', text))
    assert raised == {row[0] for row in ROWS}


def test_every_row_is_complete_and_can_be_explained() -> None:
    for code, *texts in ROWS:
        assert all(texts[:3]) and texts[1].endswith(".") and not texts[0].endswith(".")
        assert CODES[code].meaning == texts[0]
