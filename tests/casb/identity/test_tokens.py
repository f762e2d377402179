from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import TokenError
from casb.identity.claims import Claims
from casb.identity.tokens import CODES, LOGOUT_EVENT, hashed_nonce, verify_logout_token, verify_token

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
PRESENT = int(NOW.timestamp())
TENANT = "11111111-2222-4333-8444-555555555555"
OTHER_TENANT = "99999999-2222-4333-8444-555555555555"
CONSUMERS = "9188040d-6c67-4c5b-b112-36a304b66dad"
HOST = "https://login.example"
ISSUER = HOST + "/{tenantid}/v2.0"
CLIENT = "client-1"


def entra(mint: Any, token: str, **options: Any) -> Claims:
    return verify_token(
        token, mint.jwks, NOW, **({"issuer": ISSUER, "client_id": CLIENT, "tenants": (TENANT,)} | options)
    )


def generic(mint: Any, token: str, **options: Any) -> Claims:
    return verify_token(token, mint.jwks, NOW, **({"issuer": "https://op.example", "client_id": CLIENT} | options))


def code(call: Any, *arguments: Any, **options: Any) -> str:
    with pytest.raises(TokenError) as caught:
        call(*arguments, **options)
    assert caught.value.code in CODES
    return caught.value.code


def test_a_good_token(mint: Any) -> None:
    claims = entra(
        mint,
        mint.token(
            mint.claims(
                preferred_username="Ada@Contoso.example",
                name="Ada Lovelace",
                groups=["g1", "g2"],
                acrs=["c1", "c25", "junk", 7],
                sid="s1",
                deviceid="d1",
                acct=1,
                signin_state=["dvc_cmp", "kmsi"],
                device_compliant=True,
                secret_thing="never kept",
                auth_time=PRESENT - 10,
                nonce="n",
            )
        ),
        nonce="n",
        keep=["device_compliant"],
    )
    assert claims == Claims(
        issuer=f"{HOST}/{TENANT}/v2.0",
        subject="pairwise-ada",
        audience=CLIENT,
        issued=PRESENT,
        expires=PRESENT + 3600,
        tenant=TENANT,
        object_id="aaaaaaaa-0000-4000-8000-000000000001",
        username="Ada@Contoso.example",
        name="Ada Lovelace",
        groups=("g1", "g2"),
        contexts=frozenset({"c1", "c25"}),
        auth_time=PRESENT - 10,
        session="s1",
        device_id="d1",
        guest=True,
        signin_state=frozenset({"dvc_cmp", "kmsi"}),
        extra={"device_compliant": (True,)},
        key=claims.key,
    )
    assert re.fullmatch(r"[\w-]{43}", claims.key)
    assert "never kept" not in repr(claims)


def good_claims(mint: Any, **changes: Any) -> dict[str, Any]:
    claims: dict[str, Any] = mint.claims(iss="https://op.example", tid=None, oid=None)
    return claims | changes


def test_a_good_token_of_any_other_provider(mint: Any) -> None:
    claims = generic(mint, mint.token(good_claims(mint, email="a@b.example")))
    assert (claims.subject, claims.tenant, claims.object_id, claims.username) == ("pairwise-ada", "", "", "a@b.example")


LEAVE_OUT = object()
LARGE = 10**14

