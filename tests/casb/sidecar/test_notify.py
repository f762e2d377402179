"""E-mail and webhooks, against servers on loopback."""

from __future__ import annotations

import email
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email import policy as email_policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from casb.settings import Alerts, Mail, Secret, Webhook
from casb.sidecar.notify import send_due, signature
from casb.sidecar.services import Services
from casb.store.alerts_sqlite import NewAlert
from loopback_tls import certificate
from sample_records import START

NEW = NewAlert(
    time=START,
    kind="policy",
    policy="p",
    severity="high",
    title="Payroll\r\nBcc: evil@x.example left",
    key="u",
    activity="a1",
    user="ada@contoso.example",
)


class Mailbox(socketserver.ThreadingTCPServer):
    """Speaks just enough SMTP (RFC 5321) with STARTTLS to take messages."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, refuses: bool = False) -> None:
        self.context, self.refuses = context, refuses
        self.taken: list[tuple[str, bytes, bool]] = []
        super().__init__(("127.0.0.1", 0), Session)


class Session(socketserver.StreamRequestHandler):
    server: Mailbox

    def handle(self) -> None:
        secure = False
        self.say("220 loopback")
        recipient = ""
        while line := self.rfile.readline().strip():
            verb = line.split(b" ")[0].upper()
            if verb == b"EHLO":
                self.say("250-loopback\r\n250 STARTTLS" if not secure else "250 loopback")
            elif verb == b"STARTTLS":
                self.say("220 go")
                self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
                secure = True
            elif verb == b"RCPT":
                recipient = line.decode().partition("<")[2].rstrip(">")
                self.say("550 no" if self.server.refuses else "250 ok")
            elif verb == b"DATA":
                self.say("354 go")
                content = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    content += part
                self.server.taken.append((recipient, content, secure))
                self.say("250 ok")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def finish(self) -> None:
        super().finish()
        self.connection.close()  # the server itself closes only what it accepted, not what was wrapped around it

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")
        self.wfile.flush()


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def telling(services: Services, alerts: Alerts) -> Services:
    return replace(services, settings=replace(services.settings, alerts=alerts))


def mail_of(box: Mailbox, ca: str, **more: object) -> Alerts:
    port = box.server_address[1]
    mail = Mail(server=f"127.0.0.1:{port}", sender="casb@contoso.example", to=("soc@contoso.example",), ca=ca)
    return Alerts(mail=replace(mail, **more))  # type: ignore[arg-type]  # fields of Mail


def test_an_alert_by_mail(services: Services, tmp_path: Path) -> None:
    ca, context = certificate(tmp_path)
    box = Mailbox(context)
    with running(box):
        told = telling(services, mail_of(box, ca))
        told.alerts.raise_all([replace(NEW, email=("owner@contoso.example", "soc@contoso.example"))])
        assert send_due(told) == 1
    assert [(to, secure) for to, _, secure in box.taken] == [
        ("soc@contoso.example", True),
        ("owner@contoso.example", True),
    ]
    message = email.message_from_bytes(box.taken[0][1], policy=email_policy.default)
    assert message["Subject"] == "[casb] high: Payroll  Bcc: evil@x.example left"
    assert message["Bcc"] is None, "a title adds no header"
    assert "/alerts/" in message.get_content()
    assert told.alerts.due("email", told.clock()) == []


def test_a_mail_server_that_is_away_gets_it_later(services: Services, tmp_path: Path) -> None:
    ca, context = certificate(tmp_path)
    box = Mailbox(context, refuses=True)
    with running(box):
        told = telling(services, mail_of(box, ca))
        told.alerts.raise_all([NEW])
        assert send_due(told) == 0
        assert told.alerts.due("email", told.clock()) == []
        box.refuses = False
        told.clock.now += timedelta(minutes=2)  # type: ignore[attr-defined]  # the tests' clock
        assert send_due(told) == 1
    assert len(box.taken) == 1


def test_a_server_with_another_certificate_gets_nothing(services: Services, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ca, _ = certificate(tmp_path / "other")
    _, context = certificate(tmp_path)
    box = Mailbox(context)
    with running(box):
        told = telling(services, mail_of(box, ca))
        told.alerts.raise_all([NEW])
        assert send_due(told) == 0
    assert box.taken == []


def test_below_the_least_severity_only_the_policy_s_own_people_are_told(services: Services, tmp_path: Path) -> None:
    ca, context = certificate(tmp_path)
    box = Mailbox(context)
    with running(box):
        told = telling(services, mail_of(box, ca, least="high"))
        told.alerts.raise_all([replace(NEW, severity="low", email=("owner@contoso.example",))])
        send_due(told)
    assert [to for to, *_ in box.taken] == ["owner@contoso.example"]


def test_a_webhook_is_signed(services: Services, tmp_path: Path) -> None:
    ca, context = certificate(tmp_path)
    seen: list[tuple[str, dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append((self.path, dict(self.headers), content))
            self.send_response(204 if len(seen) > 1 else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server):
        hook = Webhook(url=f"https://127.0.0.1:{server.server_address[1]}/hook", secret=Secret("s3cret"), ca=ca)
        told = telling(services, Alerts(webhooks=(hook,)))
        told.alerts.raise_all([NEW])
        assert send_due(told) == 0, "500: not taken"
        told.clock.now += timedelta(minutes=2)  # type: ignore[attr-defined]  # the tests' clock
        assert send_due(told) == 1
    path, headers, content = seen[1]
    assert path == "/hook"
    assert headers["X-Casb-Signature"] == signature("s3cret", content)
    assert json.loads(content)["policy"] == "p"
    assert content == seen[0][2], "the second try says the same"


def test_without_anybody_to_tell_nothing_waits(services: Services) -> None:
    services.alerts.raise_all([NEW])
    assert send_due(services) == 0
    assert services.alerts.waiting() == 0


@pytest.mark.parametrize("tries", [8])
def test_it_is_given_up_in_the_end(services: Services, tries: int) -> None:
    mail = Mail(server="127.0.0.1:1", sender="casb@contoso.example", to=("soc@contoso.example",), tls="none")
    told = telling(services, Alerts(mail=mail))
    told.alerts.raise_all([NEW])
    for _ in range(tries):
        send_due(told)
        told.clock.now += timedelta(hours=7)  # type: ignore[attr-defined]  # the tests' clock
    assert told.alerts.waiting() == 0
    assert told.alerts.query(state="open"), "the alert itself stays"
