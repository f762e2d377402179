"""Every code that is raised has its sentence, and no sentence is left over."""

from __future__ import annotations

import re
from pathlib import Path

import casb
from casb.protection.codes import CODES


def test_codes_match_the_sources() -> None:
    rooms = [Path(casb.__file__).parent / room for room in ("protection", "store", "commands")]
    text = "".join(path.read_text() for room in rooms for path in room.glob("*.py") if path.name != "codes.py")
    assert set(re.findall(r'"(F\d{3})"', text)) == set(CODES)
