"""The bridge over the wire: a provider and an app whose every message is made to order, good and hostile."""

from __future__ import annotations

import base64
import contextlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from casb.cli import main
from casb.identity.saml import Assertion, NameId, verify_response
from casb.identity.saml_messages import authn_request, from_query, logout_request, read_authn_request, to_query
from casb.identity.saml_metadata import OwnRole, read_idp, read_sp, write
from casb.identity.saml_signature import SigningKey
from proxy_world import APP_HOST, NAVIGATE, SUFFIX, Origin, Reply, World, free_port
from saml_support import IDP, Response, signer

LOGIN = f"login.{SUFFIX}"
APP = SigningKey(key=signer("app").key, certificate=signer("app").certificate)
THEIRS = SigningKey(key=signer().key, certificate=signer().certificate)
ENTITY, ACS = f"https://{APP_HOST}/sp", f"https://{APP_HOST}/saml/acs"
SSO = "https://idp.example/sso"
FORM = {"content-type": "application/x-www-form-urlencoded"}
OWN_PAGE = {**FORM, **NAVIGATE, "sec-fetch-site": "same-origin"}
FOREIGN_PAGE = {**FORM, **NAVIGATE, "sec-fetch-site": "cross-site", "origin": "https://idp.example"}
POLICIES = """\
version: 1
policies:
  - id: no-interns
    name: Interns stay out
    severity: high
    kind: access
    when: {user: {group: interns}}
    action: block
"""


@dataclass
class Browser:
    """Cookies by host, and one step at a time."""

    world: World
    jar: dict[str, dict[str, str]] = field(default_factory=dict)
    last: str = LOGIN

    def ask(self, host: str, path: str, **more: Any) -> Reply:
        kept = self.jar.setdefault(host, {})
        cookie = "; ".join(f"{name}={value}" for name, value in kept.items())
        if more.pop("bare", False):
            cookie = ""
        headers = {**NAVIGATE, **more.pop("headers", {})}
        reply = self.world.ask(path, host=host, cookie=cookie or None, headers=headers, **more)
        for each in reply.cookies:
            name, _, rest = each.partition("=")
            value = rest.partition(";")[0]
            if value:
                kept[name] = value
            else:
                kept.pop(name, None)
        return reply

    def get(self, url: str, **more: Any) -> Reply:
        """An address, or a path of the sign-in host."""
        parts = urlsplit(url)
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        return self.ask(parts.hostname or LOGIN, path, **more)

    def follow(self, reply: Reply) -> tuple[Reply, str]:
        """Redirects and our own pages of one link, until a page of another kind or another host."""
        for _ in range(12):
            where = reply.headers.get("location") or link(reply)
            if where is None:
                return reply, ""
            host = urlsplit(where).hostname
            if host and not host.endswith(SUFFIX):
                return reply, where
            self.last = host or self.last
            reply = self.ask(self.last, path_of(where))
        raise AssertionError("a loop")

    def send(self, host: str, reply: Reply) -> Reply:
        """The one form of a page."""
        action, fields = form_of(reply)
        self.last = urlsplit(action).hostname or host
        return self.ask(self.last, path_of(action), method="POST", headers=OWN_PAGE, body=urlencode(fields).encode())


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"


def link(reply: Reply) -> str | None:
    found = re.search(r'id="on"[^>]* href="([^"]*)"', reply.text) or re.search(
        r'href="([^"]*)"[^>]* id="on"', reply.text
    )
    return html.unescape(found[1]) if found else None


def form_of(reply: Reply) -> tuple[str, dict[str, str]]:
    action = re.search(r'<form method="post" action="([^"]*)"', reply.text)
    assert action, reply.text
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', reply.text)
    return html.unescape(action[1]), {html.unescape(name): html.unescape(value) for name, value in fields}


