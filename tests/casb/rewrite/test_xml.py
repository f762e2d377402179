"""XML: signed documents, what never ends, and cutting. The classes are in `tests/vectors/rewrite/xml.yaml`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap
from casb.rewrite.xml import XmlRewriter, is_signed

APP = RewriteContext(hosts=HostMap("s.test", 443, ["app.example"]), host="app.example")
PIECES = st.sampled_from(
    [b"<a href='https://app.example/'>", b"</a>", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?x", b"?>", b"]>",
     b"<!DOCTYPE r [", b"<link>",
     b"https://app.example/", b"<script>", b"'", b'"', b"<", b">", b"/", b"x", b"\xff", b"<a b='", b" xmlns='https://app.example/'"]
)  # fmt: skip


def rewritten(data: bytes, step: int, *, guard: bool = False) -> bytes:
    rewriter = XmlRewriter(APP, PagePolicy(), guard=guard)
    return b"".join(rewriter.feed(data[at : at + step]) for at in range(0, len(data), step)) + rewriter.finish()


@given(st.lists(PIECES, max_size=14).map(b"".join))
def test_any_cut_gives_the_same(data: bytes) -> None:
    whole = rewritten(data, len(data) or 1)
    assert rewritten(data, 1) == whole
    assert whole.replace(b".s.test", b"") == data


def test_signed() -> None:
    assert is_signed(b'<r><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"/></r>')
    assert not is_signed(b"<r/>")


def test_what_never_ends_comes_out() -> None:
    assert rewritten(b"<a b='" + b"x" * 100_000, 4096) == b"<a b='" + b"x" * 100_000