NO_TEXT: list[Any] = [LEAVE_OUT, None, 1, True, {}, {"a": 1}, "", "x" * 513, "a\0b", "a\nb", "a\x7fb", "\ud800"]
NO_TIME: list[Any] = [None, str(PRESENT), float(PRESENT), PRESENT + 0.5, True, False, -1, -PRESENT, [PRESENT], {}]
BAD: list[tuple[str, Any, str]] = [
    *[(name, value, "T011") for name in ("iss", "sub", "tid", "oid", "aud") for value in NO_TEXT],
    *[(name, value, "T011") for name in ("iat", "exp", "nbf") for value in NO_TIME],
    ("iat", LEAVE_OUT, "T011"),
    ("exp", LEAVE_OUT, "T011"),
    # Expiry, start and issue: the edge itself, then one second beyond.
    ("exp", PRESENT - 120, "T014"),
    ("exp", 0, "T014"),
    ("exp", LARGE, "T014"),
    ("exp", PRESENT + 100 * 365 * 86400, "T014"),
    ("exp", PRESENT + 25 * 3600 + 1, "T014"),
    ("nbf", PRESENT + 121, "T014"),
    ("nbf", LARGE, "T014"),
    ("iat", PRESENT - 601, "T014"),
    ("iat", PRESENT + 601, "T014"),
    ("iat", PRESENT - 10 * 365 * 86400, "T014"),
    # Issuer
    ("iss", f"{HOST}/{OTHER_TENANT}/v2.0", "T012"),
    ("iss", f"http://login.example/{TENANT}/v2.0", "T012"),
    ("iss", f"{HOST}/{TENANT}/v2.0/", "T012"),
    ("iss", f"{HOST}/{TENANT}", "T012"),
    ("iss", f"{HOST}/{TENANT}/v2.0".upper(), "T012"),
    ("iss", f"HTTPS://LOGIN.EXAMPLE/{TENANT}/v2.0", "T012"),
    ("iss", ISSUER, "T012"),
    ("iss", f"{HOST}@evil.example/{TENANT}/v2.0", "T012"),
    ("iss", f"{HOST}.evil.example/{TENANT}/v2.0", "T012"),
    ("iss", f"https://sts.windows.net/{TENANT}/", "T012"),
    ("iss", f" {HOST}/{TENANT}/v2.0", "T012"),
    ("iss", [f"{HOST}/{TENANT}/v2.0"], "T011"),
    # Tenant
    ("tid", OTHER_TENANT, "T012"),
    ("tid", CONSUMERS, "T012"),
    ("tid", TENANT.upper().replace("1", "A"), "T012"),
    ("tid", f"{{{TENANT}}}", "T012"),
    ("tid", "{tenantid}", "T012"),
    ("tid", f"{TENANT}/../x", "T012"),
    ("tid", "common", "T012"),
    # Audience
    ("aud", [CLIENT], "T011"),
    ("aud", [CLIENT, "x"], "T011"),
    ("aud", [], "T011"),
    ("aud", "client-2", "T013"),
    ("aud", "CLIENT-1", "T013"),
    ("aud", "https://graph.microsoft.com", "T013"),
    ("azp", "client-2", "T013"),
    ("azp", None, "T013"),
    ("azp", [CLIENT], "T013"),
    # The rest
    ("oid", {"a": "b"}, "T011"),
    ("sid", "", "T011"),
    ("sid", 7, "T011"),
    ("auth_time", "yesterday", "T011"),
    ("auth_time", PRESENT + 121, "T017"),
]


def changed(members: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {key: each for key, each in members.items() if key != name} | ({} if value is LEAVE_OUT else {name: value})


@pytest.mark.parametrize(("name", "value", "expected"), BAD)
def test_bad_claims(mint: Any, name: str, value: Any, expected: str) -> None:
    assert code(entra, mint, mint.token(changed(mint.claims(), name, value))) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exp", PRESENT - 119),
        ("exp", PRESENT + 25 * 3600),
        ("nbf", PRESENT + 120),
        ("nbf", 0),
        ("nbf", LEAVE_OUT),
        ("iat", PRESENT - 600),
        ("iat", PRESENT + 600),
        ("azp", CLIENT),
        ("ver", "2.0"),
        ("auth_time", PRESENT + 120),
        ("sub", "x" * 512),
        ("sub", "Ünïcödé 名前"),
    ],
)
def test_good_claims_at_the_edge(mint: Any, name: str, value: Any) -> None:
    members = changed(mint.claims(), name, value)
    if name == "exp" and value < PRESENT:
        members["iat"] = PRESENT - 600
    assert entra(mint, mint.token(members))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b'{"sub":"a","sub":"b"}',
        b"[]",
        b"null",
        b'{"exp":1e400}',
        b'{"exp":NaN}',
        b'{"exp":' + b"9" * 400 + b"}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"a":"\xc0\xaf"}',
        b"[" * 8000,
    ],
)
def test_bad_payloads(mint: Any, payload: bytes) -> None:
    assert code(entra, mint, mint.token(payload)) in ("T002", "T003")


