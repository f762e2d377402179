"""Digests in text, and bodies that have one of them."""

from __future__ import annotations

import base64
import hashlib

import pytest

from casb.rewrite.hosts import HostMap
from casb.rewrite.integrity import Unless, Witness, digests
from casb.rewrite.scan import names_to_suffix

HOSTS = HostMap("s.test", 443, ["app.example"])
BODY = b"go('https://app.example/')"
DIGEST = hashlib.sha384(BODY).digest()
NAMED = b"sha384-" + base64.b64encode(DIGEST)


@pytest.mark.parametrize(
    ("text", "found", "why"),
    [
        (b'<script integrity="' + NAMED + b'">', {DIGEST}, "an attribute"),
        (b'{"1":"' + NAMED + b'","2":"sha256-x"}', {DIGEST}, "a table of chunks, and what is no digest"),
        (b"sha384-" + base64.urlsafe_b64encode(DIGEST), {DIGEST}, "the alphabet of URLs"),
        (b"sha256-" + base64.b64encode(DIGEST), set(), "the length of another algorithm"),
        (NAMED + b"A", set(), "longer than a digest"),
        (b"nothing", set(), "no digest"),
    ],
)
def test_digests(text: bytes, found: set[bytes], why: str) -> None:
    assert digests(text) == found, why


def test_a_witness_tells_before_the_text_has_passed() -> None:
    told: set[bytes] = set()
    witness = Witness(names_to_suffix(HOSTS), told.update)
    text = b"x" * 500 + NAMED + b'"' + b"x" * 500
    for at in range(0, len(text), 7):
        witness.feed(text[at : at + 7])
    witness.finish()
    assert told == {DIGEST}


@pytest.mark.parametrize("step", [1, 5, 1000])
@pytest.mark.parametrize(("limit", "pinned"), [(1000, True), (1000, False), (4, True)])
def test_a_pinned_body_stays(step: int, limit: int, pinned: bool) -> None:
    rewriter = Unless(
        names_to_suffix(HOSTS), lambda body: pinned and hashlib.sha384(body).digest() == DIGEST, limit=limit
    )
    out = b"".join(rewriter.feed(BODY[at : at + step]) for at in range(0, len(BODY), step)) + rewriter.finish()
    kept = pinned and limit > len(BODY)
    assert out == (BODY if kept else BODY.replace(b"app.example", b"app.example.s.test"))
