"""Which requests without a cookie of ours may go on between the hosts of an app."""

from __future__ import annotations

import pytest

from casb.control import siblings
from casb.control.snapshot import Snapshot
from control_support import snapshot

APPS = {
    "apps/app": "id: app\nname: App\ndomains: [app.example, api.app.example, '*.cdn.app.example']\n",
    "apps/bad": "id: bad\nname: Bad\ndomains: [bad.example]\ntag: unsanctioned\n",
}


@pytest.fixture(scope="module")
def known() -> Snapshot:
    return snapshot(**APPS)


@pytest.mark.parametrize(
    ("fields", "expected", "why"),
    [
        ({b"origin": b"https://app.example.casb.test:8443"}, "app", "a page under the suffix"),
        ({b"origin": b"https://x.cdn.app.example.casb.test:8443"}, "app", "a wildcard's"),
        ({b"referer": b"https://api.app.example.casb.test:8443/p?q"}, "app", "told by the referrer"),
        ({b"origin": b"https://app.example"}, "app", "forward mode"),
        ({b"origin": b"http://app.example"}, None, "not encrypted"),
        ({b"origin": b"https://bad.example"}, None, "unsanctioned"),
        ({b"origin": b"https://evil.test", b"referer": b"https://app.example/"}, None, "the origin counts"),
        ({b"origin": b"null"}, None, "nobody's"),
        ({b"origin": b"https://["}, None, "no address"),
        ({}, None, "nothing"),
    ],
)
def test_whose_page_asks(known: Snapshot, fields: dict[bytes, bytes], expected: str | None, why: str) -> None:
    found = siblings.page_app(fields, known)
    assert (found.id if found else None) == expected, why


def test_what_a_sign_in_opens_as_well(known: Snapshot) -> None:
    app = known.catalog.by_id["app"]
    assert siblings.joined_hosts(app, known, "app.example.casb.test:8443") == ["api.app.example.casb.test:8443"]


FONT = {b"sec-fetch-dest": b"font", b"sec-fetch-site": b"same-site", b"origin": b"https://app.example.casb.test"}
PREFLIGHT = {b"origin": b"https://app.example.casb.test", b"access-control-request-method": b"PUT"}


@pytest.mark.parametrize(
    ("method", "changes", "expected", "why"),
    [
        ("GET", {}, True, "a font"),
        ("HEAD", {}, True, "its head"),
        ("POST", {}, False, "not a reading"),
        ("GET", {b"authorization": b"Bearer x"}, False, "somebody's"),
        ("GET", {b"sec-fetch-dest": b"empty"}, False, "a script's request"),
        ("GET", {b"sec-fetch-dest": b"document"}, False, "a page"),
        ("GET", {b"sec-fetch-site": b"cross-site"}, False, "another site's page"),
        ("GET", {b"content-length": b"3"}, False, "with a body"),
    ],
)
def test_static_parts(method: str, changes: dict[bytes, bytes], expected: bool, why: str) -> None:
    assert siblings.is_static(method, {**FONT, **changes}) is expected, why


@pytest.mark.parametrize(
    ("destination", "status", "content_type", "path", "attachment", "expected", "why"),
    [
        (b"font", 200, "font/woff2", "/f", False, True, "a font"),
        (b"font", 304, "", "/f", False, True, "the browser has it"),
        (b"font", 206, "font/woff2", "/f", False, True, "a range of it"),
        (b"font", 200, "application/octet-stream", "/f.WOFF2", False, True, "an old server's"),
        (b"font", 200, "application/octet-stream", "/plan.docx", False, False, "any file"),
        (b"font", 200, "text/html", "/f.woff", False, False, "a page"),
        (b"font", 200, "font/woff2", "/f", True, False, "a download"),
        (b"font", 404, "font/woff2", "/f", False, False, "an error's body"),
        (b"image", 302, "image/png", "/f", False, False, "elsewhere"),
        (b"script", 200, "text/javascript", "/s", False, True, "a script"),
        (b"script", 200, "application/json", "/s", False, False, "data"),
        (b"style", 200, "text/css", "/s", False, True, "a style sheet"),
        (b"style", 200, "text/csss", "/s", False, False, "something else"),
        (b"image", 200, "image/svg+xml", "/i", False, True, "a picture"),
        (b"image", 200, "image/tiff", "/scan", False, False, "a scan"),
        (b"image", 200, "image/vnd.dwg", "/plan", False, False, "a drawing"),
        (b"image", 200, "text/plain", "/i", False, False, "text"),
        (b"video", 200, "video/mp4", "/v", False, False, "a recording"),
        (b"manifest", 200, "application/json", "/m", False, False, "data"),
        (b"empty", 200, "font/woff2", "/f", False, False, "a script's request"),
    ],
)
def test_kinds(
    destination: bytes, status: int, content_type: str, path: str, attachment: bool, expected: bool, why: str
) -> None:
    assert siblings.is_of_kind(destination, status, content_type, path, attachment=attachment) is expected, why