@contextlib.contextmanager
def saml_site(folder: Path) -> Iterator[World]:
    port, forward, sidecar, health = (free_port() for _ in range(4))
    (folder / "origin").mkdir(parents=True)
    origin = Origin(folder / "origin")
    world = World(folder=folder, port=port, forward=forward, origin=origin)
    world.write(
        "casb.yaml",
        f"""\
version: 1
suffix: {SUFFIX}
data: ../data
authority: ../certs
listeners:
  reverse: 127.0.0.1:{port}
  forward: 127.0.0.1:{forward}
  sidecar: 127.0.0.1:{sidecar}
  health: 127.0.0.1:{health}
providers:
  - {{id: contoso, kind: saml, saml: {{metadata: idp.xml}}}}
""",
    )
    idp = write(OwnRole(entity_id=IDP, keys=[THEIRS], sso=SSO, slo="https://idp.example/slo"))
    app = write(OwnRole(entity_id=ENTITY, keys=[APP], acs=ACS, signs_requests=True))
    (world.config / "idp.xml").write_bytes(idp)
    (world.config / "app.xml").write_bytes(app)
    world.write(
        "apps/files.yaml",
        f"id: files\nname: Company Files\ndomains: [{APP_HOST}]\n"
        f'upstream: {{connect: "127.0.0.1:{origin.port}", ca: {origin.ca}}}\n'
        "saml: {metadata: app.xml, idp_initiated: true, attributes: {unit: department, groups: user.groups}}\n",
    )
    world.write("policies.yaml", POLICIES)
    origin.page("/", b"<html>home</html>", content_type="text/html")
    origin.page("/saml/acs", b"<html>signed in</html>", content_type="text/html")
    try:
        world.start()
        yield world
    finally:
        world.stop()
        origin.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with saml_site(tmp_path_factory.mktemp("bridge")) as made:
        yield made


def own(world: World) -> tuple[str, str]:
    login = f"https://{LOGIN}:{world.port}"
    return f"{login}/.casb/saml/metadata", f"{login}/.casb/saml/acs"


def answer(world: World, request: str | None, **changes: Any) -> str:
    """The provider's answer, good but for the changes."""
    entity, acs = own(world)
    now = datetime.now(UTC)
    signed = changes.pop("signed", "both")
    given: dict[str, Any] = {
        "id": f"_r{now.timestamp()}",
        "assertion_id": f"_a{now.timestamp()}",
        "destination": acs,
        "recipient": acs,
        "audience": entity,
        "in_response_to": request,
        "confirmed_request": request,
        "issued": now,
        "assertion_issued": now,
        "authenticated": now,
        "not_before": now - timedelta(minutes=1),
        "not_after": now + timedelta(minutes=5),
        "confirmed_until": now + timedelta(minutes=5),
        "session_until": now + timedelta(hours=2),
        "attributes": {"groups": ("staff",), "department": ("Research",), "secret": ("x",)},
    } | changes
    return base64.b64encode(Response(**given).signed(signed)).decode()


def asked_by_app(world: World, **changes: Any) -> str:
    """The path of an app's request."""
    entity = f"https://{LOGIN}:{world.port}/saml/files"
    key = changes.pop("key", APP)
    relay = changes.pop("relay", "deep/link?x=1&y=2")
    given: dict[str, Any] = {
        "id": f"_app{datetime.now(UTC).timestamp()}",
        "issuer": ENTITY,
        "destination": f"{entity}/sso",
        "acs": ACS,
        "now": datetime.now(UTC),
    } | changes
    return f"/saml/files/sso?{to_query('SAMLRequest', authn_request(**given), relay_state=relay, key=key)}"


def to_provider(browser: Browser, path: str) -> tuple[str, str]:
    """From a path of the sign-in host to the provider: the id of our request and its RelayState."""
    browser.last = LOGIN
    _, where = browser.follow(browser.ask(LOGIN, path))
    assert where.startswith(SSO), where
    request = read_authn_request(
        from_query(urlsplit(where).query),
        datetime.now(UTC),
        destination=SSO,
        issuer=own(browser.world)[0],
        certificates=read_sp(browser.get("/.casb/saml/metadata").body, datetime.now(UTC)).certificates,
        must_sign=True,
    )
    return request.id, request.relay_state


def back(browser: Browser, response: str, relay: str) -> Reply:
    """The provider's page posts; ours posts again."""
    body = urlencode({"SAMLResponse": response, "RelayState": relay}).encode()
    first = browser.ask(LOGIN, "/.casb/saml/acs", method="POST", headers=FOREIGN_PAGE, body=body, bare=True)
    assert first.status == 200, first.text
    return browser.send(LOGIN, first)


def arrived(browser: Browser, reply: Reply) -> tuple[Assertion, str]:
    """On to the app: what it was posted, and the RelayState."""
    world = browser.world
    before = len(world.origin.seen)
    page, _ = browser.follow(reply)
    assert "__casb_resume" in page.text, page.text
    assert "SAMLResponse" not in page.text, "the answer for the app is not in the browser"
    done = browser.send(f"{APP_HOST}.{SUFFIX}", page)
    assert done.text.endswith("signed in</html>"), done.text
    posted = next(each for each in world.origin.seen[before:] if each.method == "POST")
    fields = parse_qs(posted.body.decode())
    idp = read_idp(browser.get("/saml/files/metadata").body, datetime.now(UTC))
    document = fields["SAMLResponse"][0].encode()
    asked = re.search(r'InResponseTo="([^"]*)"', base64.b64decode(document).decode())
    found = verify_response(
        document,
        idp.certificates,
        datetime.now(UTC),
        issuer=f"https://{LOGIN}:{world.port}/saml/files",
        audience=ENTITY,
        recipient=ACS,
        in_response_to=asked[1] if asked else None,
        unsolicited=True,
    )
    return found, fields.get("RelayState", [""])[0]


