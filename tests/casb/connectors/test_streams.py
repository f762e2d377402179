"""Addresses of engines as an admin writes them."""

import pytest

from casb.connectors.streams import Address, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:/run/clamav/clamd.ctl", Address(path="/run/clamav/clamd.ctl")),
        ("127.0.0.1:3310", Address(host="127.0.0.1", port=3310)),
        ("[::1]:3310", Address(host="::1", port=3310)),
        ("scanner", Address(host="scanner", port=1344)),
    ],
)
def test_good(text: str, expected: Address) -> None:
    assert parse(text, port=1344) == expected


@pytest.mark.parametrize("text", ["unix:relative", "host:", ":3310", "host:0", "host:70000", "a b:1", "host:x", ""])
def test_bad(text: str) -> None:
    with pytest.raises(ValueError, match=r"absolute path|neither"):
        parse(text)
