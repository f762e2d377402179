"""The shipped files themselves: sound, wide enough, and right about the hosts everybody meets."""

from __future__ import annotations

import functools

import pytest

from casb.catalog.domains import DomainIndex, Layer
from casb.catalog.entries import check, compile_apps
from casb.catalog.factors import CATEGORIES
from casb.catalog.known import KnownApp, KnownApps
from casb.store.catalog_files import SHIPPED


@functools.cache
def texts() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(SHIPPED.glob("*.yaml"))}


@functools.cache
def apps() -> KnownApps:
    return compile_apps(texts())


@functools.cache
def index() -> DomainIndex[str]:
    patterns = [(pattern, app.id) for app in apps().by_id.values() for pattern in app.domains]
    networks = [(network, app.id) for app in apps().by_id.values() for network in app.addresses]
    return DomainIndex(Layer(patterns, networks))


def in_category(category: str) -> list[KnownApp]:
    return [app for app in apps().by_id.values() if app.category == category]


def test_the_files_are_sound() -> None:
    assert [str(error) for error in check(texts())] == []


def test_there_are_enough_apps() -> None:
    assert len(apps().by_id) >= 3000


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_filled(category: str) -> None:
    assert len(in_category(category)) >= (1 if category == "unclassified" else 8)


def test_generative_ai_is_wide() -> None:
    assert len(in_category("generative_ai")) >= 90


def test_every_app_says_what_it_is() -> None:
    for app in apps().by_id.values():
        assert app.vendor, app.id
        assert app.about, app.id
        assert "homepage" in app.facts, app.id
        assert app.facts.keys() & {"requires_user_authentication", "user_can_upload_data"}, app.id


def test_the_reference_products_numbers() -> None:
    assert {app.mdca_id: app.id for app in apps().by_id.values() if app.mdca_id is not None} == {
        11161: "microsoft-365",
        11114: "salesforce",
        10980: "okta",
        10489: "box",
        11522: "yammer",
        11599: "aws",
        11627: "dropbox",
        11770: "google-workspace",
        12260: "azure",
        14509: "servicenow",
        15600: "onedrive",
        20595: "defender-cloud-apps",
        20892: "sharepoint-online",
        20893: "exchange-online",
        20940: "active-directory",
        25275: "skype-for-business",
        26324: "power-bi",
        28375: "microsoft-teams",
    }