def signed_in(world: World, **changes: Any) -> Browser:
    browser = Browser(world)
    request, relay = to_provider(browser, asked_by_app(world))
    arrived(browser, back(browser, answer(world, request, **changes), relay))
    return browser


def test_from_the_apps_request_to_the_apps_answer(world: World) -> None:
    browser = Browser(world)
    request, relay = to_provider(browser, asked_by_app(world, id="_app-1"))
    found, state = arrived(browser, back(browser, answer(world, request), relay))
    assert (found.subject.value, found.in_response_to) == ("ada@contoso.example", "_app-1")
    assert state == "deep/link?x=1&y=2"
    assert found.attributes == {"unit": ("Research",), "groups": ("staff",)}, "the secret one is not mapped"
    assert found.session_not_after is not None
    assert found.session_not_after - datetime.now(UTC) < timedelta(hours=2, minutes=1), "capped by the provider"
    again, _ = arrived(browser, browser.ask(LOGIN, asked_by_app(world, id="_app-2")))
    assert again.in_response_to == "_app-2", "signed in already: no provider in between"
    assert again.session_index == found.session_index != ""


def test_posted_requests_come_back_with_the_cookies(world: World) -> None:
    from casb.identity.saml_messages import signed_document

    browser = signed_in(world)
    entity = f"https://{LOGIN}:{world.port}/saml/files"
    document = authn_request(id="_posted", issuer=ENTITY, destination=f"{entity}/sso", acs=ACS, now=datetime.now(UTC))
    body = urlencode({"SAMLRequest": base64.b64encode(signed_document(document, APP)).decode(), "RelayState": "r"})
    page = browser.ask(LOGIN, "/saml/files/sso", method="POST", headers=FOREIGN_PAGE, body=body.encode(), bare=True)
    found, state = arrived(browser, browser.send(LOGIN, page))
    assert (found.in_response_to, state) == ("_posted", "r")


REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "another address for answers": ({"acs": "https://evil.example/acs"}, "T062"),
    "an address that begins alike": ({"acs": ACS + ".evil.example"}, "T062"),
    "another app": ({"issuer": "https://evil.example/sp"}, "T050"),
    "another entrance": ({"destination": "https://evil.example/sso"}, "T051"),
    "too old": ({"now": datetime.now(UTC) - timedelta(hours=1)}, "T053"),
    "unsigned": ({"key": None}, "T044"),
    "a foreign key": ({"key": THEIRS}, "T046"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_of_apps_are_refused_with_an_id(world: World, name: str) -> None:
    changes, code = REQUESTS[name]
    reply = world.ask(asked_by_app(world, **changes), host=LOGIN, headers=NAVIGATE)
    assert reply.status == 400 and code in reply.text
    record = world.record(reply.headers["x-casb-activity"])
    assert record["action"] == "block" and record["reasons"][0]["code"] == code


@pytest.mark.parametrize("path", ["/saml/none/sso", "/saml/none/metadata", "/saml/files/continue?r=x", "/saml/../x"])
def test_addresses_that_lead_nowhere(world: World, path: str) -> None:
    assert world.ask(path, host=LOGIN, headers=NAVIGATE).status in (400, 404)


ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "unsigned": ({"signed": "none"}, "T044"),
    "another audience": ({"audience": "urn:other"}, "T054"),
    "another recipient": ({"recipient": "https://evil.example/acs"}, "T051"),
    "another issuer": ({"assertion_issuer": "https://evil.example"}, "T050"),
    "another request": ({"in_response_to": "_x", "confirmed_request": "_x"}, "T052"),
    "refused": ({"status": "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"}, "T049"),
    "a comment in the name": ({"name_id": "ada@contoso.example<!-- -->.evil.example"}, "T041"),
    "the session is over": ({"session_until": datetime.now(UTC) - timedelta(hours=1)}, "T053"),
    "a transient name": ({"name_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}, "T056"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_of_providers_are_refused_with_an_id(world: World, name: str) -> None:
    changes, code = ANSWERS[name]
    browser = Browser(world)
    request, relay = to_provider(browser, asked_by_app(world))
    response = answer(world, request, **changes)
    if name == "a comment in the name":
        response = base64.b64encode(base64.b64decode(response).replace(b"ada@", b"ada@<!-- -->")).decode()
    reply = back(browser, response, relay)
    assert reply.status == 400 and code in reply.text and "__Host-casb_l" not in browser.jar[LOGIN]
    assert world.record(reply.headers["x-casb-activity"])["reasons"][0]["code"] == code


def test_an_answer_is_good_once_and_in_the_browser_that_asked(world: World) -> None:
    browser, other = Browser(world), Browser(world)
    request, relay = to_provider(browser, asked_by_app(world))
    _, theirs = to_provider(other, asked_by_app(world))
    response = answer(world, request)
    stolen = back(other, response, relay)
    assert stolen.status == 400 and "I013" in stolen.text, "the flow is bound to another browser"
    assert "I012" in back(browser, response, relay).text, "and over"
    request, relay = to_provider(browser, asked_by_app(world))
    response = answer(world, request)
    assert back(browser, response, relay).status in (200, 302, 303)
    assert "T052" in back(other, response, theirs).text
    assert "I012" in back(browser, response, relay).text


def test_a_form_of_a_foreign_page_cannot_finish_a_sign_in(world: World) -> None:
    body = urlencode({"SAMLResponse": answer(world, None), "RelayState": "files"}).encode()
    reply = world.ask("/.casb/saml/return", host=LOGIN, method="POST", headers=FOREIGN_PAGE, body=body)
    assert reply.status == 403 and "I020" in reply.text


@pytest.mark.parametrize(
    "body", [b"", b"SAMLResponse=x&SAMLResponse=y", b"SAMLResponse=%ff", b"a" * (2 * 1024 * 1024 + 1)],
    ids=["empty", "twice", "no text", "too large"],
)  # fmt: skip
def test_forms_that_are_none(world: World, body: bytes) -> None:
    reply = world.ask("/.casb/saml/acs", host=LOGIN, method="POST", headers=FOREIGN_PAGE, body=body)
    assert reply.status == 400 and re.search(r"T040|T057", reply.text)


def test_a_sign_in_begun_at_the_provider_ends_at_the_app(world: World) -> None:
    browser = Browser(world)
    found, state = arrived(browser, back(browser, answer(world, None), "files"))
    assert (found.in_response_to, state) == ("", "")
    deep = f"https://{APP_HOST}.{SUFFIX}:{world.port}/deep?x=1"
    found, state = arrived(browser, back(browser, answer(world, None), deep))
    assert state == f"https://{APP_HOST}/deep?x=1", "the app knows itself by its own name"
    refused = back(browser, answer(world, None), "https://evil.example/")
    assert refused.status == 400 and "T052" in refused.text


def test_access_policies_come_before_any_answer(world: World) -> None:
    browser = Browser(world)
    request, relay = to_provider(browser, asked_by_app(world))
    seen = len(world.origin.seen)
    page, _ = browser.follow(back(browser, answer(world, request, attributes={"groups": ("interns",)}), relay))
    assert page.status == 403 and "no-interns" in page.text
    assert len(world.origin.seen) == seen, "the app heard nothing"
    assert world.record(page.headers["x-casb-activity"])["policy"] == "no-interns"


def test_passive_and_forced_requests(world: World) -> None:
    browser = Browser(world)
    page = browser.ask(LOGIN, asked_by_app(world, passive=True))
    action, fields = form_of(page)
    assert action == f"https://{APP_HOST}.{SUFFIX}:{world.port}/saml/acs"
    assert b"NoPassive" in base64.b64decode(fields["SAMLResponse"])
    known = signed_in(world, authenticated=datetime.now(UTC) - timedelta(minutes=30))
    request, relay = to_provider(known, asked_by_app(world, force=True))
    found, _ = arrived(known, back(known, answer(world, request), relay))
    assert found.authenticated is not None and found.authenticated > datetime.now(UTC) - timedelta(minutes=1)


def test_a_stronger_context_is_asked_of_the_provider_in_the_apps_words(world: World) -> None:
    browser = signed_in(world)
    strong = "https://refeds.org/profile/mfa"
    request, relay = to_provider(browser, asked_by_app(world, contexts=[strong]))
    weak = back(browser, answer(world, request), relay)
    assert "T016" in weak.text
    request, relay = to_provider(browser, asked_by_app(world, contexts=[strong]))
    found, _ = arrived(browser, back(browser, answer(world, request, context=strong), relay))
    assert found.context == strong


def test_the_provider_signs_out(world: World) -> None:
    browser = signed_in(world, session_index="_ends")
    host = f"{APP_HOST}.{SUFFIX}"
    assert browser.ask(host, "/").status == 200
    slo = f"https://{LOGIN}:{world.port}/.casb/saml/slo"
    document = logout_request(
        id=f"_l{datetime.now(UTC).timestamp()}", issuer=IDP, destination=slo, now=datetime.now(UTC),
        subject=NameId(value="ada@contoso.example"), session_index="_ends",
    )  # fmt: skip
    unsigned = world.ask(f"/.casb/saml/slo?{to_query('SAMLRequest', document)}", host=LOGIN, headers=NAVIGATE)
    assert unsigned.status == 400 and "T044" in unsigned.text
    assert browser.ask(host, "/").status == 200, "nobody was signed out by it"
    done = world.ask(f"/.casb/saml/slo?{to_query('SAMLRequest', document, key=THEIRS)}", host=LOGIN, headers=NAVIGATE)
    assert done.headers["location"].startswith("https://idp.example/slo?SAMLResponse=")
    assert browser.ask(host, "/").status in (302, 303)


def test_an_answer_on_its_way_to_the_app_is_looked_at(world: World) -> None:
    """Whoever posts to the app's address: what breaks a rule of structure does not reach it."""
    cookie = world.session()
    good = base64.b64encode(Response().signed()).decode()
    wrapped = base64.b64encode(Response().signed().replace(b"</samlp:Response>", b"<Assertion/></samlp:Response>"))
    hostile = {
        "a comment": base64.b64encode(Response().signed().replace(b"ada@", b"ada@<!-- -->")).decode(),
        "a second assertion": wrapped.decode(),
        "unsigned": base64.b64encode(Response().signed("none")).decode(),
        "no XML": "AAAA",
    }
    for name, text in hostile.items():
        seen = len(world.origin.seen)
        reply = world.ask(
            "/saml/acs", method="POST", cookie=cookie, headers=OWN_PAGE, body=urlencode({"SAMLResponse": text}).encode()
        )
        assert reply.status == 403 and "x-casb-activity" in reply.headers, name
        assert len(world.origin.seen) == seen, name
    for body in (f"SAMLResponse={quote(good, safe='')}", "other=1&x=2", "SAMLRequest=abc"):
        assert world.ask("/saml/acs", method="POST", cookie=cookie, headers=OWN_PAGE, body=body.encode()).status == 200
    multipart = b'--x\r\nContent-Disposition: form-data; name="SAMLResponse"\r\n\r\nAAAA\r\n--x--\r\n'
    headers = {**OWN_PAGE, "content-type": "multipart/form-data; boundary=x"}
    assert world.ask("/saml/acs", method="POST", cookie=cookie, headers=headers, body=multipart).status == 403


def test_the_rollover_of_the_key_overlaps(world: World) -> None:
    from casb.store.saml_keys import SamlKeys

    browser = signed_in(world)
    keys = SamlKeys.load_or_create(world.data, LOGIN)
    published = [read_idp(browser.get("/saml/files/metadata").body, datetime.now(UTC)).certificates]
    keys.begin()
    published.append(read_idp(browser.get("/saml/files/metadata").body, datetime.now(UTC)).certificates)
    first, _ = arrived(browser, browser.ask(LOGIN, asked_by_app(world)))
    keys.switch()
    second, _ = arrived(browser, browser.ask(LOGIN, asked_by_app(world)))
    assert len(published[1]) == 2 and published[0] == published[1][:1]
    assert first.key == published[0][0].fingerprint(_sha256()).hex() != second.key
    keys.finish()
    assert len(read_idp(browser.get("/saml/files/metadata").body, datetime.now(UTC)).certificates) == 1
    third, _ = arrived(browser, browser.ask(LOGIN, asked_by_app(world)))
    assert third.key == second.key


def _sha256() -> Any:
    from cryptography.hazmat.primitives import hashes

    return hashes.SHA256()


def test_the_log_says_where_user_and_attributes_came_from(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    signed_in(world)
    record = next(each for each in reversed(world.records()) if "saml" in each["extra"])
    assert record["extra"]["saml"] == {
        "provider": "contoso",
        "issuer": IDP,
        "entity": ENTITY,
        "name_id_format": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
        "attributes": ["groups", "unit"],
        "asked": True,
    }
    assert record["activity"] == "logon" and record["user"]["id"] == f"{IDP}/ada@contoso.example"
    assert main(["explain", record["id"], "--config", str(world.config)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"Identity provider:\s+contoso", told), told
    assert re.search(r"Told to the app:\s+groups, unit", told), told
    everything = "".join(str(each) for each in world.records()) + world.log
    assert "SAMLResponse" not in everything and "PHNhbWx" not in everything
