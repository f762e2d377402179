"""The emulated Entra, driven as the product drives it: MSAL on one side, a browser's requests on the other."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urljoin, urlsplit

import jwt
import msal
import pytest
import requests
from demo_lib.idp import ClientRegistration, EmulatedEntra
from demo_lib.pki import DemoAuthority

CALLBACK = "https://login.casb.test/.casb/oidc/callback"
SIGNED_OUT = "https://login.casb.test/.casb/signed-out"
CLIENT_ID = "11111111-2222-4333-8444-555555555555"
SECRET = "a secret that only this test knows"

pytestmark = pytest.mark.filterwarnings("ignore:response_mode='form_post' is recommended:UserWarning")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> DemoAuthority:
    return DemoAuthority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def running(
    authority: DemoAuthority, rsa_certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmulatedEntra]:
    client = ClientRegistration(
        id=CLIENT_ID,
        secret=SECRET,
        certificate=rsa_certificate[0],
        redirect_uris=[CALLBACK],
        post_logout_redirect_uris=[SIGNED_OUT],
        frontchannel_logout_uri="https://login.casb.test/.casb/oidc/frontchannel-logout",
    )
    with EmulatedEntra.start(authority, [client], tmp_path_factory.mktemp("log") / "idp.log") as entra:
        yield entra


@pytest.fixture(scope="module")
def rsa_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    authority = DemoAuthority(tmp_path_factory.mktemp("client"))
    leaf = authority.leaf("client", ["casb"], client=True, rsa_key=True)
    return leaf.certificate, leaf.key


@pytest.fixture
def entra(running: EmulatedEntra) -> Iterator[EmulatedEntra]:
    before = {user["oid"]: user for user in running.call("GET", "/state")["users"]}
    yield running
    running.recover()
    running.sign_in_without_page(None)
    for user in before.values():
        running.set_user(
            user["oid"], **{name: user[name] for name in ("device", "disabled", "groups", "acrs", "groups_overage")}
        )


def http(entra: EmulatedEntra) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.verify = str(entra.ca)
    return session


def relying_party(
    entra: EmulatedEntra, credential: Any = SECRET, issuer: str | None = None
) -> msal.ConfidentialClientApplication:
    return msal.ConfidentialClientApplication(
        CLIENT_ID,
        client_credential=credential,
        oidc_authority=issuer or entra.issuer,
        http_client=http(entra),
        exclude_scopes=["offline_access"],
    )


def follow(browser: requests.Session, answer: requests.Response, stop_at: str = CALLBACK) -> str | requests.Response:
    """Redirects one by one: the address that leaves for `stop_at`, or the page on which a person would stand."""
    for _ in range(10):
        if not answer.is_redirect:
            return answer
        location = urljoin(answer.url, answer.headers["Location"])
        if location.startswith(stop_at):
            return location
        answer = browser.get(location, allow_redirects=False)
    raise AssertionError("too many redirects")


def answer_form(browser: requests.Session, page: requests.Response, **fields: str) -> requests.Response:
    action = re.search(r'<form method="post" action="([^"]+)"', page.text)
    assert action is not None, page.text
    target = urljoin(page.url, action[1])
    return browser.post(target, data=fields, allow_redirects=False)


def authorize(
    entra: EmulatedEntra,
    app: msal.ConfidentialClientApplication,
    browser: requests.Session,
    *,
    user: str | None = None,
    mfa: bool = False,
    **options: Any,
) -> tuple[dict[str, Any], dict[str, str] | requests.Response]:
    """One trip through the browser: MSAL's flow and what came back to the callback (or the page that stayed)."""
    flow = app.initiate_auth_code_flow([], redirect_uri=CALLBACK, **options)
    end = follow(browser, browser.get(flow["auth_uri"], allow_redirects=False))
    if isinstance(end, requests.Response) and user:
        end = follow(browser, answer_form(browser, end, user=user, mfa="yes" if mfa else ""))
    return flow, dict(parse_qsl(urlsplit(end).query)) if isinstance(end, str) else end


def sign_in(entra: EmulatedEntra, user: str, **options: Any) -> dict[str, Any]:
    """The verified claims of a whole sign-in."""
    app = relying_party(entra)
    flow, returned = authorize(entra, app, http(entra), user=user, **options)
    assert isinstance(returned, dict), returned.text
    result = app.acquire_token_by_auth_code_flow(flow, returned)
    return verified(entra, result["id_token"])


def verified(entra: EmulatedEntra, token: str) -> dict[str, Any]:
    keys = {key["kid"]: key for key in published(entra)}
    header = jwt.get_unverified_header(token)
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(keys[header["kid"]], "RS256"), algorithms=["RS256"], audience=CLIENT_ID
    )
    return claims