def test_duplicate_claims_in_both_orders(mint: Any) -> None:
    text = json.dumps(mint.claims())[1:-1].encode()
    for payload in (b'{"oid":"evil",' + text + b"}", b"{" + text + b',"oid":"evil"}', b"{" + text + b',"\\u006fid":1}'):
        assert code(entra, mint, mint.token(payload)) == "T003"


def test_signature_comes_first(mint: Any) -> None:
    assert code(entra, mint, mint.token(mint.claims(exp=0), foreign=True)) == "T010"


def test_nonce(mint: Any) -> None:
    raw = "raw-nonce"
    wanted = hashed_nonce(raw)
    assert hashed_nonce("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2
    assert entra(mint, mint.token(mint.claims(nonce=wanted)), nonce=wanted)
    for bad in (raw, hashed_nonce("old"), wanted.upper(), wanted[:-1], f"{wanted} "):
        assert code(entra, mint, mint.token(mint.claims(nonce=bad)), nonce=wanted) == "T015"
    for malformed in (None, "", 5, [wanted]):
        token = mint.token(changed(mint.claims(), "nonce", LEAVE_OUT if malformed is None else malformed))
        assert code(entra, mint, token, nonce=wanted) == "T011"
    assert code(entra, mint, mint.token(mint.claims(nonce="é")), nonce=wanted) == "T015"


def test_tenants(mint: Any) -> None:
    token = mint.token()
    assert code(entra, mint, token, tenants=()) == "T012"
    assert code(entra, mint, token, tenants=(OTHER_TENANT,)) == "T012"
    assert entra(mint, token, tenants=(OTHER_TENANT, TENANT.upper()))
    fixed = f"{HOST}/{TENANT}/v2.0"
    assert entra(mint, token, issuer=fixed)
    stranger = mint.token(mint.claims(tid=OTHER_TENANT))
    assert code(entra, mint, stranger, issuer=fixed) == "T012"
    assert code(entra, mint, stranger, issuer=fixed, tenants=(TENANT, OTHER_TENANT)) == "T012"
    assert code(entra, mint, stranger, tenants=(TENANT, OTHER_TENANT)) == "T012", "tid and iss disagree"


def test_tenant_and_object_are_believed_from_entra_alone(mint: Any) -> None:
    claims = generic(mint, mint.token(good_claims(mint, tid=TENANT, oid="aaaaaaaa-0000-4000-8000-000000000001")))
    assert (claims.tenant, claims.object_id) == ("", "")


@pytest.mark.parametrize("option", [{"issuer": ""}, {"client_id": ""}])
def test_an_empty_configuration_accepts_nothing(mint: Any, option: dict[str, str]) -> None:
    name = "iss" if "issuer" in option else "aud"
    assert code(generic, mint, mint.token(good_claims(mint, **{name: ""})), **option) in ("T011", "T013")
    assert code(generic, mint, mint.token(good_claims(mint)), **option) in ("T012", "T013")


@pytest.mark.parametrize(
    ("audience", "party", "expected"),
    [
        ([CLIENT], CLIENT, None),
        (["x", CLIENT], CLIENT, None),
        ([CLIENT], LEAVE_OUT, "T013"),
        (["x", CLIENT], "x", "T013"),
        (["x"], CLIENT, "T013"),
        ([CLIENT, 1], CLIENT, "T013"),
        ([[CLIENT]], CLIENT, "T013"),
        ([], CLIENT, "T013"),
        (CLIENT, LEAVE_OUT, None),
        ({CLIENT: 1}, LEAVE_OUT, "T011"),
    ],
)
def test_audience_lists_elsewhere(mint: Any, audience: Any, party: Any, expected: str | None) -> None:
    token = mint.token(changed(good_claims(mint, aud=audience), "azp", party))
    if expected is None:
        assert generic(mint, token).audience == CLIENT
    else:
        assert code(generic, mint, token) == expected


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "secevent+jwt"])
def test_another_token_in_the_slot(mint: Any, kind: str) -> None:
    assert code(entra, mint, mint.token(header={"alg": "RS256", "kid": "rsa", "typ": kind})) == "T006"


