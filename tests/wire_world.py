"""Sign-in at the wire: an identity provider that a test bends, a browser without a screen, and what must not leak."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urljoin, urlsplit

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import rsa
from demo_lib.idp import ClientRegistration, EmulatedEntra
from demo_lib.pki import DemoAuthority
from jwt.algorithms import RSAAlgorithm
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from casb.store import authority as store_authority
from proxy_world import APP_HOST, BROWSER, NAVIGATE, SUFFIX, Handler, Origin, World, reply, wait_for, world

TENANT = "11111111-2222-4333-8444-555555555555"
CLIENT = "99999999-2222-4333-8444-555555555555"
SECRET = "client-secret-that-no-log-may-show"
WIKI = "wiki.example"
LOGIN = f"login.{SUFFIX}"


@dataclass
class Grant:
    """What one authorization code stands for."""

    nonce: str
    used: bool = False
    contexts: tuple[str, ...] = ()  # that the sign-in insisted on


@dataclass
class HostileProvider:
    """An OpenID provider over https on loopback that says what a test wants. Speaks like one Entra tenant."""

    folder: Path
    claims: dict[str, Any] = field(default_factory=dict)
    mint: Callable[[dict[str, Any]], str] | None = None
    grants: dict[str, Grant] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    signed_out: int = 0
    down: bool = False
    generous: bool = False  # takes a code again and again
    refuses: str = ""  # answers sign-ins with this error; one that begins with "silent:" only those without a page
    proves: bool = True  # gives whatever authentication context is insisted on
    held: set[str] = field(default_factory=set)  # contexts proven before are told again, as Entra does
    asked: list[dict[str, str]] = field(default_factory=list)  # the sign-ins that were begun

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.server = Origin(self.folder, "localhost")
        self.server._server.verify_request = lambda *_: not self.down  # type: ignore[method-assign]
        self.base = f"https://localhost:{self.server.port}"
        self.issuer = f"{self.base}/{TENANT}/v2.0"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        routes = {
            f"/{TENANT}/v2.0/.well-known/openid-configuration": self._metadata,
            "/keys": self._keys,
            "/authorize": self._authorize,
            "/token": self._token,
            "/logout": self._logout,
        }
        self.server.routes = {path: self._while_up(route) for path, route in routes.items()}

    def _while_up(self, route: Handler) -> Handler:
        def serve(handler: BaseHTTPRequestHandler, body: bytes) -> None:
            handler.close_connection = handler.close_connection or self.down  # Also the connections kept alive.
            if not self.down:
                route(handler, body)

        return serve

    def reset(self) -> None:
        """Honest again."""
        self.claims, self.mint, self.down, self.generous = {}, None, False, False
        self.refuses, self.proves = "", True
        self.asked.clear()
        self.held.clear()

    def sign(self, claims: Mapping[str, Any], **headers: Any) -> str:
        """A good signature over any claims."""
        return jwt.encode(dict(claims), self.key, "RS256", headers={"kid": "key-1", **headers})

    def id_claims(self, nonce: str) -> dict[str, Any]:
        """The claims of an honest ID token, bent by `claims`."""
        present = int(time.time())
        return {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "pairwise-ada",
            "tid": TENANT,
            "oid": "oid-ada",
            "nonce": nonce,
            "iat": present,
            "nbf": present,
            "exp": present + 3600,
            "preferred_username": "ada@contoso.example",
            "name": "Ada",
            "sid": "idp-session-1",
            **self.claims,
        }

    def logout_token(self, **changes: Any) -> str:
        """A back-channel logout token for the session above (OpenID Connect Back-Channel Logout 1.0)."""
        present = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "pairwise-ada",
            "tid": TENANT,
            "sid": "idp-session-1",
            "iat": present,
            "exp": present + 120,
            "jti": secrets.token_hex(8),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
            **changes,
        }
        return self.sign({name: value for name, value in claims.items() if value is not None}, typ="logout+jwt")

    def _json(self, handler: BaseHTTPRequestHandler, value: object, status: int = 200) -> None:
        reply(handler, status, json.dumps(value).encode(), content_type="application/json")

    def _metadata(self, handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        metadata = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.base}/authorize",
            "token_endpoint": f"{self.base}/token",
            "jwks_uri": f"{self.base}/keys",
            "end_session_endpoint": f"{self.base}/logout",
        }
        self._json(handler, metadata)

    def _keys(self, handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        jwk = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        self._json(handler, {"keys": [{**jwk, "kid": "key-1", "use": "sig"}]})

    def _authorize(self, handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        self.asked.append(query)
        error = self.refuses.removeprefix("silent:")
        if error and (not self.refuses.startswith("silent:") or query.get("prompt") == "none"):
            told = urlencode({"error": error, "state": query["state"]})
            reply(handler, 302, b"", location=f"{query['redirect_uri']}?{told}")
            return
        wanted = json.loads(query.get("claims", "{}")).get("id_token", {}).get("acrs", {})
        insisted = tuple(wanted.get("values") or [wanted["value"]]) if wanted.get("essential") else ()
        code = secrets.token_urlsafe(32)
        self.grants[code] = Grant(nonce=query["nonce"], contexts=insisted if self.proves else ())
        answer = {"code": code, "state": query["state"]}
        if query.get("response_mode") == "form_post":
            fields = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in answer.items())
            page = f'<form method="post" action="{html.escape(query["redirect_uri"])}">{fields}</form>'
            reply(handler, 200, page.encode(), content_type="text/html")
            return
        reply(handler, 302, b"", location=f"{query['redirect_uri']}?{urlencode(answer)}")

    def _token(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        grant = self.grants.get(form.get("code", ""))
        if grant is None or (grant.used and not self.generous) or form.get("client_secret") != SECRET:
            self._json(handler, {"error": "invalid_grant", "error_description": "AADSTS54005: redeemed already"}, 400)
            return
        grant.used = True
        claims = self.id_claims(grant.nonce)
        if grant.contexts:
            self.held.update(grant.contexts)
        if self.held:
            claims["acrs"] = sorted({*claims.get("acrs", []), *self.held})
        token = (self.mint or self.sign)(claims)
        self.tokens.append(token)
        info = base64.urlsafe_b64encode(b'{"uid":"oid-ada","utid":"t"}').decode().rstrip("=")
        access = secrets.token_urlsafe(32)
        self.tokens.append(access)
        self._json(handler, {"id_token": token, "access_token": access, "token_type": "Bearer", "client_info": info})

    def _logout(self, handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        self.signed_out += 1
        query = parse_qs(urlsplit(handler.path).query)
        reply(handler, 302, b"", location=query["post_logout_redirect_uri"][0])


def provider_yaml(authority: str, ca: Path) -> str:
    """The provider's entry in casb.yaml, in the place of the one that `proxy_world` writes."""
    return (
        f"authority: {authority}\n    kind: entra\n    client_id: {CLIENT}\n    ca: {ca}\n"
        "    domains: [contoso.example]\n    device: {compliant: [c1]}"
    )