def published(entra: EmulatedEntra) -> list[dict[str, Any]]:
    answer = http(entra).get(entra.issuer.replace("/v2.0", "/discovery/v2.0/keys"))
    answer.raise_for_status()
    keys: list[dict[str, Any]] = answer.json()["keys"]
    return keys


def test_a_compliant_user_has_the_claims_of_a_v2_id_token(entra: EmulatedEntra) -> None:
    claims = sign_in(entra, "ada@contoso.example")

    assert claims["iss"] == entra.issuer
    assert claims["tid"] == entra.tenants[0]["id"]
    assert claims["preferred_username"] == "ada@contoso.example"
    assert claims["ver"] == "2.0"
    assert claims["nbf"] == claims["iat"]
    assert claims["sub"] != claims["oid"]
    assert re.fullmatch(r"[0-9a-f-]{36}", claims["sid"])
    assert len(claims["groups"]) == 2
    assert claims["acrs"] == ["c1"]
    assert claims["deviceid"]
    assert claims["uti"]
    assert "amr" not in claims


@pytest.mark.parametrize(
    ("device", "acrs"),
    [("compliant", ["c1"]), ("hybrid", ["c2"]), ("unmanaged", None)],
)
def test_the_state_of_the_device_is_an_authentication_context(
    entra: EmulatedEntra, device: str, acrs: list[str] | None
) -> None:
    entra.set_user("ben@contoso.example", device=device)

    claims = sign_in(entra, "ben@contoso.example")

    assert claims.get("acrs") == acrs
    assert ("deviceid" in claims) is (device != "unmanaged")


def test_a_second_sign_in_of_the_same_browser_asks_nothing(entra: EmulatedEntra) -> None:
    app, browser = relying_party(entra), http(entra)
    authorize(entra, app, browser, user="ada@contoso.example")

    flow, returned = authorize(entra, app, browser)

    assert isinstance(returned, dict)
    assert "id_token" in app.acquire_token_by_auth_code_flow(flow, returned)


def test_the_answer_may_come_as_a_form_post(entra: EmulatedEntra) -> None:
    app = relying_party(entra)
    flow, page = authorize(entra, app, http(entra), user="ada@contoso.example", response_mode="form_post")
    assert isinstance(page, requests.Response)
    returned = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))

    assert sorted(returned) == ["code", "state"]
    assert "id_token" in app.acquire_token_by_auth_code_flow(flow, returned)


def test_a_code_is_good_for_one_use(entra: EmulatedEntra) -> None:
    app, browser = relying_party(entra), http(entra)
    flow, returned = authorize(entra, app, browser, user="ada@contoso.example")
    assert isinstance(returned, dict)
    again = json.loads(json.dumps(flow))
    assert "id_token" in app.acquire_token_by_auth_code_flow(flow, returned)

    assert app.acquire_token_by_auth_code_flow(again, returned)["error"] == "invalid_grant"


def test_a_client_may_prove_itself_with_its_certificate(
    entra: EmulatedEntra, rsa_certificate: tuple[Path, Path]
) -> None:
    certificate, key = rsa_certificate
    credential = {"private_key": key.read_text(), "public_certificate": certificate.read_text()}
    app = relying_party(entra, credential)
    flow, returned = authorize(entra, app, http(entra), user="ada@contoso.example")
    assert isinstance(returned, dict)

    result = app.acquire_token_by_auth_code_flow(flow, returned)

    assert verified(entra, result["id_token"])["name"] == "Ada Abel"


def test_a_wrong_secret_is_refused(entra: EmulatedEntra) -> None:
    app = relying_party(entra, "another secret altogether")
    flow, returned = authorize(entra, app, http(entra), user="ada@contoso.example")
    assert isinstance(returned, dict)

    assert app.acquire_token_by_auth_code_flow(flow, returned)["error"] == "invalid_client"


def test_a_request_without_pkce_is_refused(entra: EmulatedEntra) -> None:
    address = entra.issuer.replace("/v2.0", "/oauth2/v2.0/authorize")
    query = {"client_id": CLIENT_ID, "response_type": "code", "redirect_uri": CALLBACK, "scope": "openid", "state": "x"}

    answer = http(entra).get(address, params=query, allow_redirects=False)

    assert parse_qs(urlsplit(answer.headers["Location"]).query)["error"] == ["invalid_request"]


CHALLENGE = {"id_token": {"acrs": {"essential": True, "value": "c3"}}}


