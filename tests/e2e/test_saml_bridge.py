"""A real SAML application behind the proxy, signed in to at a real SAML identity provider, in a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from proxy_world import wait_for
from saml_world import APP, LOGIN, WELCOME, SamlWorld, chromium, person, saml_world, sign_in

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
expect.set_options(timeout=20_000)

SAML = """
name_id: {format: email}
idp_initiated: true
attributes:
  mail: user.name
  cn: user.display_name
  groups: user.groups
  unit: department
"""
POLICIES = """\
version: 1
policies:
  - id: no-downloads-on-unmanaged
    name: Nothing leaves towards unmanaged devices
    severity: high
    activities: download
    when: {device: unmanaged}
    action: block
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SamlWorld]:
    folder = tmp_path_factory.mktemp("saml")
    pictures = Path(os.environ.get("CASB_PICTURES", folder / "pictures"))
    pictures.mkdir(parents=True, exist_ok=True)
    with saml_world(folder, pictures=pictures, policies=POLICIES, saml=SAML) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


def open_app(world: SamlWorld, page: Page, name: str = "ada") -> None:
    page.goto(world.site + WELCOME)
    expect(page.locator("input[name=username]")).to_be_visible()
    assert page.url.startswith(world.idp.base)
    sign_in(page, name)
    expect(page.locator("body")).to_contain_text("Your attributes")
    assert page.url.startswith(world.site), page.url


def test_a_person_signs_in_to_the_app_through_the_bridge(world: SamlWorld, browser: Browser) -> None:
    posted: list[Request] = []
    with person(browser) as page:
        page.on("request", lambda request: posted.append(request) if request.method == "POST" else None)
        open_app(world, page)
        page.screenshot(path=world.pictures / "signed-in.png", full_page=True)
        text = page.locator("body").inner_text()
        for shown in ("ada@contoso.example", "Ada Lovelace", "finance", "staff", "Research"):
            assert shown in text, shown
        assert "never for apps" not in text and "iscompliant" not in text, "what is not mapped is not told"
        answers = [each for each in posted if each.url.startswith(world.site) and "saml2-acs" in each.url]
        assert len(answers) == 1
        assert "SAMLResponse" not in (answers[0].post_data or ""), "the app's answer never was in the browser"
        with page.expect_download() as download:
            page.evaluate("location.href = '/report.csv'")
        assert download.value.path().read_text() == "name,salary\n", "a compliant device may"
    log_on = next(each for each in world.proxy.records() if "saml" in each["extra"])
    assert log_on["user"]["name"] == "ada@contoso.example"
    assert log_on["device"]["sources"] == {
        "compliant": "claim:http://schemas.microsoft.com/2014/09/devicecontext/claims/iscompliant"
    }
    assert log_on["extra"]["saml"]["provider"] == "contoso"
    assert log_on["extra"]["saml"]["attributes"] == ["cn", "groups", "mail", "unit"]


def test_policies_are_in_force_by_the_attributes_of_the_provider(world: SamlWorld, browser: Browser) -> None:
    with person(browser) as page:
        open_app(world, page, "bob")
        with page.expect_download() as download:
            page.evaluate("location.href = '/report.csv'")
        assert "blocked" in download.value.suggested_filename
        assert "salary" not in download.value.path().read_text()
    record = next(each for each in reversed(world.proxy.records()) if each["activity"] == "download")
    assert (record["action"], record["user"]["name"], record["device"]["tags"]) == ("block", "bob@contoso.example", [])


def test_a_sign_in_may_begin_at_the_provider_where_the_app_allows_it(world: SamlWorld, browser: Browser) -> None:
    with person(browser) as page:
        entity = f"{world.login}/.casb/saml/metadata"
        page.goto(f"{world.idp.base}saml2/idp/SSOService.php?spentityid={entity}")
        sign_in(page)
        expect(page.locator("body")).to_contain_text("successfully installed")
        assert page.url.startswith(world.site), page.url
        page.goto(world.site + WELCOME)
        expect(page.locator("body")).to_contain_text("ada@contoso.example")


def test_an_answer_is_accepted_once_and_in_its_own_browser(world: SamlWorld, browser: Browser) -> None:
    kept: dict[str, str] = {}

    def keep(request: Request) -> None:
        if request.url == f"{world.login}/.casb/saml/return" and request.post_data:
            kept["body"] = request.post_data

    with person(browser) as page:
        page.on("request", keep)
        open_app(world, page)
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "origin": world.login,
        "sec-fetch-site": "same-origin",
        "sec-fetch-mode": "navigate",
    }
    for body in (kept["body"], re.sub("RelayState=[^&]*", "RelayState=intranet", kept["body"])):
        again = world.proxy.ask("/.casb/saml/return", host=LOGIN, method="POST", body=body.encode(), headers=headers)
        assert again.status == 400 and not again.cookies
        assert re.search(r"I012|T052", again.text) and "x-casb-activity" in again.headers
        record = world.proxy.record(again.headers["x-casb-activity"])
        assert record["action"] == "block"


def test_signing_out_ends_it_at_the_provider_as_well(world: SamlWorld, browser: Browser) -> None:
    with person(browser) as page:
        open_app(world, page)
        page.goto(f"{world.login}/.casb/sign-out")
        page.locator("button").click()
        expect(page.locator("h1")).to_contain_text("You are signed out")
        page.screenshot(path=world.pictures / "signed-out.png")
        page.goto(world.site + WELCOME)
        expect(page.locator("input[name=username]")).to_be_visible()
        assert page.url.startswith(world.idp.base), "the provider has forgotten the person, too"


def test_the_provider_ends_the_session(world: SamlWorld, browser: Browser) -> None:
    with person(browser) as page:
        open_app(world, page)
        page.goto(f"{world.idp.base}saml2/idp/initSLO.php?RelayState={world.idp.base}")
        wait_for(lambda: world.proxy.log is not None, "the log")
        page.goto(world.site + WELCOME)
        expect(page.locator("input[name=username]")).to_be_visible()


def test_the_app_signs_out(world: SamlWorld, browser: Browser) -> None:
    with person(browser) as page:
        open_app(world, page)
        page.get_by_role("link", name="Logout").click()
        expect(page.locator("h1")).to_contain_text("You are signed out")
        page.goto(world.site + WELCOME)
        expect(page.locator("input[name=username]")).to_be_visible()
    assert APP in world.site
