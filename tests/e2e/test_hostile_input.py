"""Cookies, names, addresses, headers and origins that lie: what a real worker makes of them."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proxy_world import APP_HOST, FETCH, NAVIGATE, SUFFIX, Reply, World, reply, wait_for
from wire_world import LOGIN, SECRET, WIKI, Browser, Site, nothing_leaked, onward, refused, site

POLICIES = """\
version: 1
policies:
  - id: no-programs
    kind: session
    activities: [download]
    when: {file: {detected_type: application/vnd.microsoft.portable-executable}}
    unscannable: block
    action: block
    message: Programs stay where they are.
  - id: not-from-there
    kind: access
    when: {client: {ip_tag: far-away}}
    action: block
    message: Not from there.
"""
RANGES = """\
version: 1
ranges:
  - {name: far, ranges: [203.0.113.0/24, "2001:db8:66::/48"], category: risky, tags: [far-away]}
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    limits = "{hold: 1MB, spool_file: 4MB, upstream_idle: 2s}"
    with site(tmp_path_factory.mktemp("input"), policies=POLICIES, start=False, limits=limits) as made:
        made.proxy.write("ranges.yaml", RANGES)
        for origin in (made.proxy.origin, made.wiki):
            origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        for kind in BROKEN:
            BROKEN_ORIGINS[kind] = broken = Broken(tmp_path_factory.mktemp("broken"), kind)
            name = kind.replace(" ", "-").lower()
            made.proxy.write(
                f"apps/{name}.yaml",
                f"id: {name}\nname: Broken App\ndomains: [{name}.example]\n"
                f'upstream: {{connect: "127.0.0.1:{broken.port}", ca: {broken.ca}}}\n',
            )
        made.proxy.start()
        yield made
    for broken in BROKEN_ORIGINS.values():
        broken.socket.close()


@pytest.fixture(scope="module")
def ada(here: Site) -> Browser:
    """Signed in on both hosts."""
    browser = here.browser()
    assert browser.open(here.url()).status_code == 200
    assert browser.open(here.url("/", WIKI)).status_code == 200
    return browser


def record_of(proxy: World, got: Reply) -> dict[str, Any]:
    return proxy.record(got.headers["x-casb-activity"])


# ------------------------------------------------------------ cookies


def flipped(value: str, at: int) -> str:
    return value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]


@pytest.mark.parametrize("headers", [NAVIGATE, FETCH], ids=["page", "script"])
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda value: flipped(value, 0), "session.unknown"),
        (lambda value: flipped(value, 21), "session.unknown"),
        (lambda value: value.swapcase(), "session.unknown"),
        (lambda value: value[:-1], "session.malformed"),
        (lambda value: value + "A", "session.malformed"),
        (lambda value: value + "%00", "session.malformed"),
        (lambda value: f'"{value}"', "session.malformed"),
        (lambda value: f"{value}; __Host-casb_s={'A' * 43}", "session.malformed"),
        (lambda value: f"{'A' * 43}; __Host-casb_s={value}", "session.malformed"),
    ],
    ids=["first", "middle", "case", "short", "long", "nul", "quoted", "a second after", "a second before"],
)
def test_a_tampered_cookie(here: Site, ada: Browser, spoil: Any, code: str, headers: dict[str, str]) -> None:
    value = ada.cookie("__Host-casb_s")
    asked = len(here.proxy.origin.seen)
    got = here.proxy.ask("/?q=secret-of-the-query", cookie=f"__Host-casb_s={spoil(value)}", headers=headers)
    record = record_of(here.proxy, got)
    assert (record["action"], record["reasons"][0]["code"], record["user"]) == ("block", code, None)
    if headers is FETCH:
        assert (got.status, got.json["casb"]) == (401, "sign-in")
    else:
        assert got.status == 303
        assert got.headers["location"].startswith(f"{here.login}/.casb/login?p=")
    assert len(here.proxy.origin.seen) == asked
    nothing_leaked(here.proxy, value, "secret-of-the-query", pages=(got.text,))