def test_a_claims_challenge_asks_for_the_second_factor(entra: EmulatedEntra) -> None:
    app, browser = relying_party(entra), http(entra)
    authorize(entra, app, browser, user="ada@contoso.example")

    challenge = json.dumps({"access_token": CHALLENGE["id_token"]})
    flow, page = authorize(entra, app, browser, claims_challenge=challenge)
    assert isinstance(page, requests.Response)
    assert "multifactor" in page.text
    refused = answer_form(browser, page, user="ada@contoso.example")
    assert "AADSTS50076" in refused.text
    end = follow(browser, answer_form(browser, page, user="ada@contoso.example", mfa="yes"))
    assert isinstance(end, str)

    result = app.acquire_token_by_auth_code_flow(flow, dict(parse_qsl(urlsplit(end).query)))
    assert verified(entra, result["id_token"])["acrs"] == ["c1", "c3"]


def test_a_context_out_of_reach_is_refused(entra: EmulatedEntra) -> None:
    challenge = json.dumps({"id_token": {"acrs": {"essential": True, "value": "c1"}}})

    _, returned = authorize(
        entra, relying_party(entra), http(entra), user="ben@contoso.example", claims_challenge=challenge
    )

    assert isinstance(returned, dict)
    assert returned["error"] == "access_denied"
    assert "AADSTS53000" in returned["error_description"]


def test_a_context_that_no_policy_guards_is_issued_for_the_asking(entra: EmulatedEntra) -> None:
    challenge = json.dumps({"id_token": {"acrs": {"essential": True, "value": "c9"}}})

    assert sign_in(entra, "ben@contoso.example", claims_challenge=challenge)["acrs"] == ["c9"]


@pytest.mark.parametrize(
    ("signed_in", "challenge", "error"),
    [
        pytest.param(False, None, "login_required", id="nobody is signed in"),
        pytest.param(True, CHALLENGE, "interaction_required", id="more is asked for"),
    ],
)
def test_a_silent_request_never_shows_a_page(
    entra: EmulatedEntra, signed_in: bool, challenge: Mapping[str, Any] | None, error: str
) -> None:
    app, browser = relying_party(entra), http(entra)
    if signed_in:
        authorize(entra, app, browser, user="ada@contoso.example")

    options: dict[str, Any] = {"claims_challenge": json.dumps(challenge)} if challenge else {}
    _, returned = authorize(entra, app, browser, prompt="none", **options)

    assert isinstance(returned, dict)
    assert returned["error"] == error


def test_keys_rotate_with_an_overlap_until_they_are_dropped(entra: EmulatedEntra) -> None:
    before = {key["kid"] for key in published(entra)}

    added = entra.rotate_keys()
    assert {key["kid"] for key in published(entra)} == before | {added}
    app = relying_party(entra)
    flow, returned = authorize(entra, app, http(entra), user="ada@contoso.example")
    assert isinstance(returned, dict)
    token = app.acquire_token_by_auth_code_flow(flow, returned)["id_token"]
    assert jwt.get_unverified_header(token) == {"typ": "JWT", "alg": "RS256", "kid": added}

    last = entra.rotate_keys(drop=True)
    assert {key["kid"] for key in published(entra)} == {last}


def test_signing_out_ends_the_browsers_session_and_tells_the_applications(entra: EmulatedEntra) -> None:
    app, browser = relying_party(entra), http(entra)
    flow, returned = authorize(entra, app, browser, user="ada@contoso.example")
    assert isinstance(returned, dict)
    sid = verified(entra, app.acquire_token_by_auth_code_flow(flow, returned)["id_token"])["sid"]
    leave = entra.issuer.replace("/v2.0", "/oauth2/v2.0/logout")
    query = {"client_id": CLIENT_ID, "post_logout_redirect_uri": SIGNED_OUT, "logout_hint": "ada@contoso.example"}

    page = browser.get(leave, params=query)
    assert f"frontchannel-logout?sid={sid}" in page.text
    form = dict(re.findall(r'name="(xsrf|logout)" value="([^"]+)"', page.text))
    action = re.search(r'action="([^"]+)"', page.text)
    assert action is not None
    answer = browser.post(action[1], data=form, allow_redirects=False)

    assert answer.headers["Location"] == SIGNED_OUT
    _, again = authorize(entra, app, browser, prompt="none")
    assert isinstance(again, dict)
    assert again["error"] == "login_required"


def test_an_unknown_address_after_signing_out_is_refused(entra: EmulatedEntra) -> None:
    leave = entra.issuer.replace("/v2.0", "/oauth2/v2.0/logout")
    query = {"client_id": CLIENT_ID, "post_logout_redirect_uri": "https://evil.test/"}

    answer = http(entra).get(leave, params=query, allow_redirects=False)

    assert answer.status_code == 400


