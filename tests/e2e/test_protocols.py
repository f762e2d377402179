"""HTTP/2, WebSocket, connections kept alive, IPv6: the same control whatever the wire looks like."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto import events as ws
from wsproto.connection import Connection

from proxy_world import (
    ADDONS,
    APP_HOST,
    BROWSER,
    FETCH,
    NAVIGATE,
    SUFFIX,
    World,
    listens,
    reply,
    wait_for,
    world,
)
from wire_world import WIKI, Site, nothing_leaked, site

POLICIES = """\
version: 1
policies:
  - id: block-payroll
    kind: session
    activities: [download]
    when: {file: {name: "payroll*"}}
    action: block
    message: Payroll stays on managed devices.
  - id: block-programs-up
    kind: session
    activities: [upload]
    when: {file: {extension: exe}}
    action: block
"""
SECRET_FILE = b"salary,name\n" + b"90000,ada\n" * 20_000


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("protocols"), policies=POLICIES, limits="{hold: 2MB}") as made:
        origin = made.proxy.origin
        origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        origin.page("/up", b"thanks")
        origin.routes["/payroll"] = lambda handler, _body: attachment(handler, "payroll.csv", SECRET_FILE)
        origin.routes["/plan"] = lambda handler, _body: attachment(handler, "plan.csv", SECRET_FILE)
        origin.routes["/socket"] = echo
        yield made


def attachment(handler: BaseHTTPRequestHandler, name: str, body: bytes) -> None:
    disposition = f'attachment; filename="{name}"'
    reply(handler, 200, body, content_type="application/octet-stream", content_disposition=disposition)


# ------------------------------------------------------------ HTTP/2


class Preferring(ssl.SSLContext):
    """Offers HTTP/2 first, as browsers do; the client library would offer it last and get what it asked for."""

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(sorted(alpn_protocols, reverse=True, key=lambda name: name == "h2"))


def trust(proxy: World) -> ssl.SSLContext:
    """Trusts our authority alone."""
    context = Preferring(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=str(proxy.folder / "certs" / "casb-ca.pem"))
    return context


class Two:
    """An HTTP/2 client whose name resolution is ours."""

    def __init__(self, proxy: World, cookie: str = "") -> None:
        self.proxy, self.cookie = proxy, cookie
        self.client = httpx.Client(http2=True, verify=trust(proxy), trust_env=False, timeout=20)

    def __enter__(self) -> Two:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def ask(
        self, path: str, *, method: str = "GET", authority: str = "", headers: Any = NAVIGATE, content: Any = None
    ) -> httpx.Response:
        """A request on the one connection, which was made for the app's name."""
        sent = {"user-agent": BROWSER, **headers, "host": authority or f"{self.proxy.host}:{self.proxy.port}"}
        if self.cookie:
            sent["cookie"] = self.cookie
        answer = self.client.request(
            method,
            f"https://127.0.0.1:{self.proxy.port}{path}",
            headers=sent,
            content=content,
            extensions={"sni_hostname": self.proxy.host},
        )
        assert answer.http_version == "HTTP/2"
        return answer


