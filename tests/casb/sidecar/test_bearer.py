"""Bearer tokens in a header."""

from __future__ import annotations

import pytest
from fastapi import Request

from casb.settings import Secret
from casb.sidecar.bearer import bearer, same


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer  abc ", "abc"),
        (b"Bearer", None),
        (b"Bearer ", None),
        (b"Basic abc", None),
        (b"Bearerabc", None),
        (b"", None),
    ],
)
def test_the_token_of_a_request(header: bytes, expected: str | None) -> None:
    assert bearer(Request({"type": "http", "headers": [(b"authorization", header)]})) == expected


def test_only_the_same_is_the_same() -> None:
    assert same("abc", Secret("abc"))
    for other in ("", "ab", "abcd", "abC", "äbc", "…"):
        assert not same(other, Secret("abc"))
