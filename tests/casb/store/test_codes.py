"""Every code that is raised is explained."""

from __future__ import annotations

import re
from pathlib import Path

from casb.store.codes import CODES

ADDONS = Path(__file__).parents[3] / "addons/casb"
FILES = (
    "store/spool.py",
    "store/held.py",
    "store/pieces.py",
    "store/quarantine.py",
    "store/quarantine_desk.py",
    "store/shipper.py",
    "store/schema.py",
    "store/row.py",
    "store/filters.py",
    "store/records_sqlite.py",
    "store/token.py",
    "store/postgres.py",
    "sidecar/signin.py",
)


def test_every_code_is_explained_and_used() -> None:
    texts = [(ADDONS / name).read_text() for name in FILES]
    raised = {code for text in texts for code in re.findall(r'StoreError\(\s*"(S\d{3})"', text)}
    assert raised == set(CODES)
    assert all(sentence.endswith(".") for sentence in CODES.values())