def test_http2_carries_pages_blocks_and_uploads(here: Site) -> None:
    cookie = here.proxy.session()
    with Two(here.proxy, cookie) as two:
        page = two.ask("/")
        assert (page.status_code, "the app" in page.text) == (200, True)
        assert "guard.js" in page.text
        seen = here.proxy.origin.seen[-1]
        assert seen.headers["host"] == APP_HOST
        assert not any(name.startswith(":") for name in seen.headers)

        whole = two.ask("/plan")
        assert hashlib.sha256(whole.content).digest() == hashlib.sha256(SECRET_FILE).digest()

        blocked = two.ask("/payroll")
        assert blocked.status_code == 200
        assert b"90000" not in blocked.content
        record = here.proxy.record(blocked.headers["x-casb-activity"])
        assert (record["action"], record["policy"]) == ("block", "block-payroll")
        told = two.ask("/payroll", headers=FETCH)
        assert (told.status_code, told.json()["casb"]) == (403, "blocked")

        body = os.urandom(700_000)
        kind = {**FETCH, "content-type": "application/octet-stream"}
        assert two.ask("/up", method="POST", headers=kind, content=body).text == "thanks"
        assert here.proxy.origin.seen[-1].body == body
        parts = (body[at : at + 50_000] for at in range(0, len(body), 50_000))
        assert two.ask("/up", method="POST", headers=kind, content=parts).text == "thanks"
        assert here.proxy.origin.seen[-1].body == body, "without a length as well"

        form = b'--x\r\nContent-Disposition: form-data; name="f"; filename="tool.exe"\r\n\r\nMZ\r\n--x--\r\n'
        asked = len(here.proxy.origin.seen)
        refused = two.ask(
            "/up", method="POST", headers={**FETCH, "content-type": "multipart/form-data; boundary=x"}, content=form
        )
        assert (refused.status_code, refused.json()["casb"]) == (403, "blocked")
        assert len(here.proxy.origin.seen) == asked
        assert two.ask("/").status_code == 200, "the connection goes on"
    nothing_leaked(here.proxy, cookie.partition("=")[2])


def test_a_body_without_a_length_is_never_the_next_request(here: Site) -> None:
    """HTTP/2 needs no length; towards an HTTP/1.1 origin the body is framed all the same (RFC 9112 section 6.3)."""
    hidden = b"GET /payroll HTTP/1.1\r\nHost: files.example\r\n\r\n"
    with Two(here.proxy, here.proxy.session()) as two:
        for method, kind, chunks in (
            ("POST", "application/octet-stream", [hidden]),
            ("POST", "text/plain", [hidden[:20], b"", hidden[20:]]),
            ("GET", "text/plain", [hidden]),
            ("POST", "application/x-www-form-urlencoded", [hidden]),
            ("POST", "application/json", [b'{"a": 1}', hidden]),
            ("DELETE", "text/plain", [hidden]),
        ):
            asked = len(here.proxy.origin.seen)
            answer = two.ask("/up", method=method, headers={**FETCH, "content-type": kind}, content=iter(chunks))
            assert answer.status_code == 200
            assert two.ask("/").status_code == 200
            seen = here.proxy.origin.seen[asked:]
            assert [(each.method, each.path) for each in seen] == [(method, "/up"), ("GET", "/")]
            assert seen[0].body == b"".join(chunks)


HEAD = b'--x\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n'
END = b"\r\n--x--\r\n"


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("told", [True, False], ids=["with a length", "without"])
@pytest.mark.parametrize(
    ("form", "passes", "code"),
    [
        (HEAD % b"notes.txt" + b"text" + END, True, ""),
        (HEAD % b"tool.exe" + b"MZ" + END, False, ""),
        (HEAD % b"tool.exe" + b"MZ" + bytes(3 * 2**20) + END, False, "upload.unnamed"),
        (HEAD % b"tool.exe" + b"MZ", False, "upload.unnamed"),
        (b"no form at all", False, "upload.unnamed"),
    ],
    ids=["allowed", "forbidden", "too large to read", "without an end", "no form"],
)
def test_a_form_is_judged_however_it_comes(
    here: Site, version: str, told: bool, form: bytes, passes: bool, code: str
) -> None:
    """What hides its file names from us might tell them to the application: it is not let through unjudged."""
    cookie = here.proxy.session()
    kind = {**FETCH, "content-type": "multipart/form-data; boundary=x"}
    asked = len(here.proxy.origin.seen)
    if version == "HTTP/2":
        with Two(here.proxy, cookie) as two:
            pieces = [form[at : at + 100_000] for at in range(0, len(form), 100_000)]
            answer = two.ask("/up", method="POST", headers=kind, content=form if told else iter(pieces))
            status, body, activity = answer.status_code, answer.text, answer.headers.get("x-casb-activity", "")
    else:
        chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(form), form)
        more = {} if told else {"transfer-encoding": "chunked"}
        got = here.proxy.ask(
            "/up", method="POST", cookie=cookie, headers={**kind, **more}, body=form if told else chunked
        )
        status, body, activity = got.status, got.text, got.headers.get("x-casb-activity", "")
    arrived = here.proxy.origin.seen[asked:]
    if passes:
        assert (status, body, arrived[0].body) == (200, "thanks", form)
        return
    assert (status, arrived) == (403, [])
    record = here.proxy.record(activity)
    assert (record["activity"], record["action"]) == ("upload", "block")
    assert code in [each["code"] for each in record["reasons"]] if code else record["policy"] == "block-programs-up"