def test_a_part_is_asked_for_by_nobody() -> None:
    fields = [(b"Host", b"a"), (b"Cookie", b"sid=1"), (b"Authorization", b"Bearer x"), (b"Accept", b"*/*")]
    assert siblings.bare(fields) == [(b"Host", b"a"), (b"Accept", b"*/*")]


@pytest.mark.parametrize(
    ("method", "fields", "expected"),
    [
        ("OPTIONS", PREFLIGHT, True),
        ("OPTIONS", {**PREFLIGHT, b"content-length": b"5"}, False),
        ("OPTIONS", {**PREFLIGHT, b"transfer-encoding": b"chunked"}, False),
        ("OPTIONS", {b"origin": b"https://app.example"}, False),
        ("POST", PREFLIGHT, False),
    ],
)
def test_preflights(method: str, fields: dict[bytes, bytes], expected: bool) -> None:
    assert siblings.is_preflight(method, fields) is expected


def test_a_question_goes_on_bare() -> None:
    fields = [
        (b"Host", b"api.example.casb.test"),
        (b"Origin", b"https://app.example.casb.test"),
        (b"Access-Control-Request-Headers", b"x-token, x-casb-anonymous"),
        (b"Cookie", b"who=ada"),
        (b"Authorization", b"Bearer x"),
        (b"X-Anything", b"1"),
    ]
    assert [name for name, _ in siblings.question(fields)] == [b"Host", b"Origin", b"Access-Control-Request-Headers"]
    assert siblings.question(fields)[-1][1] == b"x-token"
    assert siblings.question([(b"access-control-request-headers", b"x-casb-anonymous")]) == []


@pytest.mark.parametrize(
    ("headers", "method", "expected"),
    [
        (b"x-casb-anonymous", b"GET", True),
        (b"x-casb-anonymous", b"PUT", False),
        (b"x-casb-anonymous,x-token", b"GET", False),
        (b"x-token", b"GET", False),
    ],
)
def test_what_we_answer_alone(headers: bytes, method: bytes, expected: bool) -> None:
    fields = {b"access-control-request-headers": headers, b"access-control-request-method": method}
    assert siblings.ours_alone(fields) is expected


def test_an_answer_has_nothing_but_the_answer() -> None:
    fields = [
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Set-Cookie", b"a=b"),
        (b"X-Secret", b"1"),
        (b"Vary", b"Origin"),
    ]
    assert [name for name, _ in siblings.answer(fields)] == [b"Access-Control-Allow-Origin", b"Vary"]


ORIGIN = b"https://app.example.casb.test"


@pytest.mark.parametrize(
    ("allowed", "admitted"),
    [(b"*", True), (ORIGIN, True), (b"https://other.example.casb.test", False), (b"null", False)],
)
def test_who_may_read_stays_the_apps_word(allowed: bytes, admitted: bool) -> None:
    fields = siblings.opened([(b"Access-Control-Allow-Origin", allowed), (b"Set-Cookie", b"a=b")], ORIGIN)
    found = dict(fields)
    assert (b"access-control-allow-credentials" in found) is admitted
    assert found[b"Access-Control-Allow-Origin"] == (ORIGIN if admitted else allowed)
    assert b"Set-Cookie" not in found


def test_no_word_admits_nobody() -> None:
    assert siblings.opened([(b"content-type", b"text/plain")], ORIGIN) == [(b"content-type", b"text/plain")]


def test_an_opened_preflight_names_what_was_asked() -> None:
    asked = {
        b"access-control-request-headers": b"x-casb-anonymous,x-token",
        b"access-control-request-method": b"PUT",
    }
    fields = [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-headers", b"*"),
        (b"access-control-allow-methods", b"*"),
    ]
    found = dict(siblings.opened(fields, ORIGIN, asked=asked))
    assert found[b"access-control-allow-headers"] == b"x-casb-anonymous,x-token"
    assert found[b"access-control-allow-methods"] == b"PUT"
    named = dict(
        siblings.opened(
            [(b"access-control-allow-origin", ORIGIN), (b"access-control-allow-headers", b"x-token")],
            ORIGIN,
            asked=asked,
        )
    )
    assert named[b"access-control-allow-headers"] == b"x-token, x-casb-anonymous"


def test_exposed_headers_are_named() -> None:
    fields = [(b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", b"*"), (b"x-total", b"7")]
    assert dict(siblings.opened(fields, ORIGIN))[b"access-control-expose-headers"] == b"x-total"
