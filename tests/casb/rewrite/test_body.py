"""Which bodies are changed: by type, charset, purpose; and the way through the codings."""

# ruff: noqa: E501  # a table reads best with one row per case
from __future__ import annotations

import gzip
from dataclasses import replace

import pytest
import zstandard

from casb.errors import ContentError
from casb.rewrite.body import kind_of, media_type, recoded, request_rewriter_for, rewriter_for
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.hosts import HostMap

HOSTS = HostMap("casb.test", 8443, ["app.example"])
APP = RewriteContext(hosts=HOSTS, host="app.example", destination="document", mode="navigate")
NO_SUFFIX = replace(APP, hosts=HostMap("", 443, []))
GUARD = '<script src="/.casb/guard.js"></script>'
URL, MAPPED = "https://app.example/", "https://app.example.casb.test:8443/"


def through(
    content_type: str, text: bytes, context: RewriteContext = APP, status: int = 200, disposition: str = ""
) -> bytes | None:
    rewriter = rewriter_for(content_type, "", context, status=status, disposition=disposition)
    return rewriter.feed(text) + rewriter.finish() if rewriter else None


@pytest.mark.parametrize(
    ("content_type", "text", "expected", "why"),
    [
        ("text/html", f"<a href={URL}>", f"{GUARD}<a href={MAPPED}>", "pages, with the guard"),
        ("Text/HTML; charset=UTF-8", f"<a href={URL}>", f"{GUARD}<a href={MAPPED}>", "any case"),
        ("text/css", f"@import '{URL}'", f"@import '{MAPPED}'", "style sheets"),
        ("text/css", "'app.example'", "'app.example'", "style sheets name no hosts"),
        ("text/javascript", f"f('{URL}','app.example')", f"f('{MAPPED}','app.example.casb.test:8443')", "scripts"),
        ("application/x-javascript", f"'{URL}'", f"'{MAPPED}'", "scripts by an old name"),
        ("application/json", f'"{URL}"', f'"{MAPPED}"', "JSON"),
        ("application/vnd.api+json", f'"{URL}"', f'"{MAPPED}"', "JSON"),
        ("application/manifest+json", f'"{URL}"', f'"{MAPPED}"', "manifests"),
        ("application/x-ndjson", f'"{URL}"\n', f'"{MAPPED}"\n', "lines of JSON"),
        ("text/event-stream", f"data: {URL}\n\n", f"data: {MAPPED}\n\n", "events"),
        ("image/svg+xml", f'<a href="{URL}"/>', f'<a href="{MAPPED}"/>', "drawings"),
        ("text/plain", URL, None, "framed protocols travel as text"),
        ("application/octet-stream", URL, None, "files"),
        ("application/xml", f"<a>{URL}</a>", f"<a>{URL}</a>", "text that is only read"),
        ("application/rss+xml", f"<link>{URL}</link>", f"<link>{MAPPED}</link>", "feeds"),
        ("application/vnd.apple.mpegurl", f"#EXTM3U\n{URL}a.ts\n", f"#EXTM3U\n{MAPPED}a.ts\n", "playlists"),
        ("application/speculationrules+json", f'["{URL}"]', f'["{MAPPED}"]', "rules"),
        ("application/json", f'"see {URL}"', f'"see {URL}"', "a text that mentions it"),
        ("application/vnd.ms-excel", URL, None, "files"),
        ("", URL, URL, "unknown, and no page by its first bytes"),
        ("", f"<!doctype html><a href={URL}>", f"<!doctype html>{GUARD}<a href={MAPPED}>", "unknown, and a page"),
        ("x/y", URL, None, "unknown"),
        (
            "text/html; charset=iso-2022-jp",
            f"\x1b$B<!<!\x1b(B<a href={URL}>",
            f"{GUARD}\x1b$B<!<!\x1b(B<a href={MAPPED}>",
            "bytes are not what they seem",
        ),
        (
            "text/html",
            f"<meta charset=iso-2022-jp>\x1b$B<!<!\x1b(B<a href={URL}>",
            f"{GUARD}<meta charset=iso-2022-jp>\x1b$B<!<!\x1b(B<a href={MAPPED}>",
            "said in the page",
        ),
        (
            "text/html; charset=shift_jis",
            f"\u955c<a href={URL}>",
            f"{GUARD}\u955c<a href={MAPPED}>",
            "ASCII where it matters",
        ),
    ],
)
def test_by_type(content_type: str, text: str, expected: str | None, why: str) -> None:
    assert through(content_type, text.encode()) == (None if expected is None else expected.encode()), why


@pytest.mark.parametrize(
    ("content_type", "destination", "nosniff", "kind", "why"),
    [
        ("text/plain", "script", False, "code", "scripts run whatever they are called"),
        ("text/plain", "script", True, "data", "protected from it"),
        ("text/html", "worker", False, "code", "likewise"),
        ("image/png", "script", False, "data", "never"),
        ("application/json", "script", False, "data", "a JSON module, or padded JSON: its strings alone"),
        ("text/plain", "style", False, "style", "in quirks mode"),
        ("", "document", False, "page", "by its first bytes"),
        ("", "document", True, "data", "never a page"),
        ("image/svg+xml", "image", True, "page", "markup"),
        ("application/x-ndjson", "empty", False, "stream", "line by line"),
        ("text/event-stream", "empty", False, "stream", "event by event"),
    ],
)
def test_what_a_browser_takes_it_for(content_type: str, destination: str, nosniff: bool, kind: str, why: str) -> None:
    assert kind_of(content_type, replace(APP, destination=destination), nosniff=nosniff) == kind, why