def point_at(made: World, authority: str, ca: Path) -> None:
    """Have a world sign its users in at a provider."""
    text = (made.config / "casb.yaml").read_text()
    made.write("casb.yaml", text.replace(BLANK_PROVIDER, provider_yaml(authority, ca)))
    made.environment = {**made.environment, "CASB_TEST_SECRET": SECRET}


BLANK_PROVIDER = "authority: https://localhost:1/tenant/v2.0\n    client_id: casb"


@dataclass
class Site:
    """A deployment with two applications and an identity provider of the test's own."""

    proxy: World
    wiki: Origin
    idp: HostileProvider

    def url(self, path: str = "/", host: str = APP_HOST) -> str:
        """An application's page through the suffix."""
        return f"https://{host}.{SUFFIX}:{self.proxy.port}{path}"

    @property
    def login(self) -> str:
        return f"https://{LOGIN}:{self.proxy.port}"

    def browser(self) -> Browser:
        """Somebody's fresh browser."""
        return Browser(self.proxy.folder, self.proxy.folder / "certs" / "casb-ca.pem", self.idp.server.ca)


@contextlib.contextmanager
def site(folder: Path, *, policies: str = "", start: bool = True, **casb: Any) -> Iterator[Site]:
    """A started worker whose provider, and both of whose applications, are the test's."""
    idp = HostileProvider(folder / "idp")
    (folder / "wiki").mkdir(parents=True)
    wiki = Origin(folder / "wiki", WIKI)
    try:
        with world(folder / "proxy", start=False, **casb) as made:
            point_at(made, idp.issuer, idp.server.ca)
            apps = made.config / "apps" / "files.yaml"
            apps.write_text(apps.read_text() + "logout: [/bye]\n")
            upstream = f'{{connect: "127.0.0.1:{wiki.port}", ca: {wiki.ca}}}'
            made.write("apps/wiki.yaml", f"id: wiki\nname: Wiki\ndomains: [{WIKI}]\nupstream: {upstream}\n")
            if policies:
                made.write("policies.yaml", policies)
            if start:
                made.start()
            yield Site(proxy=made, wiki=wiki, idp=idp)
    finally:
        wiki.close()
        idp.server.close()