def test_the_same_bad_cookie_fills_no_log(here: Site) -> None:
    cookie = "__Host-casb_s=" + "Z" * 43
    first = here.proxy.ask("/", cookie=cookie, headers=FETCH).headers["x-casb-activity"]
    before = len(here.proxy.records())
    assert {here.proxy.ask("/", cookie=cookie, headers=FETCH).headers["x-casb-activity"] for _ in range(5)} == {first}
    assert len(here.proxy.records()) == before


def test_a_cookie_moved_to_another_host(here: Site, ada: Browser) -> None:
    value = ada.cookie("__Host-casb_s")
    asked = len(here.wiki.seen)
    got = here.proxy.ask("/", host=f"{WIKI}.{SUFFIX}", cookie=f"__Host-casb_s={value}", headers=FETCH)
    assert got.status == 401
    assert record_of(here.proxy, got)["reasons"][0]["code"] == "session.unknown"
    assert record_of(here.proxy, got)["app"]["id"] == "wiki"
    assert len(here.wiki.seen) == asked
    login = ada.cookie("__Host-casb_l", LOGIN)
    assert here.proxy.ask("/", cookie=f"__Host-casb_s={login}", headers=FETCH).status == 401, "nor the sign-in host's"
    assert here.proxy.ask("/", cookie=f"__Host-casb_l={login}", headers=FETCH).status == 401
    page = here.proxy.ask("/", host=LOGIN, cookie=f"__Host-casb_l={value}", headers=NAVIGATE)
    assert "Signed in as" not in page.text, "and no app's on the sign-in host"
    assert here.proxy.ask("/", cookie=f"__Host-casb_s={value}", headers=FETCH).status == 200, "at home it is good"
    nothing_leaked(here.proxy, value, login)


# ------------------------------------------------------------ names


def raw(proxy: World, request: str, *, sni: str | None = None) -> Reply:
    """Exactly these bytes; the answer read until the connection ends."""
    with proxy.connect(sni or proxy.host) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        got = b""
        with contextlib.suppress(OSError):
            while chunk := connection.recv(65536):
                got += chunk
                head, found, body = got.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if found and length and len(body) >= int(length[0].partition(b":")[2]):
                    break
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return Reply(status=int(lines[0].split()[1]) if head else 0, headers=headers, cookies=[], body=body)


def test_a_host_that_is_not_the_sni(here: Site, ada: Browser) -> None:
    """Every way to name another host on a connection whose certificate was made for one."""
    proxy, cookie = here.proxy, f"Cookie: __Host-casb_s={ada.cookie('__Host-casb_s')}"
    own, other = f"{proxy.host}:{proxy.port}", f"{WIKI}.{SUFFIX}:{proxy.port}"
    asked = (len(proxy.origin.seen), len(here.wiki.seen))
    cases = {
        f"GET / HTTP/1.1\nHost: {other}\n{cookie}\n\n": 421,
        f"GET / HTTP/1.1\nHost: {APP_HOST}\n{cookie}\n\n": 421,
        f"GET / HTTP/1.1\nHost: {LOGIN}:{proxy.port}\n{cookie}\n\n": 421,
        "GET / HTTP/1.1\nHost: evil.example\n\n": 421,
        f"GET https://{other}/ HTTP/1.1\nHost: {other}\n{cookie}\n\n": 421,
        f"GET https://{other}/ HTTP/1.1\nHost: {own}\n{cookie}\n\n": 400,
        f"GET / HTTP/1.1\nHost: {own}\nHost: {other}\n{cookie}\n\n": 400,
        f"GET / HTTP/1.1\nHost: {own}, {other}\n{cookie}\n\n": 400,
        f"GET / HTTP/1.1\nHost: {own}@evil.example\n{cookie}\n\n": 400,
        f"GET / HTTP/1.1\nHost: {own}/..\n{cookie}\n\n": 400,
        f"GET / HTTP/1.1\nHost: {proxy.host}:99999999\n{cookie}\n\n": 400,
        f"GET / HTTP/1.1\nHost:\n{cookie}\n\n": 400,
        f"GET / HTTP/1.1\n{cookie}\n\n": 400,
    }
    for request, status in cases.items():
        got = raw(proxy, request)
        shown = request.splitlines()[:2]
        assert got.status == status, (shown, got)
        assert record_of(proxy, got)["reasons"][0]["code"] == f"gateway.{status}", shown
        assert b"the app" not in got.body
    assert (len(proxy.origin.seen), len(here.wiki.seen)) == asked, "no application was asked"


