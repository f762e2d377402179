"""Bodies of every class through the engine, whole and byte by byte, against what `tests/vectors/rewrite` expects."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from casb.rewrite.body import BodyRewriter, request_rewriter_for, rewriter_for
from casb.rewrite.context import RewriteContext
from casb.rewrite.hosts import HostMap

FOLDER = Path(__file__).parents[1] / "vectors" / "rewrite"
HOSTS = HostMap("s.test", 443, ["app.example", "cdn.example", "*.wild.example"])


def cases(*names: str) -> list[tuple[str, str, str, bytes, bytes]]:
    found = []
    for name in names:
        table = yaml.safe_load((FOLDER / name).read_text("utf-8"))
        for case in table["cases"]:
            kind, destination = case.get("type", table.get("type", "")), case.get("for", table.get("for", ""))
            body = case["in"].encode()
            found.append((f"{name}: {case['why']}", kind, destination, body, case.get("out", case["in"]).encode()))
    return found


def through(rewriter: BodyRewriter | None, body: bytes, step: int) -> bytes:
    if rewriter is None:
        return body
    out = [rewriter.feed(body[at : at + step]) for at in range(0, len(body), step)]
    return b"".join([*out, rewriter.finish()])


@pytest.mark.parametrize(
    ("why", "kind", "destination", "body", "expected"), cases("html.yaml", "text.yaml", "xml.yaml")
)
def test_outward(why: str, kind: str, destination: str, body: bytes, expected: bytes) -> None:
    context = RewriteContext(hosts=HOSTS, host="app.example", destination=destination)
    for step in (len(body), 7, 1):
        assert through(rewriter_for(kind, "", context), body, step) == expected, why


@pytest.mark.parametrize(("why", "kind", "destination", "body", "expected"), cases("inward.yaml"))
def test_inward(why: str, kind: str, destination: str, body: bytes, expected: bytes) -> None:
    context = RewriteContext(hosts=HOSTS, host="app.example", destination=destination)
    for step in (len(body), 7, 1):
        assert through(request_rewriter_for(kind, context), body, step) == expected, why