@dataclass
class EntraSite:
    """A deployment whose people sign in at the emulated Entra: real OpenID endpoints, written by others."""

    proxy: World
    entra: EmulatedEntra
    suffix: str = "casb.localhost"  # the emulated Entra finds its way to names below localhost

    @property
    def host(self) -> str:
        return f"{APP_HOST}.{self.suffix}"

    @property
    def login(self) -> str:
        return f"https://login.{self.suffix}:{self.proxy.port}"

    def url(self, path: str = "/") -> str:
        """The application's page through the suffix."""
        return f"https://{self.host}:{self.proxy.port}{path}"

    def browser(self) -> Browser:
        """Somebody's fresh browser."""
        return Browser(self.proxy.folder, self.proxy.folder / "certs" / "casb-ca.pem", self.entra.ca)

    def sign_in(self, browser: Browser, user: str, answer: requests.Response) -> requests.Response:
        """Fill in Entra's page, which the answer led to, and go on to where that leads."""
        page = browser.follow(answer)
        assert page.url.startswith(self.entra.base), page.url
        answer = browser.follow(browser.submit(page, user=user, mfa=""))
        while answer.status_code == 200 and ".submit()" in answer.text and answer.url.startswith(self.url("")):
            answer = browser.follow(browser.submit(answer))
        return answer


@contextlib.contextmanager
def entra_site(folder: Path, *, policies: str = "", suffix: str = "casb.localhost", **casb: str) -> Iterator[EntraSite]:
    """A started worker in front of one application, and the emulated Entra; `casb` adds lines to casb.yaml."""
    with contextlib.ExitStack() as running:
        made = running.enter_context(world(folder / "proxy", start=False, environment=None, **casb))
        store_authority.load_or_create(made.folder / "certs", datetime.now(UTC))
        login = f"https://login.{suffix}:{made.port}"
        client = ClientRegistration(
            id=CLIENT,
            secret=SECRET,
            redirect_uris=[f"{login}/.casb/oidc/callback"],
            post_logout_redirect_uris=[f"{login}/.casb/signed-out"],
            backchannel_logout_uri=f"{login}/.casb/oidc/backchannel-logout",
        )
        ours = made.folder / "certs" / "casb-ca.pem"
        trust = DemoAuthority(folder / "pki")
        entra = EmulatedEntra.start(trust, [client], folder / "idp.log", backchannel_ca=ours)
        running.callback(entra.stop)
        point_at(made, entra.issuer, entra.ca)
        text = (made.config / "casb.yaml").read_text()
        made.write("casb.yaml", text.replace(f"suffix: {SUFFIX}", f"suffix: {suffix}"))
        if policies:
            made.write("policies.yaml", policies)
        made.start()
        yield EntraSite(proxy=made, entra=entra, suffix=suffix)


# ------------------------------------------------------------ a browser without a screen


class _Loopback(HTTPSConnection):
    """Every name is this machine."""

    def _new_conn(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port or 443), timeout=20)


class _LoopbackPool(HTTPSConnectionPool):
    ConnectionCls = _Loopback


class _Names(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"https": _LoopbackPool}