def test_a_request_smuggled_behind_another(here: Site, ada: Browser) -> None:
    """RFC 9112 section 6.1: a message with both lengths, or with two, is nobody's to guess."""
    own, cookie = f"{here.proxy.host}:{here.proxy.port}", f"Cookie: __Host-casb_s={ada.cookie('__Host-casb_s')}"
    asked = len(here.proxy.origin.seen)
    for lengths in (
        "Content-Length: 6\nTransfer-Encoding: chunked",
        "Content-Length: 6\nContent-Length: 7",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Content-Length: +6",
    ):
        got = raw(
            here.proxy, f"POST /smuggled HTTP/1.1\nHost: {own}\n{cookie}\n{lengths}\n\n0\n\nGET /inner HTTP/1.1\n"
        )
        assert got.status in (0, 400), (lengths, got)
    assert len(here.proxy.origin.seen) == asked


# ------------------------------------------------------------ open redirects

EVIL = [
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "/\\/evil.example",
    "\\\\evil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0d%0aLocation:%20https://evil.example",
    "/%5cevil.example",
    "/%2f/evil.example",
    "/%2f%2fevil.example",
    "https://evil.example",
    "https:evil.example",
    "http://evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example%2f@files.example",
    "//files.example.casb.test@evil.example/",
    "//evil.example:443/.casb/session",
    "/.casb/../../evil.example",
    "/..//evil.example",
    "/;@evil.example",
    "/?next=//evil.example",
    "//\u00e9vil.example",
    "/\u2025/evil.example",
    "//[::1]/",
    "/" + "a" * 9000,
]


def stays_here(location: str, base: str) -> bool:
    """Whether a browser that is sent there stays on the host, as browsers read it (WHATWG URL section 4.4)."""
    read = location.replace("\t", "").replace("\n", "").replace("\r", "").replace("\\", "/")
    return urlsplit(urljoin(base, read)).netloc == urlsplit(base).netloc and location.startswith("/")


@pytest.mark.parametrize("evil", EVIL)
def test_no_redirect_leads_away_after_a_sign_in(here: Site, ada: Browser, evil: str) -> None:
    """The path asked for comes back after the sign-in: as a place on the same host, or as its start page."""
    target = evil.encode().decode("latin-1")
    own = f"{here.proxy.host}:{here.proxy.port}"
    fetch = "Sec-Fetch-Mode: navigate\nSec-Fetch-Dest: document"
    first = raw(here.proxy, f"GET {target} HTTP/1.1\nHost: {own}\n{fetch}\n\n")
    if first.status in (400, 404, 414, 421):
        return  # Not even understood as a path.
    assert first.status == 303, first
    login = first.headers["location"]
    assert login.startswith(f"{here.login}/.casb/login?p=")
    assert "evil" not in login
    handed = ada.send(login)
    assert handed.headers["location"].startswith(f"https://{own}/.casb/session?code=")
    bind = first.headers["set-cookie"].partition(";")[0]
    path = handed.headers["location"].removeprefix(f"https://{own}")
    last = raw(here.proxy, f"GET {path} HTTP/1.1\nHost: {own}\nCookie: {bind}\n{fetch}\n\n")
    assert last.status == 303, last
    assert stays_here(last.headers["location"], f"https://{own}/.casb/session"), last.headers["location"]
    assert "\r" not in last.headers["location"]


