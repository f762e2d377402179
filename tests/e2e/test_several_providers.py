"""Several identity providers in one deployment, behind a balancer that passes bytes on (HAProxy, PROXY protocol)."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from casb.identity.home_realm import mark_of
from proxy_world import SUFFIX, free_port, listens, wait_for
from wire_world import CLIENT, WIKI, Browser, HostileProvider, Site, site

BALANCER = """\
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{front}
  default_backend proxy
backend proxy
  server one 127.0.0.1:{inner} send-proxy-v2
"""


@dataclass
class Two:
    site: Site
    other: HostileProvider
    inner: int  # the port behind the balancer

    def browser(self) -> Browser:
        made = self.site.proxy.folder
        return Browser(made, made / "certs" / "casb-ca.pem", self.site.idp.server.ca, self.other.server.ca)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder, front = tmp_path_factory.mktemp("several"), free_port()
    other = HostileProvider(folder / "other")
    other.claims = {"preferred_username": "eve@fabrikam.example", "sub": "eve", "dept": ["Research"]}
    with contextlib.ExitStack() as running:
        running.callback(other.server.close)
        made = running.enter_context(site(folder / "site", start=False, public_port=str(front)))
        proxy = made.proxy
        text = (proxy.config / "casb.yaml").read_text()
        text = text.replace("listeners:\n", "listeners:\n  proxy_protocol: [reverse]\n")
        text = re.sub(
            r"(?m)^providers:\n",
            "choose_provider: ask\ntrusted_proxies: [127.0.0.1/32]\nproviders:\n"
            f"  - id: fabrikam\n    name: Fabrikam\n    authority: {other.issuer}\n    client_id: {CLIENT}\n"
            f"    client_secret: env:CASB_TEST_SECRET\n    ca: {other.server.ca}\n    domains: [fabrikam.example]\n"
            "    claims: {organization: dept}\n",
            text,
        )
        proxy.write("casb.yaml", text)
        proxy.start()
        running.callback(proxy.stop)
        settings = folder / "haproxy.cfg"
        settings.write_text(BALANCER.format(front=front, inner=proxy.port))
        balancer = subprocess.Popen(["haproxy", "-db", "-q", "-f", str(settings)], stderr=subprocess.DEVNULL)
        running.callback(balancer.wait)
        running.callback(balancer.kill)
        wait_for(lambda: listens(front), "the balancer to listen")
        inner, proxy.port = proxy.port, front
        proxy.origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        made.wiki.page("/", b"<html><head></head>the wiki</html>", content_type="text/html")
        yield Two(site=made, other=other, inner=inner)


def test_a_person_chooses_once(two: Two) -> None:
    browser, at = two.browser(), two.site
    page = browser.open(at.url("/"))
    assert "Where do you sign in?" in page.text and "Fabrikam" in page.text
    pending = re.search(r'name="p" value="([^"]+)"', page.text)
    assert pending
    begun = len(two.other.asked), len(at.idp.asked)
    answer = browser.open(f"{at.login}/.casb/login?p={pending[1]}&provider=fabrikam")
    assert "the app" in answer.text, (answer.text, two.site.proxy.log[-3000:])
    assert (len(two.other.asked), len(at.idp.asked)) == (begun[0] + 1, begun[1])
    assert browser.cookie("__Host-casb_r", f"login.{SUFFIX}") == mark_of("fabrikam")
    users = [each["user"] for each in at.proxy.records() if each["user"]]
    assert [(each["name"], each["organization"]) for each in users][:1] == [("eve@fabrikam.example", "Research")]
    # The session is gone, the choice is not.
    for each in list[Any](browser.session.cookies):
        if each.name != "__Host-casb_r":
            browser.session.cookies.clear(each.domain, each.path, each.name)
    assert "the wiki" in browser.open(at.url("/", WIKI)).text
    assert len(two.other.asked) == begun[0] + 2


def test_hints_spare_the_question_and_are_passed_on(two: Two) -> None:
    browser, at = two.browser(), two.site
    assert "the app" in browser.open(at.url("/?login_hint=eve@fabrikam.example")).text
    assert two.other.asked[-1]["login_hint"] == "eve@fabrikam.example"
    assert "the app" in two.browser().open(at.url("/?whr=contoso.example")).text
    assert at.idp.asked[-1]["domain_hint"] == "contoso.example"
    assert "Where do you sign in?" in two.browser().open(at.url("/?login_hint=eve@evil.example")).text


def test_a_provider_that_is_away_is_said_to_be(two: Two) -> None:
    at = two.site
    record = two.browser().open(at.url("/?whr=fabrikam.example"))
    assert "the app" in record.text
    two.other.down = True
    try:
        # What its metadata says is known, so this worker sends people there until its looks come to nothing.
        at.proxy.stop()
        at.proxy.port, front = two.inner, at.proxy.port
        at.proxy.start()
        at.proxy.port = front
        page = two.browser().open(at.url("/?whr=fabrikam.example"))
    finally:
        two.other.down = False
    assert page.status_code == 503 and "Fabrikam" in page.text and "does not answer" in page.text
    assert "choose=1" in page.text and "I001" in page.text and page.headers["retry-after"]


def ask(two: Two, port: int, source: str, first: bytes = b"") -> str:
    """The activity id of a sign-in that cannot be used, asked for from an address; '' when the connection is closed."""
    context = ssl.create_default_context(cafile=str(two.site.proxy.folder / "certs" / "casb-ca.pem"))
    raw = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    try:
        raw.sendall(first)
        with context.wrap_socket(raw, server_hostname=f"login.{SUFFIX}") as line:
            head = (
                f"GET /.casb/oidc/callback?state=x&code=y HTTP/1.1\r\nhost: login.{SUFFIX}:{two.site.proxy.port}\r\n"
                "sec-fetch-mode: navigate\r\naccept: text/html\r\nx-forwarded-for: 6.6.6.6\r\n"
                "forwarded: for=6.6.6.6\r\nconnection: close\r\n\r\n"
            )
            line.sendall(head.encode())
            answer = b""
            while data := line.recv(65536):
                answer += data
    except OSError:
        return ""
    finally:
        raw.close()
    found = re.search(rb"(?i)x-casb-activity: (\S+)", answer)
    return found[1].decode() if found else ""


def test_the_balancer_says_whose_connection_it_is_and_nobody_else(two: Two) -> None:
    proxy = two.site.proxy
    told = proxy.record(ask(two, proxy.port, "127.0.0.9"))
    assert told["client"]["ip"] == "127.0.0.9", json.dumps(told)
    forged = b"PROXY TCP4 10.0.0.1 127.0.0.1 4711 443\r\n"
    assert ask(two, two.inner, "127.0.0.9", forged) == "", "not from a trusted proxy"
    assert ask(two, two.inner, "127.0.0.1") == "", "a trusted proxy that says nothing"
    assert proxy.record(ask(two, two.inner, "127.0.0.1", forged))["client"]["ip"] == "10.0.0.1"
    twice = proxy.record(ask(two, two.inner, "127.0.0.1", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 443\r\n"))
    assert twice["client"]["ip"] == "6.6.6.6", "then the one field that trusted proxies extend is read"