def test_algorithms_are_those_configured(mint: Any) -> None:
    token = mint.token(header={"alg": "PS256", "kid": "rsa"}, sign="PS256")
    assert entra(mint, token)
    assert code(entra, mint, token, algorithms=("RS256",)) == "T005"


@pytest.mark.parametrize(
    ("auth_time", "max_age", "expected"),
    [
        (PRESENT, 0, None),
        (PRESENT - 120, 0, None),
        (PRESENT - 121, 0, "T017"),
        (PRESENT - 420, 300, None),
        (PRESENT - 421, 300, "T017"),
        (LEAVE_OUT, 300, "T011"),
        (None, 300, "T011"),
        (True, 300, "T011"),
        (PRESENT + 0.0, 300, "T011"),
        (PRESENT - 10**6, None, None),
        (LEAVE_OUT, None, None),
    ],
)
def test_age_of_the_sign_in(mint: Any, auth_time: Any, max_age: int | None, expected: str | None) -> None:
    token = mint.token(changed(mint.claims(), "auth_time", auth_time))
    if expected is None:
        entra(mint, token, max_age=max_age)
    else:
        assert code(entra, mint, token, max_age=max_age) == expected


@pytest.mark.parametrize(
    ("acrs", "contexts"),
    [
        ("c1", {"c1"}),
        (["c1", "c2"], {"c1", "c2"}),
        (LEAVE_OUT, set()),
        ([], set()),
        ({"c1": True}, set()),
        (["C1", "c0", "c100", "c1 ", "xc1", "c٣", ["c1"]], set()),
        ("c1 c2", set()),
        (True, set()),
    ],
)
def test_authentication_contexts(mint: Any, acrs: Any, contexts: set[str]) -> None:
    token = mint.token(changed(mint.claims(), "acrs", acrs))
    assert entra(mint, token).contexts == contexts
    for wanted in ("c1", "c2", "c3"):
        if wanted in contexts:
            assert entra(mint, token, contexts=[wanted])
        else:
            assert code(entra, mint, token, contexts=[wanted]) == "T016"


@pytest.mark.parametrize(
    ("members", "groups", "known"),
    [
        ({}, (), True),
        ({"groups": []}, (), True),
        ({"groups": ["a"]}, ("a",), True),
        ({"groups": ["a"] * 1000}, ("a",) * 1000, True),
        ({"groups": ["a"] * 1001}, (), False),
        ({"groups": "a"}, (), False),
        ({"groups": ["a", 1]}, (), False),
        ({"groups": ["a", ""]}, (), False),
        ({"groups": ["a\0"]}, (), False),
        ({"groups": {"a": 1}}, (), False),
        ({"groups": None}, (), False),
        ({"hasgroups": True}, (), False),
        ({"hasgroups": "true", "groups": ["a"]}, (), False),
        (
            {
                "_claim_names": {"groups": "src1"},
                "_claim_sources": {"src1": {"endpoint": "https://graph.windows.net/evil"}},
            },
            (),
            False,
        ),
        ({"_claim_names": {"other": "src1"}, "groups": ["a"]}, ("a",), True),
        ({"_claim_names": "groups"}, (), False),
    ],
)
def test_groups(mint: Any, members: Mapping[str, Any], groups: tuple[str, ...], known: bool) -> None:
    claims = entra(mint, mint.token(mint.claims() | dict(members)))
    assert (claims.groups, claims.groups_known) == (groups, known)


def test_groups_under_another_name(mint: Any) -> None:
    token = mint.token(good_claims(mint, roles=["admin"], groups=["x"]))
    assert generic(mint, token, groups_claim="roles").groups == ("admin",)