@pytest.mark.parametrize("evil", EVIL)
def test_no_parameter_of_the_sign_in_leads_away(here: Site, evil: str) -> None:
    browser = here.browser()
    ours = {urlsplit(here.login).netloc, f"{here.proxy.host}:{here.proxy.port}", urlsplit(here.idp.base).netloc}
    answers = [
        browser.send(f"{here.login}/.casb/login?p={quote(evil)}"),
        browser.send(f"{here.login}/.casb/login?next={quote(evil)}&return_to={quote(evil)}"),
        browser.send(f"{here.login}/.casb/login?target_link_uri={quote(evil)}"),
        browser.send(f"{here.login}/.casb/login?target_link_uri={quote('https://evil.example' + evil)}"),
        browser.send(f"{here.login}/.casb/login?target_link_uri={quote(here.url('@evil.example'))}"),
        browser.send(f"{here.login}/.casb/login?target_link_uri={quote(f'https://{here.proxy.host}:1/')}"),
        browser.send(f"{here.login}/.casb/signed-out?post_logout_redirect_uri={quote(evil)}"),
        browser.send(here.url("/.casb/sign-in"), headers={**NAVIGATE, "referer": evil.encode().decode("latin-1")}),
        browser.send(here.url(f"/.casb/session?code=x&next={quote(evil)}")),
    ]
    for answer in answers:
        assert answer.status_code < 500, answer.text
        location = onward(answer)
        if location:
            assert urlsplit(urljoin(answer.url, location)).netloc in ours, location
            assert "evil" not in location
        assert 'href="//evil' not in answer.text
    refused(here.proxy, answers[0], 400, "I011")
    for answer in answers[2:6]:
        refused(here.proxy, answer, 400, "I010")


# ------------------------------------------------------------ claims about addresses and people

FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X_Forwarded_For": "203.0.113.7",
    "Forwarded": "for=203.0.113.7;host=evil.example;proto=http",
    "X-Real-IP": "203.0.113.7",
    "True-Client-IP": "203.0.113.7",
    "CF-Connecting-IP": "203.0.113.7",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-User": "root@contoso.example",
    "X_Forwarded_User": "root@contoso.example",
    "X-Forwarded-Email": "root@contoso.example",
    "X-MS-CLIENT-PRINCIPAL": "eyJyb290Ijp0cnVlfQ",
    "X-MS-CLIENT-PRINCIPAL-NAME": "root",
    "X-Ms-Token-Aad-Id-Token": "root.token.here",
    "X_MS_CLIENT_PRINCIPAL_ID": "root",
    "X-Remote-User": "root",
    "Remote-User": "root",
    "X-Auth-Request-User": "root",
    "X-Original-URL": "/admin",
    "X-Rewrite-URL": "/admin",
    "X-Casb-User": "root",
    "X-Casb-Activity": "01AAAAAAAAAAAAAAAAAAAAAAAA",
}


def test_what_only_a_proxy_may_say_is_not_passed_on(here: Site, ada: Browser) -> None:
    here.proxy.origin.page("/seen", b"PK\x03\x04" * 10, content_type="application/zip")
    got = ada.send(here.url("/seen"), headers={**NAVIGATE, **FORGED})
    assert got.status_code == 200
    seen = here.proxy.origin.seen[-1]
    assert seen.path == "/seen"
    text = json.dumps(seen.headers).lower()
    for name, value in FORGED.items():
        assert name.lower() not in seen.headers, f"{name} reached the application"
        assert value.lower() not in text
    assert seen.headers["host"] == APP_HOST
    record = here.proxy.records()[-1]
    assert (record["client"]["ip"], record["client"]["ip_tags"]) == ("127.0.0.1", [])
    assert record["user"]["name"] == "ada@contoso.example"


def test_an_address_claimed_from_outside_decides_nothing(here: Site, ada: Browser) -> None:
    """Neither into a range, nor out of one: the peer's own address is what counts."""
    for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        for claim in ("203.0.113.7", "127.0.0.1, 203.0.113.7", "203.0.113.7, 127.0.0.1", "for=203.0.113.7"):
            assert ada.send(here.url("/"), headers={**NAVIGATE, name: claim}).status_code == 200, (name, claim)
    browser = here.browser()
    here.proxy.write("ranges.yaml", RANGES.replace("203.0.113.0/24", "127.0.0.0/8"))

    def blocked() -> bool:
        return ada.send(here.url("/")).status_code == 403

    try:
        wait_for(blocked, "the range to be in force", 5)
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X_Forwarded_For"):
            answer = ada.send(here.url("/"), headers={**NAVIGATE, name: "198.51.100.1"})
            record = here.proxy.record(answer.headers["x-casb-activity"])
            assert (answer.status_code, record["policy"]) == (403, "not-from-there"), name
            assert record["client"]["ip"] == "127.0.0.1"
        assert browser.open(here.url("/")).status_code == 403, "a fresh sign-in neither"
    finally:
        here.proxy.write("ranges.yaml", RANGES)
        wait_for(lambda: ada.send(here.url("/")).status_code == 200, "the range to go", 5)