class Browser:
    """Keeps cookies as browsers do, sends fetch metadata, follows redirects one by one, submits forms."""

    def __init__(self, folder: Path, *authorities: Path) -> None:
        bundle = folder / "bundle.pem"
        bundle.write_bytes(b"".join(path.read_bytes() for path in authorities))
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(bundle)
        self.session.headers["user-agent"] = BROWSER
        self.session.mount("https://", _Names())
        self.trail: list[requests.Response] = []

    def send(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] = NAVIGATE,
        data: Any = None,
        files: Any = None,
        cross_site: bool = False,
    ) -> requests.Response:
        """One request, no redirect followed. Our cookies are Lax: a POST from another site goes without them."""
        request = requests.Request(method, url, headers=dict(headers), data=data, files=files)
        prepared = self.session.prepare_request(request)
        if cross_site and method != "GET":
            prepared.headers.pop("Cookie", None)
        answer = self.session.send(prepared, timeout=20, allow_redirects=False)
        self.trail.append(answer)
        return answer

    def follow(self, answer: requests.Response, *, until: str = "") -> requests.Response:
        """Go where redirects lead; stop before an address that contains `until`."""
        for _ in range(15):
            target = onward(answer)
            if not target:
                return answer
            if until and until in target:
                return answer
            answer = self.send(target)
        raise AssertionError(f"a redirect loop: {[each.url for each in self.trail[-6:]]}")

    def open(self, url: str, **more: Any) -> requests.Response:
        """Type an address and end up somewhere, through our self-submitting forms too."""
        answer = self.follow(self.send(url, **more))
        while answer.status_code == 200 and ".submit()" in answer.text:
            answer = self.follow(self.submit(answer))
        return answer

    def submit(self, page: requests.Response, **fields: str) -> requests.Response:
        """The first form of a page, its hidden fields kept."""
        form = re.search(r'<form [^>]*method="post" action="([^"]*)"', page.text)
        assert form is not None, page.text
        found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text)
        data = {html.unescape(name): html.unescape(value) for name, value in found} | fields
        target = urljoin(page.url, html.unescape(form[1]))
        here, there = urlsplit(page.url), urlsplit(target)
        cross_site = site_of(here.hostname) != site_of(there.hostname)
        told = "cross-site" if cross_site else "same-origin" if here.netloc == there.netloc else "same-site"
        headers = {**NAVIGATE, "sec-fetch-site": told, "origin": f"https://{here.netloc}"}
        headers["content-type"] = "application/x-www-form-urlencoded"
        return self.send(target, method="POST", headers=headers, data=urlencode(data), cross_site=cross_site)

    def cookie(self, name: str, host: str = f"{APP_HOST}.{SUFFIX}") -> str:
        """The value of a cookie."""
        return next(each.value or "" for each in self.session.cookies if each.name == name and each.domain == host)

    def secrets(self) -> list[str]:
        """What this browser holds that nobody else may see."""
        return [each.value for each in self.session.cookies if each.value]


def onward(answer: requests.Response) -> str:
    """Where a browser goes from here by itself: by a redirect, or by the page of ours that keeps the fragment."""
    if answer.is_redirect:
        return urljoin(answer.url, answer.headers["location"])
    found = re.search(r'<a [^>]*id="on"[^>]* href="([^"]*)"', answer.text) if answer.status_code == 200 else None
    return html.unescape(found[1]) if found and "location.replace(on.href" in answer.text else ""


def site_of(host: str | None) -> str:
    """The registrable domain, near enough for the names used here."""
    return ".".join((host or "").split(".")[-2:])


# ------------------------------------------------------------ what must hold of every refusal


def refused(proxy: World, answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    """A clear answer whose id leads to a record that says why; the record."""
    assert answer.status_code == status, (answer.status_code, answer.text[:2000])
    activity = answer.headers["x-casb-activity"]
    record: dict[str, Any] = proxy.record(activity)
    assert record["action"] == "block"
    assert record["reasons"][0]["code"] == code, record["reasons"]
    if "html" in answer.headers.get("content-type", ""):
        assert activity in answer.text
    return record


def nothing_leaked(proxy: World, *secrets: str, pages: tuple[str, ...] = ()) -> None:
    """Neither pages nor the service log nor the activity log hold a secret, a stack trace or an inner address."""
    for secret in secrets:
        assert len(secret) > 8
        for spelt in {secret, quote(secret, safe="")}:
            assert spelt not in proxy.log, "a secret in the service log"
            assert spelt not in json.dumps(proxy.records()), "a secret in the activity log"
    for page in pages:
        assert "Traceback" not in page
        assert f"127.0.0.1:{proxy.origin.port}" not in page
        assert str(proxy.folder) not in page


def has_record(proxy: World, code: str) -> dict[str, Any]:
    """The newest record with that reason."""

    def find() -> dict[str, Any] | None:
        return next((each for each in reversed(proxy.records()) if code in str(each["reasons"])), None)

    found: dict[str, Any] = wait_for(find, f"a record of {code}", 5)
    return found