@pytest.mark.parametrize(
    ("members", "guest"),
    [
        ({}, None),
        ({"acct": 0}, False),
        ({"acct": 1}, True),
        ({"acct": True}, None),
        ({"acct": "1"}, None),
        ({"acct": 2}, None),
        ({"idp": f"https://sts.windows.net/{OTHER_TENANT}/"}, True),
        ({"idp": f"{HOST}/{TENANT}/v2.0"}, None),
        ({"idp": 5}, True),
        ({"acct": 0, "idp": "other"}, False),
    ],
)
def test_guests(mint: Any, members: Mapping[str, Any], guest: bool | None) -> None:
    assert entra(mint, mint.token(mint.claims() | dict(members))).guest is guest


@pytest.mark.parametrize("bad", [5, "", "x" * 513, "a\nb", ["a"], None, "\ud800"])
def test_names_to_show_are_left_out_when_malformed(mint: Any, bad: Any) -> None:
    members = mint.claims() | {"name": bad, "preferred_username": bad, "upn": "u@c.example", "deviceid": bad}
    claims = entra(mint, mint.token(members))
    assert (claims.name, claims.username, claims.device_id) == ("", "u@c.example", "")


def test_kept_claims_are_scalars(mint: Any) -> None:
    token = mint.token(mint.claims() | {"a": [1, "x", True, None, {}, "\0"], "b": {}, "c": False, "d": 1.5})
    assert entra(mint, token, keep=["a", "b", "c", "d", "e"]).extra == {"a": (1, "x", True), "c": (False,)}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = ["iss", "sub", "aud", "azp", "tid", "oid", "iat", "exp", "nbf", "acrs", "groups", "sid", "acct", "idp",
         "hasgroups", "_claim_names", "name", "signin_state", "auth_time", "nonce", "deviceid"]  # fmt: skip


@given(changes=st.dictionaries(st.sampled_from(NAMES), json_values, max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_claims_are_claims_or_refused(mint: Any, changes: dict[str, Any]) -> None:
    try:
        claims = entra(mint, mint.token(mint.claims() | changes), keep=["name"])
    except TokenError as error:
        assert error.code in CODES
        return
    assert (claims.tenant, claims.audience, claims.issuer) == (TENANT, CLIENT, f"{HOST}/{TENANT}/v2.0")
    assert PRESENT - 120 < claims.expires


@given(shift=st.integers(-5000, 5000))
@settings(max_examples=60, deadline=None)
def test_time_window(mint: Any, shift: int) -> None:
    token = mint.token(mint.claims(exp=PRESENT + 300))
    later = NOW + timedelta(seconds=shift)
    inside = -120 <= shift < 420
    try:
        verify_token(token, mint.jwks, later, issuer=ISSUER, client_id=CLIENT, tenants=(TENANT,))
        assert inside
    except TokenError as error:
        assert not inside
        assert error.code == "T014"


# --- logout tokens ----------------------------------------------------------------------------------------------------


def logout(mint: Any, header: dict[str, Any] | None = None, **changes: Any) -> str:
    members = {
        "iss": f"{HOST}/{TENANT}/v2.0",
        "aud": CLIENT,
        "tid": TENANT,
        "iat": PRESENT,
        "exp": PRESENT + 120,
        "jti": "j1",
        "sid": "s1",
        "events": {LOGOUT_EVENT: {}},
    } | changes
    members = {name: value for name, value in members.items() if value is not LEAVE_OUT}
    token: str = mint.token(members, {"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"} | (header or {}))
    return token


def verify_logout(mint: Any, token: str) -> Any:
    return verify_logout_token(token, mint.jwks, NOW, issuer=ISSUER, client_id=CLIENT, tenants=(TENANT,))


def test_logout_tokens(mint: Any) -> None:
    claims = verify_logout(mint, logout(mint))
    assert (claims.session, claims.subject, claims.token_id, claims.tenant) == ("s1", "", "j1", TENANT)
    assert verify_logout(mint, logout(mint, sid=LEAVE_OUT, sub="a")).subject == "a"
    assert verify_logout(mint, logout(mint, tid=LEAVE_OUT)).tenant == TENANT, "told by the issuer"
    foreign = logout(mint, tid=LEAVE_OUT, iss=f"{HOST}/99999999-0000-4000-8000-000000000000/v2.0")
    assert code(verify_logout, mint, foreign) == "T012"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"nonce": "n"}, "T018"),
        ({"nonce": None}, "T018"),
        ({"events": LEAVE_OUT}, "T018"),
        ({"events": {}}, "T018"),
        ({"events": {LOGOUT_EVENT: None}}, "T018"),
        ({"events": [LOGOUT_EVENT]}, "T018"),
        ({"sid": LEAVE_OUT}, "T018"),
        ({"jti": LEAVE_OUT}, "T011"),
        ({"jti": 5}, "T011"),
        ({"aud": "client-2"}, "T013"),
        ({"iss": "https://evil.example"}, "T012"),
        ({"tid": OTHER_TENANT}, "T012"),
        ({"iat": PRESENT - 601}, "T014"),
        ({"exp": PRESENT - 120, "iat": PRESENT - 300}, "T014"),
        ({"exp": LEAVE_OUT}, "T011"),
    ],
)
def test_bad_logout_tokens(mint: Any, changes: dict[str, Any], expected: str) -> None:
    assert code(verify_logout, mint, logout(mint, **changes)) == expected


