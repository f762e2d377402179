"""Applications that sign their people in themselves, by OpenID Connect, directly and through the suffix alike.

Their identity provider is in session control as an app of its own: with it outside, its answers would lead the browser
out of session control, for it knows the application's own addresses only (policies/README.md).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import ssl
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import jwt
import pytest
from demo_lib.idp import ClientRegistration, EmulatedEntra
from demo_lib.pki import DemoAuthority
from playwright.sync_api import Page, expect

from applications import NPM
from casb.lab.browser import View, playwright, view
from casb.lab.relay import Target
from casb.lab.stage import Application, Stage, stage
from proxy_world import Origin, reply

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
expect.set_options(timeout=30_000)

PORTAL, IDP = "portal.relying.example", "login.sso.example"
CLIENT, SECRET = "11111111-aaaa-4bbb-8ccc-222222222222", "relying-party-secret"
BASE = f"https://{IDP}"
DEEP = "/deep/report?from=2026-01-01&to=2026-02-01"


@dataclass
class Portal:
    """A relying party: code flow with PKCE, the answer as query or form, sign-out at the provider."""

    origin: Origin
    idp: EmulatedEntra
    begun: dict[str, dict[str, str]] = field(default_factory=dict)
    people: dict[str, dict[str, str]] = field(default_factory=dict)  # session → name and sid
    ended_by_frame: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.origin.routes = {
            "/": self.home,
            "/deep/report": self.home,
            "/login": self.login,
            "/cb": self.callback,
            "/logout": self.logout,
            "/front-out": self.front_out,
        }
        page = b"<!doctype html><title>Bye</title><h1>Signed out of the portal</h1>"
        self.origin.page("/bye", page, content_type="text/html")
        library = NPM / "oidc-client-ts/dist/browser/oidc-client-ts.min.js"
        self.origin.page("/oidc.js", library.read_bytes(), content_type="text/javascript")
        spa = SPA.replace("AUTHORITY", self.idp.issuer).replace("CLIENT", CLIENT).replace("SECRET", SECRET)
        for path in ("/spa", "/spa-cb"):
            self.origin.page(path, spa.encode(), content_type="text/html")

    def person(self, handler: BaseHTTPRequestHandler) -> dict[str, str] | None:
        cookie = SimpleCookie(handler.headers.get("cookie", ""))
        return self.people.get(cookie["portal"].value) if "portal" in cookie else None

    def home(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        who = self.person(handler)
        if who is None:
            query = urlencode({"returnUrl": f"https://{PORTAL}{handler.path}"})
            reply(handler, 302, b"", location=f"/login?{query}")
            return
        path = handler.path.replace("&", "&amp;")
        out = '<a href="/logout">Sign out</a>'
        text = f'<!doctype html><h1>Hello {who["name"]}</h1><p id="path">{path}</p>{out}'
        reply(handler, 200, text.encode(), content_type="text/html")

    def login(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        back = query.get("returnUrl", ["/"])[0]
        assert back.startswith(f"https://{PORTAL}/"), back
        self.begun[state] = {"nonce": nonce, "verifier": verifier, "back": back}
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "client_id": CLIENT,
            "response_type": "code",
            "redirect_uri": f"https://{PORTAL}/cb",
            "scope": "openid profile email",
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "response_mode": query.get("mode", ["query"])[0],
        }
        url = f"{self.idp.issuer.removesuffix('/v2.0')}/oauth2/v2.0/authorize?{urlencode(asked)}"
        reply(handler, 302, b"", location=url, set_cookie=f"begun={state}; Path=/; Secure; HttpOnly; SameSite=None")

    def callback(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        text = body.decode() if handler.command == "POST" else urlsplit(handler.path).query
        given = {name: values[0] for name, values in parse_qs(text).items()}
        cookie = SimpleCookie(handler.headers.get("cookie", ""))
        begun = self.begun.pop(given["state"])
        assert cookie["begun"].value == given["state"]
        if handler.command == "POST":
            assert handler.headers["origin"] == BASE
        fields = {
            "client_id": CLIENT,
            "client_secret": SECRET,
            "grant_type": "authorization_code",
            "code": given["code"],
            "code_verifier": begun["verifier"],
            "redirect_uri": f"https://{PORTAL}/cb",
        }
        claims = self.token(fields)
        assert claims["nonce"] == begun["nonce"]
        value = secrets.token_urlsafe(16)
        self.people[value] = {"name": claims["name"], "sid": claims["sid"]}
        reply(handler, 302, b"", location=begun["back"], set_cookie=f"portal={value}; Path=/; Secure; HttpOnly")

    def token(self, fields: dict[str, str]) -> dict[str, str]:
        context = ssl.create_default_context(cafile=str(self.idp.ca))
        path = urlsplit(self.idp.issuer).path.removesuffix("/v2.0")
        url = f"https://localhost:{self.idp.port}{path}/oauth2/v2.0/token"
        with urllib.request.urlopen(url, urlencode(fields).encode(), context=context, timeout=10) as answer:
            token = json.load(answer)["id_token"]
        return dict(jwt.decode(token, options={"verify_signature": False}))

    def logout(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        cookie = SimpleCookie(handler.headers.get("cookie", ""))
        self.people.pop(cookie["portal"].value, None)
        query = urlencode({"post_logout_redirect_uri": f"https://{PORTAL}/bye", "client_id": CLIENT})
        url = f"{self.idp.issuer.removesuffix('/v2.0')}/oauth2/v2.0/logout?{query}"
        reply(handler, 302, b"", location=url, set_cookie="portal=; Path=/; Max-Age=0; Secure; HttpOnly")

    def front_out(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.ended_by_frame += parse_qs(urlsplit(handler.path).query).get("sid", [])
        reply(handler, 200, b"<!doctype html><p>out</p>", content_type="text/html")


SPA = """<!doctype html><html><head><title>SPA</title><script src="/oidc.js"></script></head><body><h1 id="who">...</h1>
<script>
const manager = new oidc.UserManager({
  authority: "AUTHORITY", client_id: "CLIENT", client_secret: "SECRET", scope: "openid profile",
  redirect_uri: location.origin + "/spa-cb", response_type: "code", loadUserInfo: false, automaticSilentRenew: false,
  userStore: new oidc.WebStorageStateStore({ store: sessionStorage }),
});
const show = (user) => { document.getElementById("who").textContent = user ? "Hello " + user.profile.name : "nobody"; };
(async () => {
  try {
    if (location.pathname === "/spa-cb") {
      const user = await manager.signinCallback();
      history.replaceState(null, "", "/spa?part=" + encodeURIComponent(user.state.part));
      show(user);
    } else {
      const user = await manager.getUser();
      if (user) show(user); else await manager.signinRedirect({ state: { part: "7" } });
    }
  } catch (error) { document.getElementById("who").textContent = "failed: " + error.message; }
})();
</script></body></html>"""


@dataclass
class Scene:
    at: Stage
    portal: Portal
    direct: View
    through: View


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("inside")
    (folder / "origin").mkdir()
    client = ClientRegistration(
        id=CLIENT,
        secret=SECRET,
        redirect_uris=[f"https://{PORTAL}/cb", f"https://{PORTAL}/spa-cb"],
        post_logout_redirect_uris=[f"https://{PORTAL}/bye"],
        frontchannel_logout_uri=f"https://{PORTAL}/front-out",
    )
    with contextlib.ExitStack() as stack:
        idp = EmulatedEntra.start(DemoAuthority(folder / "pki"), [client], folder / "idp.log", base=BASE)
        stack.callback(idp.stop)
        origin = stack.enter_context(contextlib.closing(Origin(folder / "origin", PORTAL)))
        portal = Portal(origin=origin, idp=idp)
        apps = [
            _app("portal", PORTAL, origin.port, "logout: [/logout-of-both]\n"),
            _app("sso", IDP, idp.port, ""),
        ]
        at = stack.enter_context(stage(folder / "stage", apps, label="casbsuffix"))
        running = stack.enter_context(playwright())
        views = [
            stack.enter_context(
                view(
                    running,
                    at,
                    name,
                    folder / name,
                    through=name == "through",
                    hosts=(PORTAL, IDP),
                    offline=True,
                    patience=45,
                )
            )
            for name in ("direct", "through")
        ]
        yield Scene(at=at, portal=portal, direct=views[0], through=views[1])


def _app(name: str, host: str, port: int, yaml: str) -> Application:
    target = Target(host="127.0.0.1", port=port, verify=False)
    return Application(id=name, name=name, domains=(host,), targets={host: target}, yaml=yaml)


@pytest.fixture(autouse=True)
def fresh(scene: Scene) -> None:
    for here in (scene.direct, scene.through):
        ours = [each for each in here.context.cookies() if str(each["name"]).startswith("__Host-casb_")]
        here.context.clear_cookies()
        here.context.add_cookies(ours)  # type: ignore[arg-type]
        here.noticed.forget()
    scene.at.relay.told.clear()


def pick(page: Page, name: str = "Ada Abel") -> None:
    page.locator("button.user", has_text=name).click()


def signed_in(scene: Scene, here: View, path: str) -> list[str]:
    page = here.page
    page.goto(here.url(f"https://{PORTAL}{path}"))
    assert page.url.startswith(here.url(BASE)), page.url
    pick(page)
    expect(page.locator("h1")).to_have_text("Hello Ada Abel")
    return [here.plain(page.url), here.plain(page.locator("#path").inner_text())]


def clean(scene: Scene) -> None:
    assert [each.url for each in scene.through.escaped()] == []
    assert scene.through.foreign_cookies() == []
    assert scene.at.relay.told == []


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_a_portal_signs_in_and_comes_back_to_the_deep_link(scene: Scene, mode: str) -> None:
    start = DEEP
    if mode == "form_post":
        start = f"/login?mode=form_post&returnUrl={quote(f'https://{PORTAL}{DEEP}', safe='')}"
    found = [signed_in(scene, here, start) for here in (scene.direct, scene.through)]
    assert found[0] == found[1] == [f"https://{PORTAL}{DEEP}", DEEP]
    clean(scene)


def test_a_single_page_application_signs_in(scene: Scene) -> None:
    found = []
    for here in (scene.direct, scene.through):
        page = here.page
        page.goto(here.url(f"https://{PORTAL}/spa"))
        pick(page)
        expect(page.locator("#who")).not_to_have_text("...")
        found.append([page.locator("#who").inner_text(), here.plain(page.url)])
    assert found[0] == found[1] == ["Hello Ada Abel", f"https://{PORTAL}/spa?part=7"]
    clean(scene)


def test_signing_out_ends_and_does_not_loop(scene: Scene) -> None:
    for here in (scene.direct, scene.through):
        signed_in(scene, here, "/")
        page, before = here.page, len(scene.portal.ended_by_frame)
        page.get_by_text("Sign out").click()
        expect(page.locator("h1")).to_have_text("Signed out of the portal", timeout=45_000)
        assert here.plain(page.url) == f"https://{PORTAL}/bye"
        assert len(scene.portal.ended_by_frame) == before + 1, "the provider's frame did not reach the portal"
        page.goto(here.url(f"https://{PORTAL}/"))
        expect(page.locator("button.user").first).to_be_visible()  # asked again, not let in and not looping
    clean(scene)