def test_a_disabled_user_is_kept_out_even_with_a_session(entra: EmulatedEntra) -> None:
    app, browser = relying_party(entra), http(entra)
    authorize(entra, app, browser, user="ben@contoso.example")
    entra.set_user("ben@contoso.example", disabled=True)

    _, silent = authorize(entra, app, browser, prompt="none")
    _, page = authorize(entra, app, browser, user="ben@contoso.example")

    assert isinstance(silent, dict)
    assert silent["error"] == "login_required"
    assert isinstance(page, requests.Response)
    assert "AADSTS50057" in page.text


def test_revoking_ends_the_session(entra: EmulatedEntra) -> None:
    app, browser = relying_party(entra), http(entra)
    authorize(entra, app, browser, user="cleo@contoso.example")

    assert entra.revoke_sessions("cleo@contoso.example") >= 1

    _, silent = authorize(entra, app, browser, prompt="none")
    assert isinstance(silent, dict)
    assert silent["error"] == "login_required"


def test_organizations_has_the_literal_issuer_and_the_users_tenant_in_the_token(entra: EmulatedEntra) -> None:
    metadata = http(entra).get(entra.organizations + "/.well-known/openid-configuration").json()
    assert metadata["issuer"] == f"{entra.base}/{{tenantid}}/v2.0"
    app = relying_party(entra, issuer=entra.organizations)
    flow, returned = authorize(entra, app, http(entra), user="finn@fabrikam.example")
    assert isinstance(returned, dict)

    claims = verified(entra, app.acquire_token_by_auth_code_flow(flow, returned)["id_token"])

    assert claims["tid"] == entra.tenants[1]["id"]
    assert claims["iss"] == f"{entra.base}/{claims['tid']}/v2.0"


def test_a_user_of_another_tenant_is_refused(entra: EmulatedEntra) -> None:
    _, page = authorize(entra, relying_party(entra), http(entra), user="finn@fabrikam.example")

    assert isinstance(page, requests.Response)
    assert "AADSTS50020" in page.text


def test_an_unknown_tenant_is_named(entra: EmulatedEntra) -> None:
    answer = http(entra).get(f"{entra.base}/c0ffee00-0000-4000-8000-000000000000/v2.0/.well-known/openid-configuration")

    assert answer.status_code == 400
    assert "AADSTS90002" in answer.json()["error_description"]


def test_too_many_groups_become_a_reference(entra: EmulatedEntra) -> None:
    entra.set_user("ada@contoso.example", groups_overage=True)

    claims = sign_in(entra, "ada@contoso.example")

    assert "groups" not in claims
    assert claims["_claim_names"] == {"groups": "src1"}


def test_the_token_answer_carries_client_info(entra: EmulatedEntra) -> None:
    app, browser = relying_party(entra), http(entra)
    flow, returned = authorize(entra, app, browser, user="ada@contoso.example")
    assert isinstance(returned, dict)
    answer = browser.post(
        entra.issuer.replace("/v2.0", "/oauth2/v2.0/token"),
        data={
            "client_id": CLIENT_ID,
            "client_secret": SECRET,
            "grant_type": "authorization_code",
            "code": returned["code"],
            "redirect_uri": CALLBACK,
            "code_verifier": flow["code_verifier"],
        },
    ).json()

    info = json.loads(base64.urlsafe_b64decode(answer["client_info"] + "=="))

    assert info["utid"] == entra.tenants[0]["id"]


def test_faults_and_recovery(entra: EmulatedEntra) -> None:
    keys = entra.issuer.replace("/v2.0", "/discovery/v2.0/keys")
    entra.fail("/discovery/v2.0/keys", status=503)
    assert http(entra).get(keys).status_code == 503

    entra.recover()
    entra.fail("/discovery/v2.0/keys", bytes=3_000_000)
    assert len(http(entra).get(keys).content) == 3_000_000

    entra.recover()
    entra.fail("*", silent=True)
    with pytest.raises(requests.exceptions.ReadTimeout):
        http(entra).get(keys, timeout=0.3)

    entra.recover()
    assert published(entra)


def test_a_sign_in_without_the_page(entra: EmulatedEntra) -> None:
    entra.sign_in_without_page("dan@contoso.example", mfa=True)

    _, returned = authorize(entra, relying_party(entra), http(entra))

    assert isinstance(returned, dict)
    assert "code" in returned


def test_what_was_asked_is_remembered_without_its_query(entra: EmulatedEntra) -> None:
    entra.call("DELETE", "/requests")
    published(entra)

    (seen,) = entra.seen()

    assert (seen["method"], seen["status"]) == ("GET", 200)
    assert seen["path"].endswith("/discovery/v2.0/keys")


def test_a_page_in_a_browser_cannot_steer_it(entra: EmulatedEntra) -> None:
    answer = requests.post(entra.control + "/faults", json={}, headers={"Origin": "https://evil.test"}, timeout=5)

    assert answer.status_code == 403