@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "", None])
def test_an_id_token_is_no_logout_token(mint: Any, kind: str | None) -> None:
    assert code(verify_logout, mint, logout(mint, {"typ": kind})) == "T006"
    assert code(verify_logout, mint, mint.token(header={"alg": "none", "kid": "rsa", "typ": "logout+jwt"})) == "T005"


def test_a_logout_token_of_a_generic_provider(mint: Any) -> None:
    token = logout(mint, iss="https://op.example", tid=LEAVE_OUT)
    claims = verify_logout_token(token, mint.jwks, NOW, issuer="https://op.example", client_id=CLIENT)
    assert (claims.session, claims.tenant) == ("s1", "")


@pytest.mark.parametrize(
    ("members", "require", "good"),
    [
        ({"hd": "a.example"}, {"hd": ["a.example"]}, True),
        ({"hd": ["b.example", "a.example"]}, {"hd": ["a.example"]}, True),
        ({"hd": "A.example"}, {"hd": ["a.example"]}, False),
        ({}, {"hd": ["a.example"]}, False),
        ({"ok": 1}, {"ok": [True]}, False),
        ({"ok": True}, {"ok": [True]}, True),
        ({"realm": {"name": "a"}}, {"realm.name": ["a"]}, True),
        ({"realm.name": "b", "realm": {"name": "a"}}, {"realm.name": ["a"]}, False),
        ({"hd": "a.example"}, {"hd": ["a.example"], "ok": [True]}, False),
        ({"hd": "a.example"}, {"hd": []}, False),
    ],
)
def test_required_claims(mint: Any, members: dict[str, Any], require: Mapping[str, Any], good: bool) -> None:
    token = mint.token(good_claims(mint, **members))
    if good:
        assert generic(mint, token, require=require)
    else:
        assert code(generic, mint, token, require=require) == "T020"


@pytest.mark.parametrize(
    ("idp", "guest"),
    [("https://sts.windows.net/%s/", False), ("https://sts.windows.net/another/", True), ("live.com", True), (5, True)],
)
def test_the_home_of_a_guest(mint: Any, idp: Any, guest: bool) -> None:
    named = idp % mint.claims()["tid"] if isinstance(idp, str) and "%s" in idp else idp
    assert bool(entra(mint, mint.token(mint.claims(acct=None) | {"idp": named})).guest) is guest
    other = generic(mint, mint.token(good_claims(mint, idp="00o1", acct=1)))
    assert other.guest is None, "elsewhere the words mean other things"