def test_http2_cookies_may_come_in_pieces(here: Site) -> None:
    """RFC 9113 section 8.2.3."""
    cookie = here.proxy.session()
    with Two(here.proxy) as two:
        headers = [*NAVIGATE.items(), ("cookie", "a=1"), ("cookie", cookie), ("cookie", "b=2")]
        request = two.client.build_request(
            "GET",
            f"https://127.0.0.1:{here.proxy.port}/",
            headers=[("host", f"{here.proxy.host}:{here.proxy.port}"), *headers],
            extensions={"sni_hostname": here.proxy.host},
        )
        answer = two.client.send(request)
        assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
        assert sorted(here.proxy.origin.seen[-1].headers["cookie"].replace(" ", "").split(";")) == ["a=1", "b=2"]


def test_http2_without_a_session(here: Site) -> None:
    with Two(here.proxy) as two:
        assert two.ask("/", headers=FETCH).status_code == 401
        assert two.ask("/").status_code == 303


@pytest.mark.parametrize("authority", [f"{WIKI}.{SUFFIX}", f"login.{SUFFIX}", "evil.example", APP_HOST])
def test_a_coalesced_connection_is_misdirected(here: Site, authority: str) -> None:
    """RFC 9113 section 9.1.2: certificates of ours name one host, and connections serve that one."""
    with Two(here.proxy, here.proxy.session()) as two:
        assert two.ask("/").status_code == 200
        asked = len(here.wiki.seen)
        answer = two.ask("/", authority=f"{authority}:{here.proxy.port}")
        assert answer.status_code == 421
        record = here.proxy.record(answer.headers["x-casb-activity"])
        assert record["reasons"][0]["code"] == "gateway.421"
        assert len(here.wiki.seen) == asked
        assert two.ask("/").status_code == 200


# ------------------------------------------------------------ WebSocket

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def echo(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    """A WebSocket of the application's: says who it thinks it talks to, then repeats what it hears."""
    key = (handler.headers.get("sec-websocket-key") or "").encode()
    accept = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest()).decode()
    handler.send_response(101)
    for name, value in (("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-accept", accept)):
        handler.send_header(name, value)
    handler.end_headers()
    talk, sock = Connection(ConnectionType.SERVER), handler.connection
    told = f"{handler.headers.get('host')} {handler.headers.get('origin')} {handler.headers.get('cookie')}"
    sock.sendall(talk.send(ws.TextMessage(told)))
    while data := sock.recv(65536):
        talk.receive_data(data)
        for event in talk.events():
            if isinstance(event, ws.TextMessage):
                sock.sendall(talk.send(ws.TextMessage(event.data)))
            elif isinstance(event, ws.BytesMessage):
                sock.sendall(talk.send(ws.BytesMessage(bytes(event.data))))
            elif isinstance(event, ws.CloseConnection):
                sock.sendall(talk.send(event.response()))
                return


class Socket:
    """A browser's WebSocket to the application's suffixed host."""

    def __init__(self, proxy: World, cookie: str, **headers: str) -> None:
        self.connection = proxy.connect(proxy.host)
        self.connection.settimeout(10)
        self.talk = WSConnection(ConnectionType.CLIENT)
        host = f"{proxy.host}:{proxy.port}"
        sent = {"origin": f"https://{host}", "user-agent": BROWSER, "sec-fetch-mode": "websocket", **headers}
        if cookie:
            sent["cookie"] = cookie
        extra = [(name.encode(), value.encode()) for name, value in sent.items()]
        self.connection.sendall(self.talk.send(ws.Request(host=host, target="/socket", extra_headers=extra)))
        self.waiting: list[Any] = []

    def next(self) -> Any:
        """The next event; None at the end of the connection."""
        while not self.waiting:
            data = self.connection.recv(65536)
            if not data:
                return None
            self.talk.receive_data(data)
            self.waiting = list(self.talk.events())
        return self.waiting.pop(0)

    def say(self, message: ws.Event) -> None:
        """Send one event."""
        self.connection.sendall(self.talk.send(message))

    def close(self) -> None:
        self.connection.close()