@pytest.mark.parametrize(
    ("claim", "told", "passes"),
    [
        ("203.0.113.7", "203.0.113.7", False),
        ("198.51.100.1", "198.51.100.1", True),
        ("203.0.113.7, 198.51.100.1", "198.51.100.1", True),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7", False),
        ("203.0.113.7, 127.0.0.1", "203.0.113.7", False),
        ("198.51.100.1, nonsense", "127.0.0.1", True),
        ("2001:db8:66::1", "2001:db8:66::1", False),
        ("[2001:db8:66::1]", "2001:db8:66::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", False),
        ("", "127.0.0.1", True),
    ],
)
def test_a_trusted_proxy_in_front_is_believed(behind: Site, eve: Browser, claim: str, told: str, passes: bool) -> None:
    """Right to left, up to the first that nobody vouches for."""
    answer = eve.send(behind.url("/"), headers={**NAVIGATE, "X-Forwarded-For": claim})
    assert answer.status_code == (200 if passes else 403)
    if not passes:
        record = behind.proxy.record(answer.headers["x-casb-activity"])
        assert (record["client"]["ip"], record["policy"]) == (told, "not-from-there")
    else:
        assert "x-forwarded-for" not in behind.proxy.origin.seen[-1].headers
        assert behind.proxy.records()[-1]["client"]["ip"] == told


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A deployment behind a load balancer on this machine. That addresses change is no reason to ask who is there."""
    folder = tmp_path_factory.mktemp("behind")
    session = '{watch_address: "off"}'
    with site(folder, policies=POLICIES, start=False, trusted_proxies="[127.0.0.1]", session=session) as made:
        made.proxy.write("ranges.yaml", RANGES)
        made.proxy.origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        made.proxy.start()
        yield made


@pytest.fixture(scope="module")
def eve(behind: Site) -> Browser:
    browser = behind.browser()
    assert browser.open(behind.url()).status_code == 200
    return browser


# ------------------------------------------------------------ origins


def certificate(folder: Path, kind: str) -> tuple[ssl.SSLContext, Path]:
    """A TLS server's context whose certificate is wrong in one way, and the CA that the app is told to trust."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a root")])

    def make(subject: x509.Name, public: Any, signer: Any, start: datetime, end: datetime, *, ca: bool) -> Any:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start).not_valid_after(end)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName(f"{kind.replace(' ', '-').lower()}.example")])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer, hashes.SHA256())

    day = timedelta(days=1)
    authority = make(name, root.public_key(), root, now - day, now + day, ca=True)
    leaf_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broken.example")])
    start, end = {"expired": (now - 9 * day, now - day), "not yet": (now + day, now + 9 * day)}.get(
        kind, (now - day, now + day)
    )
    leaf = make(leaf_name, key.public_key(), other if kind == "unknown signer" else root, start, end, ca=False)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "leaf.pem").write_bytes(private + leaf.public_bytes(pem))
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return context, folder / "ca.pem"


BROKEN = {
    "expired": "certificate cannot be trusted",
    "not yet": "certificate cannot be trusted",
    "unknown signer": "certificate cannot be trusted",
    "no TLS": "cannot be reached",
    "nobody there": "cannot be reached",
    "no HTTP": "cannot be reached",
    "says nothing": "cannot be reached",
    "half a head": "cannot be reached",
}
BROKEN_ORIGINS: dict[str, Broken] = {}


