from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import msal
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from casb.connectors.fetch import Fetcher
from casb.connectors.oidc import NullCache, OidcProvider
from casb.errors import CasbError, ConnectorError, TokenError
from casb.identity.claims import Claims
from casb.identity.tokens import LOGOUT_EVENT, hashed_nonce
from casb.settings import ContextRule, DeviceRules, Provider, Secret

TENANT = "11111111-2222-4333-8444-555555555555"
BASE = f"https://idp.test/{TENANT}/v2.0"
Make = Callable[..., OidcProvider]


async def complete(provider: OidcProvider, idp: Any, params: Mapping[str, str] | None = None, **options: Any) -> Claims:
    url, flow = await provider.begin(contexts=options.get("contexts", ()), max_age=options.get("max_age"))
    brought = idp.arrive(url)
    return await provider.finish(flow, brought if params is None else {**brought, **params}, **options)


async def refusal(*arguments: Any, **options: Any) -> CasbError:
    with pytest.raises((TokenError, ConnectorError)) as caught:
        await complete(*arguments, **options)
    return caught.value


def watch(idp: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Addresses and bodies of all requests from now on."""
    sent: list[tuple[str, str]] = []
    send = idp.send

    def record(request: Any, **options: Any) -> Any:
        sent.append((request.url, request.body or ""))
        return send(request, **options)

    monkeypatch.setattr(idp, "send", record)
    return sent


async def test_a_sign_in(make_provider: Make, idp: Any) -> None:
    provider = make_provider()
    url, flow = await provider.begin(login_hint="ada@contoso.example", prompt="login", domain_hint="contoso.example")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith("https://idp.test/authorize?")
    assert query["redirect_uri"] == "https://login.casb.test/.casb/oidc/callback"
    assert (query["response_type"], query["response_mode"]) == ("code", "query")
    assert (query["code_challenge_method"], query["prompt"]) == ("S256", "login")
    assert (query["login_hint"], query["domain_hint"]) == ("ada@contoso.example", "contoso.example")
    assert query["nonce"] == hashed_nonce(flow["nonce"])
    assert "offline_access" not in query["scope"].split()
    json.dumps(flow)
    claims = await provider.finish(flow, idp.arrive(url))
    assert (claims.tenant, claims.object_id, claims.session) == (TENANT, "oid-ada", "idp-session-1")
    await provider.close()


async def test_form_post(make_provider: Make, now: Any, idp: Any) -> None:
    fetcher = Fetcher(["idp.test"])
    fetcher.session.mount("https://", idp)
    provider = OidcProvider(
        make_provider().settings,
        redirect_uri="https://l.test/cb",
        clock=now,
        fetcher=fetcher,
        response_mode="form_post",
    )
    url, _ = await provider.begin()
    assert "response_mode=form_post" in url


async def test_keys_and_metadata_are_fetched_once(make_provider: Make, idp: Any) -> None:
    provider = make_provider()
    await asyncio.gather(*(provider.metadata() for _ in range(5)))
    for _ in range(3):
        await complete(provider, idp)
    discovery = f"/{TENANT}/v2.0/.well-known/openid-configuration"
    assert idp.seen.count("/keys") == 1
    assert idp.seen.count(discovery) == 2, "once by us, once by MSAL"


async def test_contexts(make_provider: Make, idp: Any) -> None:
    rules = DeviceRules(compliant=("c1",), hybrid_joined=("c2",))
    provider = make_provider(device=rules)
    url, _ = await provider.begin()
    asked = {"values": ["c1", "c2"]}
    assert json.loads(parse_qs(urlsplit(url).query)["claims"][0]) == {
        "id_token": {"acrs": asked},
        "access_token": {"acrs": asked},
    }
    url, _ = await provider.begin(contexts=["c7"])
    asked = {"essential": True, "value": "c7"}  # type: ignore[dict-item] # a JSON value
    assert json.loads(parse_qs(urlsplit(url).query)["claims"][0])["id_token"]["acrs"] == asked
    url, _ = await provider.begin(contexts=["c8", "c7"])
    assert json.loads(parse_qs(urlsplit(url).query)["claims"][0])["id_token"]["acrs"]["values"] == ["c7", "c8"]
    assert (await refusal(provider, idp, contexts=["c7"])).code == "T016"
    idp.claims = {"acrs": "c7"}
    assert (await complete(provider, idp, contexts=["c7"])).contexts == {"c7"}
    url, _ = await make_provider(device=DeviceRules()).begin()
    assert "claims" not in parse_qs(urlsplit(url).query)


async def test_age(make_provider: Make, idp: Any, now: Any) -> None:
    provider = make_provider()
    assert (await refusal(provider, idp, max_age=60)).code == "T011"
    idp.claims = {"auth_time": int((now.present - timedelta(seconds=200)).timestamp())}
    error = await refusal(provider, idp, max_age=60)
    assert error.code == "T017"
    assert "oid-ada" not in str(error)
    assert await complete(provider, idp, max_age=600)


FORGED: dict[str, dict[str, Any]] = {
    "T012 issuer": {"iss": "https://evil.example"},
    "T012 tenant": {"tid": "99999999-2222-4333-8444-555555555555"},
    "T013 audience": {"aud": "another-app"},
    "T014 expired": {"exp": 1},
    "T015 nonce": {"nonce": "another"},
    "T011 subject": {"sub": None},
}


@pytest.mark.parametrize("name", FORGED)
async def test_what_msal_lets_through(make_provider: Make, idp: Any, name: str) -> None:
    idp.claims = FORGED[name]
    assert (await refusal(make_provider(), idp)).code == name.split()[0]


def foreign(claims: dict[str, Any]) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return jwt.encode(claims, key, "RS256", headers={"kid": "key-1"})


FORGERIES: dict[str, tuple[str, Callable[[Any, dict[str, Any]], Any]]] = {
    "unsigned": ("T002", lambda idp, claims: idp.sign(claims).rpartition(".")[0] + "."),
    "none": ("T002", lambda idp, claims: jwt.encode(claims, "", "none", headers={"kid": "key-1"})),
    "shared secret": ("T005", lambda idp, claims: jwt.encode(claims, "x" * 32, "HS256", headers={"kid": "key-1"})),
    "foreign key": ("T010", lambda idp, claims: foreign(claims)),
    "unknown kid": ("T008", lambda idp, claims: idp.sign(claims, kid="nobody")),
    "no kid": ("T007", lambda idp, claims: jwt.encode(claims, idp.key, "RS256")),
    "access token": ("T006", lambda idp, claims: idp.sign(claims, typ="at+jwt")),
    "garbage": ("T002", lambda idp, claims: "garbage"),
    "empty": ("T002", lambda idp, claims: ""),
    "a number": ("I002", lambda idp, claims: 5),
    "nested": ("T001", lambda idp, claims: "a." + "W1tb" * 5000 + ".c"),
    "huge": ("T001", lambda idp, claims: idp.sign(claims | {"x": "y" * 20_000})),
}


@pytest.mark.parametrize("name", FORGERIES)
async def test_forged_tokens(make_provider: Make, idp: Any, name: str) -> None:
    code, forge = FORGERIES[name]
    idp.mint = lambda claims: forge(idp, claims)
    error = await refusal(make_provider(), idp)
    assert error.code == code
    assert "eyJ" not in str(error)


async def test_a_token_of_an_earlier_sign_in(make_provider: Make, idp: Any) -> None:
    provider = make_provider()
    url, flow = await provider.begin()
    brought = idp.arrive(url)
    old = idp.sign(idp.id_claims())
    await provider.finish(flow, brought)
    idp.mint = lambda claims: old
    assert (await refusal(provider, idp)).code == "T015", "its nonce is another one's"


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"state": "another"}, "T015"),
        ({"state": ""}, "T015"),
        ({"iss": "https://evil.example"}, "T012"),
        ({"iss": BASE + "/"}, "T012"),
        ({"iss": ""}, "T012"),
        ({"error": "access_denied"}, "I004"),
    ],
)
async def test_answers_from_elsewhere(make_provider: Make, idp: Any, params: dict[str, str], code: str) -> None:
    provider = make_provider()
    assert (await refusal(provider, idp, params)).code == code
    assert not any(path.endswith("token") for path in idp.seen), "no code is sent anywhere"


async def test_answers_that_name_the_issuer(make_provider: Make, idp: Any) -> None:
    idp.metadata = {"authorization_response_iss_parameter_supported": True}
    provider = make_provider()
    assert (await refusal(provider, idp)).code == "T012"
    assert await complete(provider, idp, {"iss": BASE})


async def test_answers_without_code_or_with_an_error_beside_the_token(make_provider: Make, idp: Any) -> None:
    provider = make_provider()
    url, flow = await provider.begin()
    brought = idp.arrive(url)
    del brought["code"]
    with pytest.raises(ConnectorError) as caught:
        await provider.finish(flow, brought)
    assert caught.value.code == "I004"
    with pytest.raises(TokenError) as refused:
        await provider.finish({name: value for name, value in flow.items() if name != "state"}, {"code": "c"})
    assert refused.value.code == "T015"
    idp.answers["token"] = lambda: (200, {"error": "server_error", "id_token": idp.sign(idp.id_claims())})
    assert (await refusal(provider, idp)).code == "I004"


async def test_an_answer_and_a_token_of_two_tenants(make_provider: Make, idp: Any) -> None:
    other = "99999999-2222-4333-8444-555555555555"
    idp.metadata = {"issuer": "https://idp.test/{tenantid}/v2.0"}
    provider = make_provider(authority="https://idp.test/organizations/v2.0", tenants=(TENANT, other))
    assert (await refusal(provider, idp, {"iss": f"https://idp.test/{other}/v2.0"})).code == "T012"
    assert await complete(provider, idp, {"iss": BASE})


async def test_a_hostile_error_is_not_repeated(make_provider: Make, idp: Any) -> None:
    bad = {"error": "<script>", "error_description": "AADSTS50105: <b>you</b> are not assigned https://evil"}
    error = await refusal(make_provider(), idp, bad)
    assert str(error).endswith("no reason given (AADSTS50105)")
    good = {"error": "interaction_required", "error_description": "x"}
    assert "interaction_required" in str(await refusal(make_provider(), idp, good))


async def test_client_info_and_friends_from_the_browser_are_ignored(make_provider: Make, idp: Any) -> None:
    more = {"client_info": "!!", "access_token": "x", "id_token": "y"}
    assert await complete(make_provider(), idp, more)


@pytest.mark.parametrize("replay", [400, 401])
async def test_a_refused_code(make_provider: Make, idp: Any, replay: int) -> None:
    idp.answers["token"] = lambda: (replay, {"error": "invalid_grant", "error_description": "AADSTS54005: used"})
    error = await refusal(make_provider(), idp)
    assert (error.code, "invalid_grant (AADSTS54005)" in str(error)) == ("I004", True)


@pytest.mark.parametrize("answer", [(200, {}), (200, []), (200, b"<html>"), (500, {}), (200, b""), (302, b"")])
async def test_other_answers_of_the_token_endpoint(make_provider: Make, idp: Any, answer: tuple[int, Any]) -> None:
    idp.answers["token"] = lambda: answer
    assert (await refusal(make_provider(), idp)).code in ("I002", "I004")


@pytest.mark.parametrize(
    "answer",
    [(200, b"<html>"), (200, b"[]"), (200, {}), (404, {}), (500, {}), (200, b"[" * 10_000), (200, {"issuer": BASE})],
)
async def test_discovery_that_is_none(make_provider: Make, idp: Any, answer: tuple[int, Any]) -> None:
    idp.answers["openid-configuration"] = lambda: answer
    with pytest.raises(ConnectorError) as caught:
        await make_provider().begin()
    assert caught.value.code == "I002"


@pytest.mark.parametrize("name", ["jwks_uri", "token_endpoint", "authorization_endpoint", "end_session_endpoint"])
@pytest.mark.parametrize("value", ["http://idp.test/x", "https://169.254.169.254/x", "https://idp.test@evil.test/x"])
async def test_addresses_elsewhere_are_not_asked(make_provider: Make, idp: Any, name: str, value: str) -> None:
    idp.metadata = {name: value}
    provider = make_provider()
    if name == "end_session_endpoint":
        assert await provider.end_session_url(return_to="https://login.casb.test/") is None
        return
    error = await refusal(provider, idp)
    assert error.code in ("I003", "I002")


@pytest.mark.parametrize("member", ["issuer", "jwks_uri"])
@pytest.mark.parametrize("value", [None, 5, [], {}, True])
async def test_discovery_of_the_wrong_types(make_provider: Make, idp: Any, member: str, value: Any) -> None:
    idp.metadata = {member: value}
    with pytest.raises(ConnectorError) as caught:
        await make_provider().metadata()
    assert caught.value.code in ("I002", "I003")


@pytest.mark.parametrize("keys", [b"<html>", b'{"keys":[]}', b'{"keys":"x"}'])
async def test_no_keys_no_sign_in(make_provider: Make, idp: Any, keys: bytes) -> None:
    idp.answers["keys"] = lambda: (200, keys)
    assert (await refusal(make_provider(), idp)).code == "I005"


async def test_rotation_between_two_sign_ins(make_provider: Make, idp: Any, now: Any) -> None:
    provider = make_provider()
    assert await complete(provider, idp)
    idp.kid = "key-2"
    now.forward(301)
    assert await complete(provider, idp)
    idp.kid = "key-1"
    assert (await refusal(provider, idp)).code == "T008", "a retired key"


async def test_the_provider_is_away(make_provider: Make, idp: Any, now: Any) -> None:
    idp.down = True
    provider = make_provider()
    for _ in range(3):
        with pytest.raises(ConnectorError, match="cannot be reached") as caught:
            await provider.begin()
        assert caught.value.code == "I001"
    assert len(idp.seen) == 1, "a failure is remembered for a moment"
    now.forward(6)
    for _ in range(3):
        with pytest.raises(ConnectorError, match="cannot be reached"):
            await provider.begin()
    assert len(idp.seen) == 2, "and every failure after it"
    idp.down = False
    now.forward(6)
    url, flow = await provider.begin()
    brought = idp.arrive(url)
    idp.down = True
    with pytest.raises(ConnectorError, match="cannot be reached"):
        await provider.finish(flow, brought)
    now.forward(2 * 3600)
    assert (await provider.metadata()).issuer == BASE, "the last good document is used on"


async def test_metadata_is_asked_for_again_after_an_hour(make_provider: Make, idp: Any, now: Any) -> None:
    provider = make_provider()
    await provider.metadata()
    idp.metadata = {"end_session_endpoint": "https://idp.test/bye?x=1"}
    now.forward(3599)
    assert "bye" not in str(await provider.end_session_url(return_to="https://a.test/"))
    now.forward(1)
    url = await provider.end_session_url(return_to="https://a.test/?b=c", hint="ada@contoso.example")
    assert url == (
        "https://idp.test/bye?x=1&client_id=client-1&post_logout_redirect_uri=https%3A%2F%2Fa.test%2F%3Fb%3Dc"
        "&logout_hint=ada%40contoso.example"
    )


async def test_entra_with_a_tenant_list(make_provider: Make, idp: Any) -> None:
    idp.metadata = {"issuer": "https://idp.test/{tenantid}/v2.0"}
    authority = "https://idp.test/organizations/v2.0"
    assert await complete(make_provider(authority=authority, tenants=(TENANT,)), idp)
    assert (await refusal(make_provider(authority=authority), idp)).code == "T012", "no list, nobody"
    idp.metadata = {"issuer": "https://idp.test/organizations/v2.0"}
    assert await complete(make_provider(authority=authority, tenants=(TENANT,)), idp)


@pytest.mark.parametrize("authority", ["https://idp.test", "https://idp.test/", "https://idp.test/realms/a"])
async def test_any_other_provider(make_provider: Make, idp: Any, authority: str) -> None:
    idp.metadata = {"issuer": authority}
    idp.claims = {"iss": authority}
    claims = await complete(make_provider(kind="oidc", authority=authority), idp)
    assert (claims.issuer, claims.subject, claims.tenant) == (authority, "pairwise-ada", "")
    path = urlsplit(authority).path.rstrip("/") + "/.well-known/openid-configuration"
    assert idp.seen.count(path) == 2, "ours and MSAL's"


async def test_tenants_are_an_idea_of_entra(make_provider: Make, idp: Any) -> None:
    provider = make_provider(kind="oidc")
    assert provider.tenants == ()
    assert (await complete(provider, idp)).tenant == ""


async def test_a_provider_by_another_name(make_provider: Make, idp: Any) -> None:
    idp.metadata = {"issuer": "https://other.test"}
    with pytest.raises(ConnectorError, match="another name"):
        await make_provider(kind="oidc").begin()


@pytest.mark.parametrize(
    "authority", ["", "http://idp.test/x", "https://", "https://u:p@idp.test/x", "https://idp.test/?x", "idp.test"]
)
def test_authorities_that_are_none(make_provider: Make, authority: str) -> None:
    with pytest.raises(ConnectorError) as caught:
        make_provider(authority=authority)
    assert caught.value.code == "I006"


@pytest.mark.parametrize(
    "change",
    [
        {"device": DeviceRules(claims={"managed": {"a": (True,)}})},
        {"algorithms": ()},
        {"algorithms": ("none",)},
        {"algorithms": ("RS256", "HS256")},
    ],
)
def test_configurations_that_cannot_work(make_provider: Make, change: dict[str, Any]) -> None:
    with pytest.raises(ConnectorError) as caught:
        make_provider(**change)
    assert caught.value.code == "I006"


async def test_without_a_credential(make_provider: Make) -> None:
    with pytest.raises(ConnectorError, match="neither"):
        await make_provider(client_secret=None).begin()


async def test_certificate_credential(
    make_provider: Make, idp: Any, tmp_path: Path, rsa_key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch, now: Any
) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "casb")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(rsa_key.public_key())
        .serial_number(7)
        .not_valid_before(now.present - timedelta(days=1))
        .not_valid_after(now.present + timedelta(days=1))
        .sign(rsa_key, hashes.SHA256())
    )
    pem = tmp_path / "client.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + rsa_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    sent = watch(idp, monkeypatch)
    assert await complete(make_provider(client_certificate=str(pem), client_secret=None), idp)
    form = parse_qs(next(body for _, body in sent if body))
    assertion = form["client_assertion"][0]
    assert jwt.get_unverified_header(assertion)["alg"] == "PS256"
    assert "client_secret" not in form
    with pytest.raises(ConnectorError):
        await make_provider(client_certificate=str(tmp_path / "absent.pem"), client_secret=None).begin()


async def test_the_secret_goes_to_the_token_endpoint_alone(
    make_provider: Make, idp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = watch(idp, monkeypatch)
    await complete(make_provider(), idp)
    having = [url for url, body in sent if "a-secret" in url + body]
    assert having == [f"https://idp.test/{TENANT}/oauth2/v2.0/token"]


def test_nothing_is_kept_by_msal() -> None:
    cache = NullCache()
    cache.add({"response": {"access_token": "x"}})
    assert not list(cache.search("AccessToken"))


async def test_logout_tokens(make_provider: Make, idp: Any, now: Any) -> None:
    provider = make_provider()
    present = int(now.present.timestamp())
    members = {"iss": BASE, "aud": "client-1", "tid": TENANT, "iat": present, "exp": present + 60, "jti": "j"}
    members |= {"sid": "s", "events": {LOGOUT_EVENT: {}}}
    claims = await provider.verify_logout(idp.sign(members, typ="logout+jwt"))
    assert (claims.session, claims.token_id) == ("s", "j")
    with pytest.raises(TokenError):
        await provider.verify_logout(idp.sign(members))
    with pytest.raises(TokenError):
        await provider.verify_logout("x")


def test_secrets_do_not_show() -> None:
    assert "a-secret" not in repr(Provider(id="x", client_secret=Secret("a-secret")))


PHR = ContextRule(acr=("phr", "phrh"), max_age=300)


@pytest.mark.parametrize(
    ("rule", "claims", "proven"),
    [
        (PHR, {"acr": "phr", "auth_time": -10}, True),
        (PHR, {"acr": "phrh", "auth_time": -300}, True),
        (PHR, {"acr": "phr", "auth_time": -3600}, False),
        (PHR, {"acr": "phr"}, False),
        (PHR, {"acr": "pwd", "auth_time": -10}, False),
        (PHR, {"auth_time": -10}, False),
        (PHR, {"acr": "phr phrh", "auth_time": -10}, False),
        (ContextRule(acr=("phr",)), {"acr": "phr"}, True),
        (ContextRule(max_age=60), {"auth_time": -30}, True),
        (ContextRule(max_age=60), {}, False),
        (PHR, {"acrs": ["c1"], "acr": "pwd", "auth_time": -10}, False),
    ],
)
async def test_contexts_of_a_provider_without_acrs(
    make_provider: Make, idp: Any, now: Any, rule: ContextRule, claims: dict[str, Any], proven: bool
) -> None:
    provider = make_provider(contexts={"c1": rule})
    url, _ = await provider.begin(contexts=["c1"])
    query = parse_qs(urlsplit(url).query)
    assert "claims" not in query, "it would not know what acrs are"
    assert query.get("acr_values", [""])[0] == " ".join(rule.acr)
    assert query.get("max_age", [""])[0] == ("" if rule.max_age is None else str(rule.max_age))
    present = int(now().timestamp())
    idp.claims = {name: present + value if name == "auth_time" else value for name, value in claims.items()}
    if proven:
        assert (await complete(provider, idp, contexts=["c1"])).contexts == {"c1"}
    else:
        assert (await refusal(provider, idp, contexts=["c1"])).code == "T016"


class Pauses:
    """Sleeps that end when a test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._turn = asyncio.Semaphore(0)
        self._slept = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._slept.set()
        await self._turn.acquire()

    async def one_look(self) -> None:
        await self._slept.wait()
        self._slept.clear()
        self._turn.release()
        await self._slept.wait()


async def test_a_provider_that_goes_away_is_noticed_behind_the_scenes(make_provider: Make, idp: Any, now: Any) -> None:
    fetcher = Fetcher(["idp.test"])
    fetcher.session.mount("https://", idp)
    pauses = Pauses()
    provider = OidcProvider(
        make_provider().settings,
        redirect_uri="https://l.test/cb",
        clock=now,
        fetcher=fetcher,
        monotonic=now.monotonic,
        pause=pauses,
    )
    await provider.begin()
    idp.down = True
    asked = len(idp.seen)
    await provider.begin()
    assert len(idp.seen) == asked, "nobody waits for a look"
    await pauses.one_look()
    await provider.begin()  # One look that comes to nothing may be a hiccup.
    await pauses.one_look()
    with pytest.raises(ConnectorError) as caught:
        await provider.begin()
    assert caught.value.code == "I001"
    idp.down = False
    await pauses.one_look()
    await provider.begin()
    assert pauses.asked == [30.0, 5.0, 5.0, 30.0], "it is looked at more often while it is away"
    await provider.close()


async def test_nobody_looks_at_a_provider_that_nobody_is_sent_to(make_provider: Make, idp: Any, now: Any) -> None:
    fetcher = Fetcher(["idp.test"])
    fetcher.session.mount("https://", idp)
    pauses = Pauses()
    settings = make_provider().settings
    provider = OidcProvider(
        settings, redirect_uri="https://l.test/cb", clock=now, fetcher=fetcher, monotonic=now.monotonic, pause=pauses
    )
    await provider.begin()
    await pauses.one_look()
    now.forward(601)
    pauses._turn.release()
    async with asyncio.timeout(5):
        while provider._watching is not None:
            await asyncio.sleep(0.01)
    await provider.close()


SOVEREIGN = ("login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn")
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"


@pytest.mark.parametrize("host", SOVEREIGN)
async def test_clouds_of_microsoft(make_provider: Make, idp: Any, host: str) -> None:
    base = f"https://{host}"
    idp.metadata = {
        "issuer": f"{base}/{{tenantid}}/v2.0",
        "authorization_endpoint": f"{base}/organizations/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/organizations/oauth2/v2.0/token",
        "jwks_uri": f"{base}/organizations/discovery/v2.0/keys",
    }
    idp.claims = {"iss": f"{base}/{TENANT}/v2.0"}
    settings = {"authority": f"{base}/organizations/v2.0", "tenants": (TENANT,)}
    claims = await complete(make_provider(**settings), idp)
    assert (claims.issuer, claims.tenant) == (f"{base}/{TENANT}/v2.0", TENANT)
    for other in SOVEREIGN:
        if other != host:
            idp.claims = {"iss": f"https://{other}/{TENANT}/v2.0"}
            assert (await refusal(make_provider(**settings), idp)).code == "T012", "another cloud's tenant"
    idp.claims = {"iss": f"{base}/{CONSUMERS}/v2.0", "tid": CONSUMERS}
    assert (await refusal(make_provider(**settings), idp)).code == "T012", "personal accounts are a tenant like others"
    listed = settings | {"tenants": (TENANT, CONSUMERS)}
    assert (await complete(make_provider(**listed), idp)).tenant == CONSUMERS


async def test_msal_refuses_what_we_would_not(make_provider: Make, idp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = msal.ConfidentialClientApplication.acquire_token_by_auth_code_flow

    def trip(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        raise RuntimeError("eyJ secret")

    provider = make_provider()
    url, flow = await provider.begin()
    monkeypatch.setattr(msal.ConfidentialClientApplication, "acquire_token_by_auth_code_flow", trip)
    with pytest.raises(ConnectorError) as caught:
        await provider.finish(flow, idp.arrive(url))
    assert caught.value.code == "I002" and "eyJ" not in str(caught.value)
