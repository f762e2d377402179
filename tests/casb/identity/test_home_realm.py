from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.identity.home_realm import Hints, by_issuer, fitting, hints_of, mark_of, remembered_by
from casb.settings import Provider

TENANT = "11111111-2222-4333-8444-555555555555"
ENTRA = Provider(
    id="entra", kind="entra", authority=f"https://login.microsoftonline.com/{TENANT}/v2.0", domains=("contoso.example",)
)
OKTA = Provider(id="okta", authority="https://fabrikam.okta.example", domains=("Fabrikam.example", "shared.example"))
PING = Provider(id="ping", authority="https://ping.example/as", domains=("shared.example",))
ALL = {each.id: each for each in (ENTRA, OKTA, PING)}
EVERY = ("entra", "okta", "ping")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Hints()),
        ("login_hint=ada%40contoso.example", Hints(login="ada@contoso.example", domain="contoso.example")),
        ("domain_hint=Contoso.Example", Hints(domain="contoso.example", told="contoso.example")),
        ("whr=contoso.example", Hints(domain="contoso.example", told="contoso.example")),
        (
            "whr=a.example&login_hint=ada@b.example",
            Hints(login="ada@b.example", domain="a.example", told="a.example"),
        ),
        ("domain_hint=a.example&domain_hint=b.example", Hints()),
        ("login_hint=a@evil.example@contoso.example", Hints(login="a@evil.example@contoso.example")),
        ("login_hint=ada", Hints(login="ada")),
        ("login_hint=a%0d%0ab", Hints()),
        ("login_hint=<script>", Hints()),
        ("login_hint=" + "a" * 201, Hints()),
        ("domain_hint=organizations", Hints()),
        ("whr=urn:federation:contoso", Hints()),
        ("whr=..%2f..%2f", Hints()),
        ("&".join(["a=1"] * 300), Hints()),
    ],
)
def test_hints(query: str, expected: Hints) -> None:
    assert hints_of(query) == expected


@settings(max_examples=60)
@given(st.text(max_size=80), st.sampled_from(["login_hint", "domain_hint", "whr"]))
def test_any_hint_is_harmless(text: str, name: str) -> None:
    found = hints_of(f"{name}={text}")
    assert all(
        each.isprintable() and not set(each) & set(" <>\"'\\") for each in (found.login, found.domain, found.told)
    )


@pytest.mark.parametrize(
    ("given_", "expected", "why"),
    [
        ({}, ("entra",), "the first is the default"),
        ({"ask": True}, EVERY, "several fit"),
        ({"ask": True, "wanted": "okta"}, ("okta",), "the app says"),
        ({"ask": True, "wanted": "okta", "chosen": "ping", "remembered": "ping"}, ("okta",), "and nobody else"),
        ({"ask": True, "chosen": "ping"}, ("ping",), "the person says"),
        ({"ask": True, "chosen": "evil"}, EVERY, "there is no such provider"),
        ({"ask": True, "remembered": "okta"}, ("okta",), "the browser remembers"),
        ({"ask": True, "remembered": "gone"}, EVERY, "what has been removed since"),
        ({"remembered": "okta"}, ("entra",), "where nobody is asked, nothing is remembered"),
        ({"hints": Hints(domain="fabrikam.example")}, ("okta",), "a domain names its provider, in any case"),
        ({"ask": True, "hints": Hints(domain="fabrikam.example"), "remembered": "ping"}, ("okta",), "before memory"),
        ({"ask": True, "hints": Hints(domain="shared.example")}, ("okta", "ping"), "a domain of two"),
        (
            {"ask": True, "hints": Hints(domain="shared.example"), "remembered": "ping"},
            ("ping",),
            "of which one is known",
        ),
        ({"ask": True, "hints": Hints(domain="badfabrikam.example")}, EVERY, "CVE-2021-21291: no suffix matching"),
        ({"hints": Hints(domain="evil.example")}, ("entra",), "a domain of nobody"),
    ],
)
def test_where_to(given_: dict[str, Any], expected: tuple[str, ...], why: str) -> None:
    assert fitting(ALL, **given_) == expected, why


def test_one_provider_or_none_leaves_nothing_to_ask() -> None:
    assert fitting({"okta": OKTA}, ask=True) == ("okta",)
    assert fitting({}, ask=True) == ()


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        ("https://fabrikam.okta.example", "okta"),
        ("https://ping.example/as/", "ping"),
        ("https://ping.example/other", ""),
        ("https://login.microsoftonline.com/99999999-2222-4333-8444-555555555555/v2.0", "entra"),
        ("http://fabrikam.okta.example", ""),
        ("https://evil.example", ""),
        ("https://[", ""),
        ("", ""),
    ],
)
def test_by_issuer(issuer: str, expected: str) -> None:
    assert by_issuer(ALL.values(), issuer) == expected


def test_a_cookie_stands_for_a_provider_that_there_is() -> None:
    assert remembered_by(ALL, mark_of("okta")) == "okta"
    assert [remembered_by(ALL, each) for each in ("", None, "okta", mark_of("gone"))] == [""] * 4
