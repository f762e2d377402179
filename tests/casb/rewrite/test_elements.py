"""Start tags on their own: mapped, left as the same object, and what rewrites the content behind them."""

from __future__ import annotations

import pytest

from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.elements import Elements
from casb.rewrite.hosts import HostMap
from casb.rewrite.scan import names_to_suffix

APP = RewriteContext(hosts=HostMap("casb.test", 8443, ["app.example"]), host="app.example")
TO = b"app.example.casb.test:8443"


def elements(*, hashed: bool = False) -> Elements:
    return Elements(APP, PagePolicy(hashed=hashed), lambda guard: names_to_suffix(APP.hosts))


@pytest.mark.parametrize(
    ("name", "tag", "expected", "why"),
    [
        (b"a", b"<a href=https://app.example/x>", b"<a href=https://" + TO + b"/x>", "a URL"),
        (b"a", b"<a href='https://app.example/\tx'>", b"<a href='https://" + TO + b"/\tx'>", "what follows stays"),
        (b"a", b"<a href='https://me@app.example/'>", b"<a href='https://me@" + TO + b"/'>", "user information stays"),
        (b"a", b"<a href='/https://app.example/' x='//app.example/'>", None, "a path, and an unknown attribute"),
        (b"a", b"<a href='/\n/app.example/'>", b"<a href='//" + TO + b"/'>", "two slashes to browsers"),
        (b"a", b"<a href='/&sol;app.example/'>", b"<a href='//" + TO + b"/'>", "two slashes to browsers"),
        (b"iframe", b"<iframe srcdoc='//app.example'>", b"<iframe srcdoc='//" + TO + b"'>", "a page in an attribute"),
        (b"script", b"<script src=/a.js INTEGRITY=x async>", None, "what is pinned is not rewritten"),
        (b"p", b"<p title=integrity>", None, "a word"),
    ],
)
def test_start(name: bytes, tag: bytes, expected: bytes | None, why: str) -> None:
    changed = elements().start(name, tag)
    assert changed == (expected or tag), why
    assert expected or changed is tag, "the same object when nothing changes"


@pytest.mark.parametrize(
    ("name", "tag", "hashed", "rewritten", "why"),
    [
        (b"script", b"<script>", False, True, "a script"),
        (b"script", b"<script type=' Module '>", False, True, "a script"),
        (b"script", b"<script type=text/x-unknown>", False, False, "data that only its reader understands"),
        (b"style", b"<style>", False, True, "a style sheet"),
        (b"textarea", b"<textarea>", False, False, "what people edit"),
        (b"script", b"<script>", True, False, "pinned by a hash"),
        (b"style", b"<style>", True, False, "pinned by a hash"),
    ],
)
def test_content(name: bytes, tag: bytes, hashed: bool, rewritten: bool, why: str) -> None:
    assert (elements(hashed=hashed).content(name, tag) is not None) is rewritten, why