def test_a_websocket_through_the_suffix(here: Site) -> None:
    cookie = here.proxy.session()
    socket_ = Socket(here.proxy, f"{cookie}; app=1")
    with contextlib.closing(socket_):
        assert isinstance(socket_.next(), ws.AcceptConnection)
        assert socket_.next().data == f"{APP_HOST} https://{APP_HOST} app=1", "its own names, none of our cookies"
        socket_.say(ws.TextMessage("hello é"))
        assert socket_.next().data == "hello é"
        data = os.urandom(5000)
        socket_.say(ws.BytesMessage(data))
        assert bytes(socket_.next().data) == data
        socket_.say(ws.CloseConnection(code=1000))
        assert isinstance(socket_.next(), ws.CloseConnection)


@pytest.mark.parametrize("cookie", ["", "__Host-casb_s=" + "A" * 43], ids=["none", "a forged one"])
def test_a_websocket_without_a_session_is_refused(here: Site, cookie: str) -> None:
    asked = len(here.proxy.origin.seen)
    with contextlib.closing(Socket(here.proxy, cookie)) as socket_:
        refused = socket_.next()
        assert isinstance(refused, (ws.RejectConnection, ws.RejectData))
        assert getattr(refused, "status_code", 401) == 401
    assert len(here.proxy.origin.seen) == asked


def test_a_websocket_ends_with_its_session(here: Site) -> None:
    other = Socket(here.proxy, here.proxy.session("stays@contoso.example"))
    mine = Socket(here.proxy, here.proxy.session("leaves@contoso.example"))
    with contextlib.closing(other), contextlib.closing(mine):
        for each in (other, mine):
            assert isinstance(each.next(), ws.AcceptConnection)
            each.next()
            each.say(ws.TextMessage("still there?"))
            assert each.next().data == "still there?"
        assert here.proxy.revoke("leaves@contoso.example") > 0
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            assert mine.next() is None or isinstance(mine.waiting, list)
        assert time.monotonic() - begun < 1
        other.say(ws.TextMessage("and I?"))
        assert other.next().data == "and I?", "others go on"


# ------------------------------------------------------------ one connection, several requests


class Kept:
    """One HTTP/1.1 connection, kept."""

    def __init__(self, proxy: World, cookie: str) -> None:
        self.proxy, self.cookie = proxy, cookie
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=20)
        self.connection.sock = proxy.connect(proxy.host)
        self.connection.auto_open = 0  # Never a second one in silence.
        self.port = self.connection.sock.getsockname()[1]

    def ask(self, path: str, **headers: str) -> tuple[int, bytes]:
        """One more request."""
        host = f"{self.proxy.host}:{self.proxy.port}"
        sent = {"host": host, "user-agent": BROWSER, "cookie": self.cookie, **NAVIGATE, **headers}
        self.connection.request("GET", path, headers=sent)
        answer = self.connection.getresponse()
        return answer.status, answer.read()


def test_the_next_request_on_a_connection_meets_the_new_policy(here: Site) -> None:
    kept = Kept(here.proxy, here.proxy.session())
    two = Two(here.proxy, here.proxy.session())
    with contextlib.closing(kept.connection), two:
        assert kept.ask("/plan") == (200, SECRET_FILE)
        assert two.ask("/plan").content == SECRET_FILE
        here.proxy.write("policies.yaml", POLICIES.replace("payroll*", "plan*"))
        begun = time.monotonic()
        wait_for(lambda: b"90000" not in kept.ask("/plan")[1], "the edit on the connection that was there", 5)
        assert time.monotonic() - begun < 2
        assert b"90000" not in two.ask("/plan").content
        assert kept.ask("/payroll") == (200, SECRET_FILE), "and what the old one blocked passes"
        here.proxy.write("policies.yaml", POLICIES)
        wait_for(lambda: kept.ask("/plan") == (200, SECRET_FILE), "the old policy", 5)


