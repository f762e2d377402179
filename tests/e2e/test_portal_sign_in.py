"""Admins sign in to the portal in a real browser, with an identity provider that speaks like Entra."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from demo_lib.idp import ClientRegistration, EmulatedEntra
from demo_lib.pki import DemoAuthority
from playwright.sync_api import BrowserContext, sync_playwright

from casb.commands.serve import admin_provider
from casb.model.decision import Action
from casb.settings import Admins, Listeners, Provider, Secret, Settings, Sidecar
from casb.sidecar.app import build_app
from casb.sidecar.server import bind, server
from casb.sidecar.services import Services
from casb.store.alerts_sqlite import AlertStore
from casb.store.portal_sqlite import PortalStore
from casb.store.records_sqlite import Database, SqliteRecords
from sample_records import record, records
from sidecar_parts import FixedDeployment

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore:response_mode='form_post' is recommended:UserWarning"),
]

CLIENT_ID = "11111111-2222-4333-8444-555555555555"
SECRET = "a secret that only this test knows"
ADMINS = "5a1e0c1e-0000-4000-8000-00000000ad31"  # a group of the emulated Entra; admin@contoso.example is in it
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@dataclass
class Portal:
    url: str
    services: Services


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder: Path = tmp_path_factory.mktemp("portal")
    listener = bind("127.0.0.1:0")
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = ClientRegistration(id=CLIENT_ID, secret=SECRET, redirect_uris=[f"{url}/auth/callback"])
    with EmulatedEntra.start(DemoAuthority(folder), [client], folder / "idp.log") as entra:
        known = Provider(
            id="entra",
            kind="entra",
            authority=entra.issuer,
            client_id=CLIENT_ID,
            client_secret=Secret(SECRET),
            ca=str(entra.ca),
        )
        settings = Settings(
            suffix="casb.example",
            data=str(folder),
            listeners=Listeners(sidecar=url.removeprefix("http://")),
            providers=(known,),
            sidecar=Sidecar(admins=Admins(local=False, provider="entra", group=ADMINS)),
        )
        database = Database(folder / "casb.db")
        services = Services(
            settings=settings,
            records=SqliteRecords(database),
            portal=PortalStore(database),
            alerts=AlertStore(database),
            deployment=FixedDeployment(),
            ingest_token=Secret("x" * 40),
            clock=lambda: datetime.now(UTC),
        )
        services.records.append(records(30, until=datetime.now(UTC)))
        services.records.append([record(99, datetime.now(UTC) - timedelta(seconds=1), action=Action.BLOCK)])
        running = server(build_app(services, admin_provider(settings)))
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        yield Portal(url, services)
        running.should_exit = True
        thread.join()
        listener.close()
        database.close()


@pytest.fixture
def browser() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = chromium.new_context(ignore_https_errors=True)
        context.set_default_timeout(20_000)
        yield context
        context.close()
        chromium.close()


def sign_in(browser: BrowserContext, portal: Portal, user: str, path: str) -> None:
    page = browser.new_page()
    page.goto(portal.url + path)
    page.get_by_role("link", name="Sign in with your organisation").click()
    page.locator(f'button[value="{user}"]').click()
    page.wait_for_url(lambda address: address.startswith(portal.url))


def test_an_admin_arrives_at_the_page_asked_for(portal: Portal, browser: BrowserContext) -> None:
    path = f"/activities/{record(99)['id']}"
    sign_in(browser, portal, "admin@contoso.example", path)
    page = browser.pages[0]
    page.wait_for_url(portal.url + path)
    assert record(99)["id"] in page.inner_text("main")
    (cookie,) = [each for each in browser.cookies() if each["name"] == "casb_admin"]
    assert (cookie["sameSite"], cookie["httpOnly"]) == ("Strict", True)


def test_a_link_from_elsewhere_finds_the_session(portal: Portal, browser: BrowserContext) -> None:
    sign_in(browser, portal, "admin@contoso.example", "/")
    target = f"{portal.url}/activities/{record(99)['id']}"

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="{target}">see</a>'.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    site = HTTPServer(("127.0.0.1", 0), Elsewhere)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    page = browser.new_page()
    page.goto(f"http://localhost:{site.server_address[1]}/")  # another site than 127.0.0.1
    page.get_by_text("see").click()
    page.get_by_role("heading", name="Why").wait_for()
    assert page.url == target
    site.shutdown()
    thread.join()
    site.server_close()


def test_others_stay_outside(portal: Portal, browser: BrowserContext) -> None:
    sign_in(browser, portal, "ada@contoso.example", "/")
    page = browser.pages[0]
    assert "not in the group" in page.inner_text("main")
    page.goto(portal.url + "/")
    assert page.url.startswith(portal.url + "/sign-in")
    assert "sign-in refused" in [each.what for each in portal.services.portal.audit()]


def test_the_portal_works_with_the_keyboard_alone(portal: Portal, browser: BrowserContext) -> None:
    sign_in(browser, portal, "admin@contoso.example", "/activities")
    page = browser.pages[0]
    page.wait_for_url(portal.url + "/activities")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(portal.url + "/activities")
    page.keyboard.press("/")
    page.keyboard.type("customers.csv")
    page.keyboard.press("Enter")
    page.wait_for_url("**/activities?text=customers.csv")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Why").wait_for()
    assert "customers.csv" in page.inner_text("main")
    assert complaints == []