@pytest.mark.parametrize(
    ("status", "disposition", "why"),
    [
        (200, 'Attachment; filename="a.html"', "a download stays byte-exact"),
        (206, "", "a byte range is of the body as it was"),
    ],
)
def test_never_changed(status: int, disposition: str, why: str) -> None:
    assert through("text/html", URL.encode(), status=status, disposition=disposition) is None, why


def test_save_as_is_a_download() -> None:
    assert through("text/html", b"", replace(APP, destination="empty")) is None


@pytest.mark.parametrize(
    ("destination", "mode", "guarded"),
    [("document", "navigate", True), ("iframe", "navigate", True), ("", "", True), ("empty", "cors", False), ("image", "no-cors", False)],
)  # fmt: skip
def test_the_guard_goes_into_pages_only(destination: str, mode: str, guarded: bool) -> None:
    out = through("text/html", b"<p>", replace(APP, destination=destination, mode=mode))
    assert out is not None and (GUARD.encode() in out) is guarded


def test_an_app_may_do_without_the_guard() -> None:
    assert through("text/html", b"<p>", replace(APP, inject_guard=False)) == b"<p>"


def test_without_a_suffix_only_the_guard_comes_in() -> None:
    assert through("text/html", f"<a href={URL}>".encode(), NO_SUFFIX) == f"{GUARD}<a href={URL}>".encode()
    assert through("text/javascript", b"", NO_SUFFIX) is None
    assert through("text/html", b"", replace(NO_SUFFIX, inject_guard=False)) is None
    assert request_rewriter_for("application/json", NO_SUFFIX) is None


def test_the_nonce_reaches_the_tag() -> None:
    rewriter = rewriter_for("text/html", "", APP, page=PagePolicy(nonce="n0", digest="sha256-x"))
    assert rewriter
    tag = b'<script src="/.casb/guard.js" nonce="n0" integrity="sha256-x" crossorigin></script>'
    assert rewriter.feed(b"<p>") + rewriter.finish() == tag + b"<p>"


@pytest.mark.parametrize(
    ("charset", "codec", "mark"),
    [("utf-16", "utf-16-le", ""), ("UTF-16LE", "utf-16-le", "\ufeff"), ("utf-16be", "utf-16-be", ""), ("utf-16", "utf-16-be", "\ufeff")],
)  # fmt: skip
def test_utf_16(charset: str, codec: str, mark: str) -> None:
    text = f"{mark}f('{URL}', '😀')"
    assert through(f"text/javascript; charset={charset}", text.encode(codec)) == text.replace(URL, MAPPED).encode(codec)


def test_half_a_character_of_utf_16_is_kept() -> None:
    assert through("text/css; charset=utf-16", b"a") == b"a"
    assert through("text/css; charset=utf-16", b"a\x00b") == b"a\x00b"


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "why"),
    [
        ("application/x-www-form-urlencoded", "u=https%3A%2F%2Fapp.example.casb.test%3A8443%2F", "u=https%3A%2F%2Fapp.example%2F", "forms"),
        ("application/json; charset=utf-8", f'{{"u":"{MAPPED}"}}', f'{{"u":"{URL}"}}', "JSON"),
        ("multipart/form-data; boundary=B", f"--B\r\nX: y\r\n\r\n{MAPPED}\r\n--B--", f"--B\r\nX: y\r\n\r\n{URL}\r\n--B--", "fields"),
        ('multipart/form-data; boundary="B C"', f"--B C\r\nX: y\r\n\r\n{MAPPED}", f"--B C\r\nX: y\r\n\r\n{URL}", "quoted boundary"),
        ("multipart/form-data", MAPPED, None, "no boundary"),
        ("text/plain", MAPPED, None, "anything may be in it"),
        ("application/octet-stream", MAPPED, None, "a file"),
        ("", MAPPED, None, "unknown"),
    ],
)  # fmt: skip
def test_request_bodies(content_type: str, body: str, expected: str | None, why: str) -> None:
    rewriter = request_rewriter_for(content_type, APP)
    out = rewriter and rewriter.feed(body.encode()) + rewriter.finish()
    assert out == (None if expected is None else expected.encode()), why


@pytest.mark.parametrize(
    ("coding", "decode"),
    [
        ("", bytes),
        ("gzip", gzip.decompress),
        ("zstd", lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data)),
    ],
)
def test_through_the_codings(coding: str, decode: type[bytes]) -> None:
    inner = rewriter_for("text/css", "", APP)
    assert inner
    both = recoded(inner, "gzip", coding)
    data = gzip.compress(f"url({URL})".encode())
    assert decode(both.feed(data[:9]) + both.feed(data[9:]) + both.finish()) == f"url({MAPPED})".encode()


def test_nothing_to_recode() -> None:
    inner = rewriter_for("text/css", "", APP)
    assert inner and recoded(inner, "identity", "") is inner


def test_an_unknown_coding_is_refused_at_once() -> None:
    inner = rewriter_for("text/css", "", APP)
    assert inner
    with pytest.raises(ContentError, match="W004"):
        recoded(inner, "dcb", "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/html", ("text/html", "")),
        (' Text/HTML ; x=y; CharSet="UTF-8"', ("text/html", "utf-8")),
        ("text/html;charset=a;charset=b", ("text/html", "a")),
        ("", ("", "")),
    ],
)
def test_media_type(value: str, expected: tuple[str, str]) -> None:
    assert media_type(value) == expected