def test_the_next_request_on_a_connection_without_its_app(here: Site) -> None:
    """The app's file goes away under a live connection: nothing more is served on it."""
    host = f"{WIKI}.{SUFFIX}"
    here.wiki.page("/", b"<p>wiki</p>", content_type="text/html")
    cookie = here.proxy.session(host=host)
    text = (here.proxy.config / "apps/wiki.yaml").read_text()
    with httpx.Client(http2=True, verify=trust(here.proxy), trust_env=False, timeout=20) as client:

        def ask() -> int:
            answer = client.get(
                f"https://127.0.0.1:{here.proxy.port}/",
                headers={**NAVIGATE, "host": f"{host}:{here.proxy.port}", "cookie": cookie},
                extensions={"sni_hostname": host},
            )
            return answer.status_code

        assert ask() == 200
        (here.proxy.config / "apps/wiki.yaml").unlink()
        wait_for(lambda: ask() == 404, "the app to be gone", 5)
        here.proxy.write("apps/wiki.yaml", text)
        wait_for(lambda: ask() == 200, "the app to be back", 5)


def test_the_next_request_on_a_connection_after_the_session_has_ended(here: Site) -> None:
    kept = Kept(here.proxy, here.proxy.session("brief@contoso.example"))
    with contextlib.closing(kept.connection):
        assert kept.ask("/plan")[0] == 200
        here.proxy.revoke("brief@contoso.example")
        with contextlib.suppress(OSError, http.client.HTTPException):
            assert kept.ask("/plan", **FETCH)[0] == 401


# ------------------------------------------------------------ IPv6

RANGES = """\
version: 1
ranges:
  - {name: here, ranges: ["::1"], category: risky, tags: [this-machine]}
"""
V6_POLICIES = """\
version: 1
policies:
  - id: no-payroll-from-here
    kind: session
    activities: [download]
    when: {file: {name: "payroll*"}, client: {ip_tag: this-machine}}
    action: block
"""


def test_ipv6_to_listen_on_and_to_come_from(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("six"), start=False) as made:
        path = made.config / "casb.yaml"
        path.write_text(path.read_text().replace(f"reverse: 127.0.0.1:{made.port}", f'reverse: "[::1]:{made.port}"'))
        made.write("ranges.yaml", RANGES)
        made.write("policies.yaml", V6_POLICIES)
        made.origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        made.origin.routes["/payroll"] = lambda handler, _body: attachment(handler, "payroll.csv", SECRET_FILE)
        made.process = launch(made)
        wait_for(lambda: six(made.port), "the worker to listen", 30, made.alive)
        assert not listens(made.port), "nothing on IPv4"
        cookie = made.session()

        def ask(path: str) -> tuple[int, bytes, str]:
            connection = http.client.HTTPConnection("::1", made.port, timeout=20)
            raw = socket.create_connection(("::1", made.port), timeout=20)
            connection.sock = trust(made).wrap_socket(raw, server_hostname=made.host)
            headers = {**NAVIGATE, "host": f"{made.host}:{made.port}", "cookie": cookie, "user-agent": BROWSER}
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body, activity = answer.read(), answer.headers.get("x-casb-activity", "")
            connection.close()
            return answer.status, body, activity

        status, body, _ = ask("/")
        assert (status, b"the app" in body) == (200, True)
        status, body, activity = ask("/payroll")
        assert b"90000" not in body
        record = made.record(activity)
        assert (record["policy"], record["client"]["ip"]) == ("no-payroll-from-here", "::1")
        assert record["client"]["ip_tags"] == ["this-machine"]


def six(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("::1", port), timeout=1):
        return True
    return False


def launch(made: World) -> subprocess.Popen[bytes]:
    """A worker whose listener `World.start` would look for on IPv4."""
    (made.data / "workers").mkdir(parents=True, exist_ok=True)
    with (made.folder / "worker.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-O", "-m", "casb.proxy.worker", "--config", str(made.config)],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ADDONS), **made.environment},
            stderr=log,
        )
