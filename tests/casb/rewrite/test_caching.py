"""Validators, freshness and ranges of rewritten bodies, there and back."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import pytest

from casb.rewrite.caching import Field, conditions, private, unstored, version_of, versioned, was_rewritten
from casb.rewrite.hosts import HostMap

V = "0123abcd"
OTHER = "ffffffff"


def fields(text: str) -> list[Field]:
    return [
        (name.encode(), value.strip().encode())
        for name, _, value in (row.partition(":") for row in text.split("|") if row)
    ]


def one(found: list[Field], name: bytes) -> bytes | None:
    values = [value for key, value in found if key.lower() == name]
    return b", ".join(values) if values else None


@pytest.mark.parametrize(
    ("head", "etag", "control", "why"),
    [
        ('ETag: "a"', b'W/"a.casb-s0123abcd"', b"private", "strong"),
        ('ETag: W/"a"', b'W/"a.casb-w0123abcd"', b"private", "weak"),
        ("ETag: a", None, b"private", "none that could be sent back"),
        ("Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT|Date: Mon, 01 Jan 2024 01:00:00 GMT", b'W/"casb-m0123abcd"', b"private", "a date gets a version"),
        ("Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT", b'W/"casb-m0123abcd"', b"private, max-age=3600", "a browser would guess how long"),
        ("Cache-Control: public, max-age=31536000, immutable", None, b"private, max-age=3600", "for a year, for all"),
        ("Cache-Control: max-age=60, s-maxage=900", None, b"private, max-age=60", "as short as it was"),
        ("Cache-Control: no-store", None, b"private, no-store", "never"),
        ("Cache-Control: max-age=x", None, b"private, max-age=0", "nonsense is stale"),
        ("Date: Mon, 01 Jan 2024 00:00:00 GMT|Expires: Tue, 02 Jan 2024 00:00:00 GMT", None, b"private, max-age=3600", "a day by its date"),
        ("Expires: 0|Date: Mon, 01 Jan 2024 00:00:00 GMT", None, b"private", "stale"),
    ],
)  # fmt: skip
def test_outward(head: str, etag: bytes | None, control: bytes, why: str) -> None:
    out = versioned(fields(head), V, purpose=False)
    assert one(out, b"etag") == etag, why
    assert one(out, b"cache-control") == control, why
    assert one(out, b"vary") == b"Accept-Encoding"
    assert one(out, b"accept-ranges") is None


def test_a_page_of_one_moment_is_not_stored() -> None:
    head = 'Cache-Control: public, max-age=9|ETag: "1"|Last-Modified: x|Expires: y|Vary: Cookie|Content-Type: text/html'
    out = unstored(fields(head))
    assert {name.lower() for name, _ in out} == {b"cache-control", b"vary", b"content-type"}
    assert one(out, b"cache-control") == b"private, no-store"


def test_pages_depend_on_their_purpose() -> None:
    out = versioned(fields("Vary: Cookie|Accept-Ranges: bytes"), V, purpose=True)
    assert one(out, b"vary") == b"Cookie, Accept-Encoding, Sec-Fetch-Dest, Sec-Fetch-Mode"


@pytest.mark.parametrize(
    ("head", "expected", "why"),
    [
        ("", b"private", "a shared cache may guess"),
        ("Cache-Control: public, max-age=9", b"private, max-age=9", "for this browser alone"),
        ("Cache-Control: private, max-age=9", b"private, max-age=9", "already"),
        ("Cache-Control: private, s-maxage=9", b"private", "a contradiction"),
        ("Cache-Control: no-store", b"no-store", "already"),
        ("CDN-Cache-Control: max-age=9", b"private", "not for those in front of us"),
    ],
)
def test_what_is_not_rewritten_is_private_too(head: str, expected: bytes, why: str) -> None:
    out = private(fields(head))
    assert one(out, b"cache-control") == expected, why
    assert one(out, b"cdn-cache-control") is None


@pytest.mark.parametrize(
    ("head", "expected", "why"),
    [
        ('If-None-Match: W/"a.casb-s0123abcd"', 'If-None-Match: "a"', "the origin's own, strong"),
        (
            'If-None-Match: "a.casb-w0123abcd", "b"',
            'If-None-Match: W/"a", "b"',
            "the origin's own, weak; another stays",
        ),
        ('If-None-Match: W/"a.casb-sffffffff"|If-Modified-Since: x', "", "rewritten under another map: anew"),
        ('If-None-Match: W/"casb-m0123abcd"|If-Modified-Since: x', "If-Modified-Since: x", "asked for by its date"),
        ("If-Modified-Since: x", "If-Modified-Since: x", "no tag"),
        ("If-None-Match: *", "If-None-Match: *", "any"),
        ('Range: bytes=0-9|If-Range: W/"a.casb-s0123abcd"', "", "a part of another body must not be joined"),
        ('Range: bytes=0-9|If-Range: "a"', 'Range: bytes=0-9|If-Range: "a"', "not rewritten"),
    ],
)
def test_reading(head: str, expected: str, why: str) -> None:
    assert conditions(fields(head), V, method="GET", destination="empty") == fields(expected), why


@pytest.mark.parametrize(
    ("head", "expected", "why"),
    [
        ('If-Match: W/"a.casb-s0123abcd"', 'If-Match: "a"', "strong again, as writes ask for"),
        ('If-Match: "a.casb-sffffffff"', 'If-Match: "a"', "the resource is the same under any map"),
        ("If-None-Match: *", "If-None-Match: *", "only when there is none"),
    ],
)
def test_writing(head: str, expected: str, why: str) -> None:
    assert conditions(fields(head), V, method="PUT", destination="empty") == fields(expected), why


def test_no_part_of_what_is_used_whole() -> None:
    head = fields("Range: bytes=5-")
    assert conditions(head, V, method="GET", destination="script") == []
    assert conditions(head, V, method="GET", destination="video") is head


def test_a_tag_comes_back() -> None:
    for tag in ('"a"', 'W/"a"', '""', 'W/"x.y-z"', '"a.casb-s00000000"'):
        marked = one(versioned(fields(f"ETag: {tag}"), V, purpose=False), b"etag") or b""
        back = conditions([(b"If-None-Match", marked)], V, method="GET", destination="")
        assert back == [(b"If-None-Match", tag.encode())]
        assert was_rewritten(marked, V) and not was_rewritten(marked, OTHER)


def test_the_version_changes_with_the_map() -> None:
    one_map, two = HostMap("s.test", 443, ["a.example"]), HostMap("s.test", 443, ["a.example", "b.example"])
    assert version_of(one_map) == version_of(HostMap("s.test", 443, ["a.example"]))
    assert (
        len(
            {
                version_of(one_map),
                version_of(two),
                version_of(one_map, "origin"),
                version_of(HostMap("s.test", 444, ["a.example"])),
            }
        )
        == 4
    )
