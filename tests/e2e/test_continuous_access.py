"""Sessions that live on only while their provider says so: asked anew, told of events, ended within a second."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from proxy_world import BROWSER, FETCH, NAVIGATE, Reply, wait_for
from wire_world import CLIENT, LOGIN, TENANT, Browser, Site, nothing_leaked, site

CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
BEARER = "a-bearer-token-for-events"
AGE = 2  # seconds that what the provider said counts in these tests
OTHER = BROWSER.replace("Chrome/156", "Chrome/99")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(
        tmp_path_factory.mktemp("live"),
        start=False,
        session=f"{{reevaluate: {AGE}s, grace: 2s}}",
        trusted_proxies="[127.0.0.1]",
    ) as made:
        text = (made.proxy.config / "casb.yaml").read_text()
        transmitter = (
            f"security_events:\n  - issuer: {made.idp.base}\n    jwks: {made.idp.base}/keys\n    audience: casb\n"
            f"    provider: test\n    token: env:EVENTS\n    ca: {made.idp.server.ca}\n"
        )
        made.proxy.write("casb.yaml", text + transmitter)
        made.proxy.environment = {**made.proxy.environment, "EVENTS": BEARER}
        made.proxy.origin.page("/", b"<html><head></head>the app</html>", content_type="text/html")
        made.proxy.origin.page("/save", b"<html><head></head>saved</html>", content_type="text/html")
        made.proxy.origin.routes["/stream"] = stream
        made.wiki.page("/", b"<html><head></head>the wiki</html>", content_type="text/html")
        made.proxy.start()
        yield made


@pytest.fixture
def here(running: Site) -> Iterator[Site]:
    running.idp.reset()
    yield running
    running.idp.reset()


def stream(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    """Events without end."""
    handler.send_response(200)
    handler.send_header("content-type", "text/event-stream")
    handler.end_headers()
    with contextlib.suppress(OSError):
        for number in range(600):
            handler.wfile.write(f"data: {number}\n\n".encode())
            handler.wfile.flush()
            time.sleep(0.05)


def signed_in(here: Site, **claims: Any) -> Browser:
    here.idp.claims = claims
    browser = here.browser()
    assert "the app" in browser.open(here.url("/")).text
    here.idp.asked.clear()
    return browser


def event(here: Site, name: str, subject: Any, *, headers: dict[str, str] | None = None, **changes: Any) -> Reply:
    """Push one event as the transmitter does; a claim of None is left out."""
    details = {"subject": subject, "event_timestamp": int(time.time()), **changes.pop("details", {})}
    claims = {
        "iss": here.idp.base,
        "aud": "casb",
        "iat": int(time.time()),
        "jti": secrets.token_hex(8),
        "events": {name: details},
        **changes,
    }
    claims = {key: value for key, value in claims.items() if value is not None}
    return push(here, here.idp.sign(claims, typ="secevent+jwt"), headers)


def push(here: Site, token: str, headers: dict[str, str] | None = None) -> Reply:
    sent = {"content-type": "application/secevent+jwt", "authorization": f"Bearer {BEARER}", **(headers or {})}
    return here.proxy.ask("/.casb/events", method="POST", host=LOGIN, headers=sent, body=token.encode())


def alive(here: Site, browser: Browser) -> bool:
    return browser.send(here.url("/"), headers=FETCH).status_code == 200


ADA = {"format": "iss_sub", "iss": "ISSUER", "sub": "pairwise-ada"}
EVENTS = [
    pytest.param(f"{CAEP}session-revoked", {"session": {"format": "opaque", "id": "idp-session-1"}}, {}, id="sid"),
    pytest.param(f"{CAEP}session-revoked", ADA, {}, id="iss_sub"),
    pytest.param(f"{CAEP}credential-change", {"user": {"format": "email", "email": "Ada@contoso.example"}},
                 {"change_type": "update", "credential_type": "password"}, id="email"),
    pytest.param(f"{CAEP}device-compliance-change",
                 {"user": ADA, "device": {"format": "opaque", "id": "Device-7"}},
                 {"previous_status": "compliant", "current_status": "not-compliant"}, id="device"),
    pytest.param(f"{CAEP}token-claims-change", {"user": {"format": "opaque", "id": "oid-ada"}},
                 {"claims": {"role": "none"}}, id="oid"),
    pytest.param(f"{RISC}account-disabled", {"subject_type": "iss-sub", "iss": "ISSUER", "sub": "pairwise-ada"},
                 {"reason": "hijacking"}, id="risc, older spelling"),
    pytest.param(f"{CAEP}session-revoked",
                 {"format": "aliases", "identifiers": [{"format": "phone_number", "phone_number": "+1"}, ADA]}, {},
                 id="aliases"),
    pytest.param(f"{CAEP}session-revoked",
                 {"user": ADA, "session": {"format": "opaque", "id": "unknown here"}}, {}, id="session not known"),
]  # fmt: skip


def named(here: Site, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: named(here, each) for key, each in value.items()}
    if isinstance(value, list):
        return [named(here, each) for each in value]
    return here.idp.issuer if value == "ISSUER" else value


@pytest.mark.parametrize(("name", "subject", "details"), EVENTS)
def test_an_event_ends_the_sessions_it_is_about(here: Site, name: str, subject: Any, details: dict[str, Any]) -> None:
    ada = signed_in(here, deviceid="device-7")
    eve = signed_in(here, oid="oid-eve", sub="eve", preferred_username="eve@contoso.example", sid="s2")
    begun = time.monotonic()
    got = event(here, name, named(here, subject), details=details)
    assert (got.status, got.body) == (202, b"")
    assert not alive(here, ada)
    assert time.monotonic() - begun < 1
    assert alive(here, eve), "others go on"


@pytest.mark.parametrize(
    ("name", "details"),
    [
        (f"{CAEP}device-compliance-change", {"previous_status": "not-compliant", "current_status": "compliant"}),
        (f"{CAEP}assurance-level-change", {"change_direction": "increase"}),
        (f"{CAEP}session-established", {}),
        (f"{RISC}account-enabled", {}),
        ("https://schemas.openid.net/secevent/ssf/event-type/verification", {"state": "x"}),
        ("https://example.com/some-other-event", {}),
    ],
)
def test_other_events_are_taken_and_end_nothing(here: Site, name: str, details: dict[str, Any]) -> None:
    ada = signed_in(here)
    assert event(here, name, named(here, ADA), details=details).status == 202
    assert alive(here, ada)


def test_a_token_counts_once(here: Site) -> None:
    signed_in(here)
    jti = secrets.token_hex(8)
    assert event(here, f"{CAEP}session-revoked", named(here, ADA), jti=jti).status == 202
    again = signed_in(here)
    assert event(here, f"{CAEP}session-revoked", named(here, ADA), jti=jti).status == 202, "it is not sent for ever"
    assert alive(here, again), "and ends nothing any more"


def test_what_is_not_a_transmitters_ends_nothing(here: Site) -> None:
    ada = signed_in(here)
    name, subject = f"{CAEP}session-revoked", named(here, ADA)
    present = int(time.time())
    good = {"iss": here.idp.base, "aud": "casb", "iat": present, "jti": "j", "events": {name: {"subject": subject}}}
    sign = here.idp.sign
    whole = sign(good, typ="secevent+jwt")
    refused = [
        (whole, {"authorization": ""}, "authentication_failed"),
        (whole, {"authorization": "Bearer other"}, "authentication_failed"),
        (whole, {"content-type": "application/jwt"}, "invalid_request"),
        (sign(good), {}, "invalid_request"),
        (sign(good, typ="logout+jwt"), {}, "invalid_request"),
        (sign({**good, "iss": "https://evil.example"}, typ="secevent+jwt"), {}, "invalid_issuer"),
        (sign({**good, "aud": CLIENT}, typ="secevent+jwt"), {}, "invalid_audience"),
        (sign({**good, "iat": present - 8 * 86400}, typ="secevent+jwt"), {}, "invalid_request"),
        (sign({**good, "iat": present + 3600}, typ="secevent+jwt"), {}, "invalid_request"),
        (sign({**good, "events": {}}, typ="secevent+jwt"), {}, "invalid_request"),
        (sign({**good, "nonce": "n"}, typ="secevent+jwt"), {}, "invalid_request"),
        (sign({**good, "events": {name: {}}}, typ="secevent+jwt"), {}, "invalid_request"),
        (whole.rpartition(".")[0] + "." + "A" * 342, {}, "invalid_key"),
        ("", {}, "invalid_request"),
        ("not a token", {}, "invalid_request"),
    ]
    for token, headers, error in refused:
        got = push(here, token, headers)
        assert (got.status, got.json["err"]) == (400, error), (error, got.text)
    assert alive(here, ada)
    nothing_leaked(here.proxy, BEARER, *whole.split(".")[1:])


# ------------------------------------------------------------ asked anew


def test_the_provider_is_asked_anew_without_a_page_and_claims_are_replaced(here: Site) -> None:
    ada = signed_in(here, acrs=["c1"], groups=["a"])
    first = ada.cookie("__Host-casb_s")
    time.sleep(AGE + 0.2)
    here.idp.claims = {"groups": ["b"]}
    answer = ada.open(here.url("/?x=1"))
    assert (answer.status_code, answer.url) == (200, here.url("/?x=1"))
    assert [(each["prompt"], each["login_hint"]) for each in here.idp.asked] == [("none", "ada@contoso.example")]
    assert ada.cookie("__Host-casb_s") != first, "the id changes with what is known"
    page = ada.open(f"{here.login}/.casb/session").text
    assert "Unmanaged" in page, "the device has lost its tag: replaced, not merged"
    asked = len(here.idp.asked)
    ada.open(here.url("/"))
    assert len(here.idp.asked) == asked, "not again before its time"


def test_a_form_sent_when_it_is_time_arrives_whole(here: Site) -> None:
    ada = signed_in(here)
    time.sleep(AGE + 0.2)
    headers = {**NAVIGATE, "sec-fetch-site": "same-origin", "origin": here.url(""), "content-type": "text/plain"}
    answer = ada.open(here.url("/save"), method="POST", headers=headers, data=b"a=1&b=\xff\x00")
    assert "saved" in answer.text
    assert here.proxy.origin.seen[-1].body == b"a=1&b=\xff\x00"


def test_scripts_go_on_for_the_grace_and_are_stopped_then(here: Site) -> None:
    ada = signed_in(here)
    time.sleep(AGE + 0.3)
    assert alive(here, ada), "within the grace"
    time.sleep(2)
    told = ada.send(here.url("/"), headers=FETCH)
    assert (told.status_code, told.json()["casb"]) == (401, "re-evaluate")
    assert "You can close this window" in ada.open(told.json()["url"]).text
    assert alive(here, ada)


@pytest.mark.parametrize("error", ["login_required", "interaction_required", "access_denied"])
def test_a_provider_that_says_no_ends_the_session(here: Site, error: str) -> None:
    ada = signed_in(here)
    old = f"__Host-casb_s={ada.cookie('__Host-casb_s')}"
    time.sleep(AGE + 0.2)
    here.idp.refuses = f"silent:{error}"
    answer = ada.open(here.url("/?back=1"))
    assert here.proxy.ask("/", cookie=old, headers=FETCH).status == 401
    assert [each.get("prompt") for each in here.idp.asked] == ["none", None], "and the person signs in again"
    assert answer.url == here.url("/?back=1")


def test_a_disabled_person_is_out(here: Site) -> None:
    ada = signed_in(here)
    time.sleep(AGE + 0.2)
    here.idp.refuses = "access_denied"
    assert ada.open(here.url("/")).status_code == 502
    assert not alive(here, ada)


def test_an_outage_of_the_provider_ends_nothing_by_itself(here: Site) -> None:
    ada = signed_in(here)
    here.idp.down = True
    assert alive(here, ada)
    assert ada.open(here.url("/")).status_code == 200, "before its time nobody is asked"
    here.idp.down = False
    time.sleep(AGE + 0.2)
    here.idp.refuses = "temporarily_unavailable"
    assert ada.open(here.url("/")).status_code == 502
    here.idp.refuses = ""
    assert ada.open(here.url("/")).status_code == 200, "once it is back the session goes on"
    assert all(each.get("prompt") == "none" for each in here.idp.asked)


@pytest.mark.parametrize(
    ("change", "due"),
    [
        ({"x-forwarded-for": "203.0.113.9"}, True),
        ({"x-forwarded-for": "198.51.100.77"}, False),
        ({"user-agent": OTHER}, True),
        ({}, False),
    ],
    ids=["another network", "another address of the network", "another program", "no change"],
)
def test_another_network_or_program_is_asked_about_at_once(here: Site, change: dict[str, str], due: bool) -> None:
    home = {"x-forwarded-for": "198.51.100.7"}
    ada = here.browser()
    ada.session.headers.update(home)
    ada.open(here.url("/"))
    here.idp.asked.clear()
    told = ada.send(here.url("/"), headers={**FETCH, **change})
    assert told.status_code == (401 if due else 200)
    if due:
        assert told.json()["casb"] == "re-evaluate"
    ada.session.headers.update(change)
    assert ada.open(here.url("/")).status_code == 200
    assert [each.get("prompt") for each in here.idp.asked] == (["none"] if due else [])
    assert alive(here, ada), "and not again"


def test_a_stolen_cookie_leads_nowhere_from_another_network(here: Site) -> None:
    ada = signed_in(here)
    thief = here.browser()
    thief.session.headers["x-forwarded-for"] = "203.0.113.9"
    cookie = f"__Host-casb_s={ada.cookie('__Host-casb_s')}"
    answer = thief.send(here.url("/"), headers={**NAVIGATE, "cookie": cookie})
    assert answer.status_code == 303
    assert b"the app" not in answer.content


# ------------------------------------------------------------ open connections


def open_stream(here: Site, cookie: str) -> ssl.SSLSocket:
    line = here.proxy.connect(here.proxy.host)
    text = f"GET /stream HTTP/1.1\r\nhost: {here.proxy.host}:{here.proxy.port}\r\ncookie: {cookie}\r\n"
    line.sendall(f"{text}user-agent: {BROWSER}\r\nsec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\n\r\n".encode())
    assert b"data: 0" in b"".join(read_until(line, b"data: 0"))
    return line


def read_until(line: socket.socket, mark: bytes) -> Iterator[bytes]:
    found = b""
    while mark not in found:
        piece = line.recv(65536)
        if not piece:
            return
        found += piece
        yield piece


def test_a_running_stream_ends_within_a_second_of_the_event(here: Site) -> None:
    ada = signed_in(here)
    line = open_stream(here, f"__Host-casb_s={ada.cookie('__Host-casb_s')}")
    begun = time.monotonic()
    assert event(here, f"{CAEP}session-revoked", named(here, ADA)).status == 202
    line.settimeout(3)
    with contextlib.suppress(OSError):
        while line.recv(65536):
            pass
    assert time.monotonic() - begun < 1
    line.close()


def test_a_stream_nobody_confirms_ends_after_the_grace(here: Site) -> None:
    ada = signed_in(here)
    line = open_stream(here, f"__Host-casb_s={ada.cookie('__Host-casb_s')}")
    line.settimeout(12)
    begun = time.monotonic()
    with contextlib.suppress(OSError):
        while line.recv(65536):
            pass
    assert AGE < time.monotonic() - begun < 8
    line.close()


def test_the_front_channel_ends_by_issuer_and_sid_and_not_by_cookie(here: Site) -> None:
    ada = signed_in(here)
    frame = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe", "accept": "text/html"}
    path = "/.casb/oidc/frontchannel-logout"
    for query in ("", "?sid=", "?sid=other", "?sid=idp-session-1&iss=https://evil.example"):
        ada.send(f"{here.login}{path}{query}", headers=frame)
        assert alive(here, ada), query
    here.proxy.ask(f"{path}?sid=idp-session-1&iss={here.idp.issuer}", host=LOGIN, headers=frame)
    wait_for(lambda: not alive(here, ada), "the session to end", 1)
    assert TENANT in here.idp.issuer


def test_replies_do_not_tell_whether_somebody_is_known(here: Site) -> None:
    one = event(here, f"{CAEP}session-revoked", {"format": "email", "email": "nobody@contoso.example"})
    signed_in(here)
    other = event(here, f"{CAEP}session-revoked", {"format": "email", "email": "ada@contoso.example"})
    assert (one.status, one.body, set(one.headers)) == (other.status, other.body, set(other.headers))


def test_a_person_sees_their_session_and_ends_it_everywhere(here: Site) -> None:
    ada = signed_in(here, acrs=["c1"])
    page = ada.open(here.url("/.casb/session"))
    assert page.url == f"{here.login}/.casb/session", "not on a host that runs the app's scripts"
    assert "authentication context c1" in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    kept = page.text.partition('name="once" value="')[2].partition('"')[0]
    headers = {**NAVIGATE, "sec-fetch-site": "same-origin", "origin": here.login}
    out = f"{here.login}/.casb/sign-out"
    asked = ada.send(out, method="POST", headers=headers, data=f"once={'x' * 43}")
    assert "Sign out everywhere" in asked.text
    assert alive(here, ada), "a form that is not ours asks again and ends nothing"
    assert ada.send(out, method="POST", headers=headers, data=f"once={kept}").status_code == 303
    assert not alive(here, ada)
    nothing_leaked(here.proxy, kept)


def test_the_session_page_shows_no_secrets(here: Site) -> None:
    ada = signed_in(here, groups=["group-nobody-needs-to-see"])
    for url in (f"{here.login}/.casb/session", here.url("/.casb/session"), here.url("/.casb/sign-out")):
        text = ada.open(url).text
        for secret in (*ada.secrets(), *here.idp.tokens, "group-nobody-needs-to-see", "pairwise-ada"):
            assert secret not in text
