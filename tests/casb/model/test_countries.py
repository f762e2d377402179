"""The country codes."""

from __future__ import annotations

from casb.model.countries import CODES


def test_the_codes_are_two_capital_letters_once_each() -> None:
    assert all(len(code) == 2 and code.isascii() and code.isupper() for code in CODES)
    assert len(set(CODES)) == len(CODES) == 250
    assert {"DE", "NO", "GB", "US", "XK"} <= set(CODES)
    assert "UK" not in CODES