class Broken:
    """Something on a port that is no good origin."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.requests: list[bytes] = []
        self.kind = kind
        self.context, self.ca = certificate(folder, kind)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        if kind == "nobody there":
            self.socket.close()
        else:
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with contextlib.suppress(OSError, ssl.SSLError):
                    self._one(connection)
                connection.close()

    def _one(self, connection: socket.socket) -> None:
        if self.kind == "no TLS":
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")
            return
        with self.context.wrap_socket(connection, server_side=True) as inner:
            self.requests.append(inner.recv(65536))
            if self.kind == "no HTTP":
                inner.sendall(b"\x00\xff of-the-origin \r\n\r\n")
            elif self.kind == "says nothing":
                pass
            elif self.kind == "half a head":
                inner.sendall(b"HTTP/1.1 200 OK\r\nx-secret: of-the-origin\r\n")
            else:
                inner.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecret")


@pytest.mark.parametrize("kind", BROKEN)
def test_an_origin_that_cannot_be_trusted_or_understood(here: Site, kind: str) -> None:
    host = f"{kind.replace(' ', '-').lower()}.example.{SUFFIX}"
    cookie = here.proxy.session(host=host)
    got = here.proxy.ask("/private?token=value-of-the-query", host=host, cookie=cookie, headers=NAVIGATE)
    record = record_of(here.proxy, got)
    assert (got.status, record["reasons"][0]["code"]) == (502, "upstream"), got.text
    assert record["user"]["name"] == "ada@contoso.example"
    assert BROKEN[kind] in got.text
    for text in (got.text, json.dumps(got.headers)):
        assert "secret" not in text
        assert "of-the-origin" not in text
        assert "127.0.0.1" not in text, "the page names no inner address"
    if "certificate" in BROKEN[kind]:
        assert BROKEN_ORIGINS[kind].requests == [], "nothing was sent to it"
    nothing_leaked(here.proxy, cookie.partition("=")[2], "value-of-the-query", "of-the-origin", pages=(got.text,))


def endless(content_type: str, disposition: str, chunk: bytes, sent: list[int]) -> Any:
    def serve(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("content-type", content_type)
        if disposition:
            handler.send_header("content-disposition", disposition)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            sent.append(len(chunk))

    return serve


def test_a_download_that_never_ends_is_held_up_to_the_limit_and_refused(here: Site, ada: Browser) -> None:
    """A policy needs the content; what cannot be read whole takes its `unscannable` action. Text would be judged while
    it passes, so this is none."""
    sent: list[int] = []
    kind = 'attachment; filename="endless.bin"'
    chunk = b"never-ending" + bytes(range(256)) * 200
    here.proxy.origin.routes["/endless"] = endless("application/octet-stream", kind, chunk, sent)
    begun = time.monotonic()
    answer = ada.send(here.url("/endless"))
    assert time.monotonic() - begun < 10
    assert b"never-ending" not in answer.content
    record = here.proxy.record(answer.headers["x-casb-activity"])
    assert (record["action"], record["policy"]) == ("block", "no-programs")
    assert record["file"]["verdict"]["status"] == "unscannable"
    assert "Programs stay where they are." in answer.text
    for _ in range(20):  # what lies in the buffers of the sockets goes out first
        count = len(sent)
        time.sleep(0.3)
        if len(sent) == count:
            break
    else:
        pytest.fail("the origin was not hung up on")


def test_an_origin_that_never_begins_to_answer(here: Site, ada: Browser) -> None:
    over = threading.Event()

    def silent(_handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        over.wait(30)

    here.proxy.origin.routes["/silent"] = silent
    begun = time.monotonic()
    answer = ada.send(here.url("/silent"))
    over.set()
    record = refused(here.proxy, answer, 502, "upstream")
    assert 2 <= time.monotonic() - begun < 5, "limits.upstream_idle"
    assert "took too long" in answer.text
    assert "upstream_idle" in record["reasons"][0]["fact"]


def resident(pid: int) -> int:
    """Megabytes of memory that a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def test_a_page_that_never_ends_streams_and_fills_no_memory(here: Site, ada: Browser) -> None:
    assert here.proxy.process is not None
    sent: list[int] = []
    here.proxy.origin.routes["/forever"] = endless("text/html", "", b"<p>and on and on</p>" * 3000, sent)
    before = resident(here.proxy.process.pid)
    request = requests.Request("GET", here.url("/forever"), headers=NAVIGATE)
    with ada.session.send(ada.session.prepare_request(request), stream=True, timeout=20) as answer:
        assert answer.status_code == 200
        got = 0
        for chunk in answer.iter_content(65536):
            got += len(chunk)
            if got > 20 * 2**20:
                break
    assert resident(here.proxy.process.pid) - before < 60
    count = [0]

    def stopped() -> bool:
        count.append(len(sent))
        return count[-1] == count[-2]

    wait_for(stopped, "the origin to be hung up on when the browser has left", 10)


