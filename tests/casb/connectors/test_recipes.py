"""policies/identity-providers.md: each block is read by the real reader, and signs in with tokens of that shape."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from casb.config import Outside, draft
from casb.connectors.oidc import OidcProvider
from casb.errors import TokenError
from casb.identity.claims import device_of, user_of
from casb.model.identity import User
from casb.settings import Provider

PAGE = Path(__file__).parents[3] / "policies" / "identity-providers.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
IDS = [yaml.safe_load(each)[0]["id"] for each in BLOCKS]
OUTSIDE = Outside(secret=lambda _: "a-secret", read=lambda _: b"certificate")
TENANT = "11111111-1111-1111-1111-111111111111"
PARTNER = "33333333-3333-4333-8333-333333333333"
PING = "https://auth.pingone.eu/44444444-4444-4444-8444-444444444444/as"
MICROSOFT = "https://login.microsoftonline.com"


def recipe(name: str) -> Provider:
    """The settings that a block of the page gives."""
    lines = "".join(f"  {line}\n" for line in BLOCKS[IDS.index(name)].splitlines())
    found = draft({"casb.yaml": f"suffix: casb.test\nproviders:\n{lines}".encode()}, "/c", OUTSIDE)
    assert [str(each) for each in found.errors] == []
    assert found.settings is not None
    return found.settings.providers[0]


def entra(tenant: str, **more: Any) -> dict[str, Any]:
    shape = {
        "iss": f"{MICROSOFT}/{tenant}/v2.0",
        "tid": tenant,
        "oid": "o",
        "sub": "pairwise",
        "ver": "2.0",
        "uti": "u",
    }
    return shape | {"preferred_username": "ada@contoso.example", "name": "Ada", "rh": "1.A"} | more


ADA = {"preferred_username": "ada@contoso.example", "name": "Ada"}
GROUP = "77777777-7777-4777-8777-777777777777"
# The block, what its tokens hold, and what is read: name, groups, guest, tenant, organization.
SHAPES: list[tuple[str, str, dict[str, Any], tuple[str, set[str], bool, str, str]]] = [
    (
        "entra",
        "a member",
        entra(TENANT, acct=0, groups=[GROUP], acrs=["c1"], sid="s"),
        ("ada@contoso.example", {GROUP}, False, TENANT, ""),
    ),
    (
        "entra",
        "a guest",
        entra(TENANT, acct=1, idp="https://sts.windows.net/x/", preferred_username="eve@gmail.com"),
        ("eve@gmail.com", set(), True, TENANT, ""),
    ),
    ("partners", "of another tenant", entra(PARTNER), ("ada@contoso.example", set(), False, PARTNER, "")),
    (
        "okta",
        "groups by name",
        {"iss": "https://contoso.okta.com", "sub": "00u1", "ver": 1, "amr": ["mfa", "otp"], "idp": "00o1", "acr": "phr"}
        | {**ADA, "jti": "ID.1", "auth_time": 1, "at_hash": "x", "groups": ["Everyone", "finance"]},
        ("ada@contoso.example", {"Everyone", "finance"}, False, "", ""),
    ),
    (
        "adfs",
        "one group is a word",
        {"iss": "https://adfs.contoso.example/adfs", "sub": "u+/=", "upn": "ada@contoso.example", "group": "finance"}
        | {"unique_name": "CONTOSO\\ada", "apptype": "Confidential", "ver": "1.0", "scp": "openid", "sid": "S-1-5-21"},
        ("ada@contoso.example", {"finance"}, False, "", ""),
    ),
    (
        "adfs",
        "two are a list",
        {"iss": "https://adfs.contoso.example/adfs", "sub": "u", "upn": "ada@contoso.example", "group": ["a", "b"]},
        ("ada@contoso.example", {"a", "b"}, False, "", ""),
    ),
    (
        "keycloak",
        "audiences, azp, organization",
        {"iss": "https://sso.contoso.example/realms/contoso", "sub": "f", "azp": "casb", "aud": ["casb", "account"]}
        | {**ADA, "typ": "ID", "acr": "gold", "sid": "s", "groups": ["finance"], "organization": ["contoso"]},
        ("ada@contoso.example", {"finance"}, False, "", "contoso"),
    ),
    (
        "pingone",
        "groups by name",
        {"iss": PING, "sub": "p", "acr": "Single_Factor", "amr": ["pwd"], "groups": ["finance"], "sid": "s", **ADA},
        ("ada@contoso.example", {"finance"}, False, "", ""),
    ),
    (
        "authentik",
        "an issuer that ends in a slash",
        {
            "iss": "https://auth.contoso.example/application/o/casb/",
            "sub": "9f",
            "acr": "goauthentik.io/providers/oauth2/default",
        }
        | {**ADA, "email": "ada@contoso.example", "groups": ["authentik Admins"], "uid": "u"},
        ("ada@contoso.example", {"authentik Admins"}, False, "", ""),
    ),
    (
        "google",
        "a hosted domain",
        {"iss": "https://accounts.google.com", "sub": "1", "email": "ada@contoso.example", "email_verified": True}
        | {"hd": "contoso.example", "name": "Ada", "azp": "123456789012-abc.apps.googleusercontent.com"},
        ("ada@contoso.example", set(), False, "contoso.example", ""),
    ),
]
KEYS = {"google": ("https://www.googleapis.com/oauth2/v3/keys", "https://oauth2.googleapis.com/token")}


async def sign_in(name: str, idp: Any, now: Any, claims: dict[str, Any]) -> User:
    settings = recipe(name)
    provider = OidcProvider(settings, redirect_uri="https://login.casb.test/cb", clock=now, monotonic=now.monotonic)
    provider._fetcher.session.mount("https://", idp)  # The provider's own list of hosts stays in force.
    base = settings.authority.rstrip("/")
    keys, token = KEYS.get(name, (f"{base}/keys", f"{base}/token"))
    issuer = claims["iss"] if name not in ("entra", "partners") else f"{MICROSOFT}/{{tenantid}}/v2.0"
    idp.metadata = {
        "issuer": issuer,
        "jwks_uri": keys,
        "token_endpoint": token,
        "authorization_endpoint": f"{base}/auth",
    }

    def mint(given: dict[str, Any]) -> str:
        fresh = {each: given[each] for each in ("iat", "exp", "nonce")}
        made = {"aud": settings.client_id, **fresh, **claims}
        return str(idp.sign(made | ({"auth_time": made["iat"]} if "auth_time" in made else {})))

    idp.mint = mint
    url, flow = await provider.begin()
    query = parse_qs(urlsplit(url).query)
    assert query["code_challenge_method"] == ["S256"] and query["response_type"] == ["code"]
    assert set(settings.scopes) | {"openid"} <= set(query["scope"][0].split())
    try:
        found = await provider.finish(flow, idp.arrive(url))
    finally:
        await provider.close()
    device = device_of(found, settings.device)
    assert bool(device.tags) == ("acrs" in claims)
    return user_of(found, settings)


@pytest.mark.parametrize(("name", "what", "claims", "expected"), SHAPES, ids=[f"{a}: {b}" for a, b, _, _ in SHAPES])
async def test_a_sign_in_by_the_recipe(
    idp: Any, now: Any, name: str, what: str, claims: dict[str, Any], expected: tuple[str, set[str], bool, str, str]
) -> None:
    user = await sign_in(name, idp, now, claims)
    assert (user.name, set(user.groups), user.is_guest, user.tenant, user.organization) == expected
    assert user.groups_known


def shape(name: str) -> dict[str, Any]:
    return next(claims for each, _, claims, _ in SHAPES if each == name)


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("google", {"hd": "evil.example"}, "T020"),
        ("google", {"hd": None}, "T020"),
        ("google", {"email_verified": False}, "T020"),
        ("google", {"email_verified": "true"}, "T020"),
        ("google", {"email_verified": 1}, "T020"),
        ("google", {"azp": "another-app"}, "T013"),
        ("keycloak", {"azp": None}, "T013"),
        ("keycloak", {"aud": ["account"]}, "T013"),
        ("okta", {"iss": "https://contoso.okta.com/"}, "T012"),
        ("entra", {"tid": PARTNER, "iss": f"{MICROSOFT}/{PARTNER}/v2.0"}, "T012"),
        ("partners", {"tid": GROUP, "iss": f"{MICROSOFT}/{GROUP}/v2.0"}, "T012"),
        ("partners", {"iss": f"{MICROSOFT}/{TENANT}/v2.0"}, "T012"),
    ],
)
async def test_what_a_recipe_keeps_out(idp: Any, now: Any, name: str, change: dict[str, Any], code: str) -> None:
    honest = shape(name)["iss"] if name == "okta" else None
    claims = {**shape(name), **change}
    with pytest.raises(TokenError) as caught:
        if honest:
            idp.answers["openid-configuration"] = lambda: (200, {**idp.metadata, "issuer": honest})
        await sign_in(name, idp, now, claims)
    assert caught.value.code == code


def test_every_recipe_is_tried() -> None:
    assert len(IDS) == len(set(IDS)) and set(IDS) == {each[0] for each in SHAPES} | {"adfs-saml"}
    adfs = recipe("adfs-saml")
    assert adfs.kind == "saml" and adfs.saml is not None and adfs.saml.certificates == ("certificate",)
    assert adfs.device.adfs
    assert recipe("adfs").claims.username == ("upn",)
    headings = set(re.findall(r"(?m)^## (.+)$", PAGE.read_text()))
    assert headings >= {"Okta", "Keycloak", "PingOne", "authentik", "Google Workspace", "AD FS (SAML)"}
