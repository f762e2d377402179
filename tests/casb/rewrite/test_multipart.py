"""Forms with files: fields are mapped back, files never touched."""

from __future__ import annotations

import pytest

from casb.rewrite.hosts import HostMap
from casb.rewrite.multipart import MultipartRewriter

HOSTS = HostMap("casb.test", 8443, ["app.example"])
FROM, TO = b"https://app.example.casb.test:8443/", b"https://app.example/"


def body(*parts: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"--B\r\n" + head + b"\r\n\r\n" + value + b"\r\n" for head, value in parts) + b"--B--\r\n"


FIELD = b'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    ("head", "value", "expected", "why"),
    [
        (FIELD, FROM, TO, "a field"),
        (FIELD.upper(), FROM, TO, "any case"),
        (FIELD, b"", b"", "an empty field"),
        (FIELD + b'; filename="f.txt"', FROM, FROM, "a file"),
        (FIELD + b"; filename*=utf-8''f", FROM, FROM, "a file"),
        (FIELD + b'; filename=""', FROM, FROM, "an empty file name is a file"),
        (b"Content-Type: text/plain\r\n" + FIELD + b"; FileName=f", FROM, FROM, "a file, header second"),
        (b'Content-Disposition: form-data; name="filename"', FROM, TO, "a field called filename"),
        (FIELD, b"x--B " + FROM, b"x--B " + TO, "not a delimiter: no line break before it"),
    ],
)
def test_parts(head: bytes, value: bytes, expected: bytes, why: str) -> None:
    rewriter = MultipartRewriter(HOSTS, b"B")
    data = body((FIELD, FROM), (head, value), (FIELD, FROM))
    out = rewriter.feed(data) + rewriter.finish()
    assert out == body((FIELD, TO), (head, expected), (FIELD, TO)), why


@pytest.mark.parametrize("data", [b"", b"\r\n", FROM, b"--B\r\n" + b"x" * 20_000 + FROM, b"--B--\r\n" + FROM])
def test_what_is_no_form_passes(data: bytes) -> None:
    rewriter = MultipartRewriter(HOSTS, b"B")
    assert rewriter.feed(data) + rewriter.finish() == data


def test_a_large_file_is_not_held_back() -> None:
    rewriter = MultipartRewriter(HOSTS, b"B")
    rewriter.feed(b"--B\r\n" + FIELD + b'; filename="f"\r\n\r\n')
    assert sum(len(rewriter.feed(b"\r\n-" * 10_000)) for _ in range(10)) > 299_900