@pytest.mark.parametrize(
    ("path", "kind", "disposition", "body"),
    [
        ("/torn-page", "text/html", "", b"<html><head></head><body>" + os.urandom(30_000).hex().encode() * 10),
        ("/torn-file", "application/pdf", 'attachment; filename="torn.pdf"', os.urandom(30_000).hex().encode() * 10),
    ],
)
@pytest.mark.parametrize("spoil", ["cut", "garbage", "bomb"])
def test_a_torn_gzip(here: Site, ada: Browser, path: str, kind: str, disposition: str, body: bytes, spoil: str) -> None:
    """Held or streamed, what cannot be decoded whole is never handed over as if it were whole."""
    whole = gzip.compress(body)
    torn = {"cut": whole[: len(whole) // 2], "garbage": b"\x1f\x8bnot gzip" * 50, "bomb": BOMB}[spoil]
    headers = {"content_type": kind, "content_encoding": "gzip"}
    if disposition:
        headers["content_disposition"] = disposition
    here.proxy.origin.routes[path] = lambda handler, _body: reply(handler, 200, torn, **headers)
    try:
        answer = ada.send(here.url(path))
    except requests.RequestException:
        assert not disposition, "only a page had begun to stream; cut off, the browser knows that it is not whole"
        return
    record = here.proxy.record(answer.headers["x-casb-activity"])
    assert record["action"] == "block"
    assert body[:40] not in answer.content
    assert len(answer.content) < 20_000
    if disposition:
        assert (record["policy"], record["file"]["verdict"]["status"]) == ("no-programs", "unscannable")


def test_a_second_gzip_member_is_read_as_well(here: Site, ada: Browser) -> None:
    """Browsers show all members of a gzip body: a policy that reads the first alone could be got around."""
    program = b"MZ" + bytes(58) + (64).to_bytes(4, "little") + b"PE\0\0" + bytes(400)
    kind = {"content_type": "application/pdf", "content_encoding": "gzip"}
    kind["content_disposition"] = 'attachment; filename="two.pdf"'
    body = gzip.compress(program[:1]) + gzip.compress(program[1:])
    here.proxy.origin.routes["/two"] = lambda handler, _body: reply(handler, 200, body, **kind)
    answer = ada.send(here.url("/two"))
    record = here.proxy.record(answer.headers["x-casb-activity"])
    assert (record["policy"], record["file"]["inspected"]) == ("no-programs", True)
    assert b"PE\0\0" not in answer.content


BOMB = gzip.compress(bytes(200 * 2**20), 9)


# ------------------------------------------------------------ the identity provider is away


def test_sessions_go_on_while_the_provider_is_down(tmp_path: Path) -> None:
    with site(tmp_path, policies=POLICIES) as alone:
        alone.proxy.origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        alone.wiki.page("/", b"<html><head></head>the wiki</html>", content_type="text/html")
        alone.idp.down = True
        early = alone.browser()
        answer = early.open(alone.url("/deep?secret=value-of-the-query"))
        refused(alone.proxy, answer, 503, "I001")
        assert "The sign-in service does not answer" in answer.text

        alone.idp.down = False
        ada = alone.browser()

        def back() -> bool:
            return ada.open(alone.url("/")).status_code == 200

        wait_for(back, "the provider to be believed again", 15)
        half = alone.browser()
        stopped = half.follow(half.send(alone.url("/")), until="/.casb/oidc/callback")

        alone.idp.down = True
        for _ in range(3):
            assert "the app" in ada.open(alone.url("/")).text
        assert "the wiki" in ada.open(alone.url("/", WIKI)).text, "a second application needs no provider either"
        answer = half.follow(stopped)
        refused(alone.proxy, answer, 502, "I001")
        assert f"localhost:{alone.idp.server.port}" not in answer.text or "identity provider" in answer.text
        out = ada.submit(ada.send(alone.url("/.casb/sign-out")))
        assert out.status_code == 303, "and signing out works"
        assert alone.proxy.ask("/", cookie="__Host-casb_s=x", headers=FETCH).status == 401
        nothing_leaked(alone.proxy, SECRET, "value-of-the-query", *ada.secrets(), pages=(answer.text,))