HOSTS = [
    ("www.dropbox.com", "/home", "dropbox", "the site itself"),
    ("uc1234.dl.dropboxusercontent.com", "/", "dropbox", "a download host"),
    ("contoso.sharepoint.com", "/sites/x", "sharepoint-online", "a tenant's host"),
    ("contoso-my.sharepoint.com", "/", "sharepoint-online", "a person's files are on a SharePoint host"),
    ("1drv.ms", "/u/s!x", "onedrive", "a short link"),
    ("onedrive.live.com", "/", "onedrive", "more specific than live.com"),
    ("login.live.com", "/", "microsoft-account", "the consumer sign-in"),
    ("outlook.live.com", "/mail", "outlook-com", "personal mail"),
    ("outlook.office365.com", "/owa", "exchange-online", "mail of organisations below office365.com"),
    ("teams.microsoft.com", "/", "microsoft-teams", "more specific than microsoft.com"),
    ("login.microsoftonline.com", "/common", "active-directory", "the organisation's sign-in"),
    ("portal.azure.com", "/", "azure", "the console"),
    ("acct.blob.core.windows.net", "/c/f", "azure-storage", "more specific than windows.net"),
    ("contoso.openai.azure.com", "/", "azure-openai", "a generative app below azure.com"),
    ("contoso.service-now.com", "/", "servicenow", "a tenant's host"),
    ("contoso.my.salesforce.com", "/", "salesforce", "a tenant's host"),
    ("mail.google.com", "/mail/u/0", "gmail", "more specific than google.com"),
    ("drive.google.com", "/drive", "google-drive", "more specific than google.com"),
    ("docs.google.com", "/document/d/1", "google-docs", "the host without a longer path"),
    ("docs.google.com", "/spreadsheets/d/1", "google-sheets", "a path on a shared host"),
    ("docs.google.com", "/forms/d/1", "google-forms", "a path on a shared host"),
    ("www.google.com", "/search", "google-search", "the search"),
    ("www.google.com", "/maps/place", "google-maps", "a path on a shared host"),
    ("gemini.google.com", "/app", "gemini", "a generative app below google.com"),
    ("bucket.s3.amazonaws.com", "/k", "amazon-s3", "more specific than amazonaws.com"),
    ("ec2.eu-west-1.amazonaws.com", "/", "aws", "what no service of its own claims"),
    ("www.amazon.com", "/dp/1", "amazon", "the shop, not the cloud"),
    ("chatgpt.com", "/", "chatgpt", "the assistant"),
    ("files.oaiusercontent.com", "/", "chatgpt", "its files"),
    ("api.openai.com", "/v1/chat", "openai-api", "the API is another app than the assistant"),
    ("claude.ai", "/new", "claude", "the assistant"),
    ("api.anthropic.com", "/v1/messages", "anthropic-api", "the API is another app than the assistant"),
    ("raw.githubusercontent.com", "/o/r/main/f", "github", "file contents"),
    ("github.com", "/features/copilot", "github-copilot", "a path on a shared host"),
    ("octo.github.io", "/", "github-pages", "what customers publish"),
    ("a.slack-edge.com", "/", "slack", "the delivery network"),
    ("files.slack-files.com", "/", "slack", "uploads"),
    ("us02web.zoom.us", "/j/1", "zoom", "a cluster"),
    ("www.zoomgov.com", "/", "zoom", "the government cloud"),
    ("www.linkedin.com", "/feed", "linkedin", "the network"),
    ("www.linkedin.com", "/learning/x", "linkedin-learning", "a path on a shared host"),
    ("media.licdn.com", "/", "linkedin", "its delivery network"),
    ("scontent.xx.fbcdn.net", "/", "facebook", "its delivery network"),
    ("web.whatsapp.com", "/", "whatsapp", "the web client"),
    ("web.telegram.org", "/k", "telegram", "the web client"),
    ("mega.nz", "/file", "mega", "a risky store"),
    ("gofile.io", "/d/x", "gofile", "a risky store"),
    ("pastebin.com", "/raw/x", "pastebin", "text that leaves"),
    ("1.tunnel.ngrok-free.app", "/", "ngrok", "a tunnel to the inside"),
    ("www.notion.so", "/page", "notion", "the site"),
    ("contoso.atlassian.net", "/wiki", "atlassian", "a tenant's host"),
    ("trello.com", "/b/x", "trello", "an app of the same vendor with its own host"),
    ("contoso.zendesk.com", "/agent", "zendesk", "a tenant's host"),
    ("contoso.myworkday.com", "/", "workday", "a tenant's host"),
]


@pytest.mark.parametrize(("host", "path", "app", "why"), HOSTS, ids=[f"{host}{path}" for host, path, *_ in HOSTS])
def test_whose_a_host_is(host: str, path: str, app: str, why: str) -> None:
    found = index().match(host, path)
    assert found is not None, why
    assert found.owner == app, why


@pytest.mark.parametrize(
    ("address", "app"),
    [("162.125.1.18", "dropbox"), ("149.154.167.99", "telegram"), ("52.112.0.1", "microsoft-teams")],
)
def test_whose_an_address_is(address: str, app: str) -> None:
    found = index().match(address)
    assert found is not None
    assert found.owner == app


@pytest.mark.parametrize("host", ["intranet.contoso.example", "co.uk", "localhost", "com"])
def test_whose_a_host_is_not(host: str) -> None:
    assert index().match(host) is None


def test_no_fact_is_younger_than_its_file() -> None:
    for app in apps().by_id.values():
        for name, fact in app.facts.items():
            if name in ("latest_breach", "domain_registered"):
                assert str(fact.value)[:7] <= fact.as_of, (app.id, name)
            if name == "founded":
                assert int(str(fact.value)) <= int(fact.as_of[:4]), (app.id, name)
