"""The whole check of an ID token and of a logout token: signature, then every claim we rely on.

Pure: keys and the present are passed in. Whatever is wrong raises `TokenError`, which names the rule and never the
token. MSAL checks neither signature, issuer, audience nor expiry, so this is the only check there is
(OpenID Connect Core section 3.1.3.7, RFC 8725, Entra "claims validation").
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

from casb.errors import TokenError
from casb.identity.claims import Claims, LogoutClaims, Scalar
from casb.identity.jose import ALGORITHMS, ID_TOKEN_TYPES, read_json_object, verify_jws, verify_signature
from casb.settings import ClaimNames

__all__ = ["CODES", "hashed_nonce", "verify_logout_token", "verify_signature", "verify_token"]

CODES: Final[Mapping[str, str]] = {
    "T001": "a token is longer than 16 KB",
    "T002": "a token is not three parts of canonical base64url",
    "T003": "the JSON in a token is malformed, ambiguous or too deep",
    "T004": "a token's header asks for something that is never allowed",
    "T005": "a token is signed with an algorithm that the deployment does not accept",
    "T006": "a token is of another kind, e.g. an access token in place of an ID token",
    "T007": "a token does not name its key properly",
    "T008": "the provider has no single key by the name that a token gives",
    "T009": "a signing key is unsafe or meant for something else",
    "T010": "a token's signature is wrong",
    "T011": "a claim is missing or malformed",
    "T012": "a token comes from another issuer or tenant",
    "T013": "a token is meant for another client",
    "T014": "a token is too old, too new or lives too long",
    "T015": "a token does not belong to this sign-in",
    "T016": "the provider did not meet the authentication context that was asked for",
    "T017": "the person signed in too long ago",
    "T018": "a logout token is not what it must be",
    "T019": "a security event token is not what it must be",
    "T020": "a claim that the configuration requires is missing or has another value",
}

SKEW: Final = 120  # seconds that clocks may differ
MAX_AGE_ISSUED: Final = 600  # seconds since a token was issued
MAX_LIFETIME: Final = 25 * 3600  # seconds from issue to expiry
MAX_GROUPS: Final = 1000
TENANT_TEMPLATE: Final = "{tenantid}"
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"

_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_CONTEXT = re.compile(r"c[1-9][0-9]?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LOGOUT_TYPES: Final[frozenset[str | None]] = frozenset({"logout+jwt"})


def hashed_nonce(nonce: str) -> str:
    """What a token must carry as `nonce` when MSAL keeps `nonce` in its flow: its SHA-256 in hex."""
    return hashlib.sha256(nonce.encode("utf-8")).hexdigest()


def verify_token(
    token: str,
    keys: Mapping[str, Any],
    now: datetime,
    *,
    issuer: str,
    client_id: str,
    nonce: str | None = None,
    tenants: Collection[str] = (),
    algorithms: Collection[str] = ALGORITHMS,
    max_age: int | None = None,
    contexts: Collection[str] = (),
    groups_claim: str = "groups",
    keep: Collection[str] = (),
    names: ClaimNames = ClaimNames(),  # noqa: B008 - frozen
    require: Mapping[str, Collection[Scalar]] | None = None,
) -> Claims:
    """The checked claims of an ID token; raises `TokenError`.

    `keys` is the provider's JWK set, `now` aware. An `issuer` with `{tenantid}` is Entra's template: the token's tenant
    must be one of `tenants`, and is put in only then. `tid` and `oid` are believed from Entra alone. `nonce` is the
    exact value expected, None when none was sent. `max_age` (seconds) and `contexts` are what the sign-in asked for.
    `keep` names further claims to keep; `names` says what the provider calls things; `require` are claims that must
    have one of some values (in a list claim: one of its items).
    """
    verified = verify_jws(token, keys, algorithms=algorithms, types=ID_TOKEN_TYPES)
    members = read_json_object(verified.payload)
    entra = TENANT_TEMPLATE in issuer or bool(tenants)
    tenant = _tenant(members, tenants) if entra else ""
    iss = _issuer(members, issuer, tenant)
    _audience(members, client_id, one_only=entra)
    issued, expires = _times(members, now)
    auth_time = _auth_time(members, now, max_age)
    if nonce is not None and not _equal(_text(members, "nonce"), nonce):
        raise TokenError("T015", "the token answers another sign-in request")
    satisfied = _contexts(members)
    if not satisfied.issuperset(contexts):
        raise TokenError("T016", "the authentication context asked for was not met")
    for name, values in (require or {}).items():
        if not any(
            type(each) is type(value) and each == value for each in _scalars(_at(members, name)) for value in values
        ):
            raise TokenError("T020", f"the claim {name} does not have a value that is required")
    groups, groups_known = _groups(members, groups_claim, entra=entra)
    return Claims(
        issuer=iss,
        subject=_text(members, "sub"),
        audience=client_id,
        issued=issued,
        expires=expires,
        tenant=tenant if entra or not names.tenant else _named(members, names.tenant),
        object_id=_text(members, "oid") if entra else "",
        username=_first_text(members, *names.username),
        name=_first_text(members, *names.display_name),
        organization=_named(members, names.organization) if names.organization else "",
        groups=groups,
        groups_known=groups_known,
        contexts=satisfied,
        auth_time=auth_time,
        session=_text(members, "sid", required=False),
        device_id=_shown(members, "deviceid"),
        guest=_guest(members, iss, tenant) if entra else None,
        signin_state=frozenset(_texts(members.get("signin_state"))),
        extra={name: values for name in keep if (values := _scalars(members.get(name)))},
        key=verified.key,
    )


def verify_logout_token(
    token: str,
    keys: Mapping[str, Any],
    now: datetime,
    *,
    issuer: str,
    client_id: str,
    tenants: Collection[str] = (),
    algorithms: Collection[str] = ALGORITHMS,
) -> LogoutClaims:
    """The checked claims of a back-channel logout token (section 2.6 there); raises `TokenError`.

    The caller refuses a `token_id` it has seen before.
    """
    verified = verify_jws(token, keys, algorithms=algorithms, types=_LOGOUT_TYPES)
    members = read_json_object(verified.payload)
    entra = TENANT_TEMPLATE in issuer or bool(tenants)
    tenant = _logout_tenant(members, issuer, tenants) if entra else ""
    iss = _issuer(members, issuer, tenant)
    _audience(members, client_id, one_only=entra)
    issued, _ = _times(members, now)
    events = members.get("events")
    if "nonce" in members or not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        raise TokenError("T018", "the token is not a logout token")
    session, subject = _text(members, "sid", required=False), _text(members, "sub", required=False)
    if not session and not subject:
        raise TokenError("T018", "the logout token names neither a session nor a person")
    return LogoutClaims(
        issuer=iss,
        token_id=_text(members, "jti"),
        issued=issued,
        session=session,
        subject=subject,
        tenant=tenant,
    )


def _text(members: Mapping[str, Any], name: str, *, required: bool = True) -> str:
    value = members.get(name)
    if value is None and name not in members and not required:
        return ""
    if not _is_text(value):
        raise TokenError("T011", f"the claim {name} is missing or malformed")
    return str(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 512 and _CONTROL.search(value) is None


def _shown(members: Mapping[str, Any], name: str) -> str:
    """A claim that is shown and nothing else: left out when malformed."""
    return _plain(members.get(name))


def _first_text(members: Mapping[str, Any], *names: str) -> str:
    return next((value for name in names if (value := _plain(_at(members, name)))), "")


def _named(members: Mapping[str, Any], name: str) -> str:
    """A claim as a text to show: its only value, where it is a list of one."""
    value = _at(members, name)
    return _plain(value[0] if isinstance(value, list) and len(value) == 1 else value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) and _is_text(value) else ""


def _at(members: Mapping[str, Any], name: str) -> Any:
    """The value of a claim, or of a path of names with dots; None where there is none. A claim of the very name goes
    first: addresses are claim names too."""
    if name in members or "." not in name:
        return members.get(name)
    value: Any = members
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _texts(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, str) and _is_text(each))


def _scalars(value: object) -> tuple[Scalar, ...]:
    values = value[:MAX_GROUPS] if isinstance(value, list) else [value]
    return tuple(each for each in values if isinstance(each, (bool, int)) or (isinstance(each, str) and _is_text(each)))


def _number(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    if type(value) is not int or value < 0:  # bool is an int to isinstance
        raise TokenError("T011", f"the claim {name} is missing or malformed")
    return value


def _tenant(members: Mapping[str, Any], tenants: Collection[str]) -> str:
    tenant = _text(members, "tid")
    if _GUID.fullmatch(tenant) is None or tenant not in {each.lower() for each in tenants}:
        raise TokenError("T012", "the token comes from a tenant that is not allowed")
    return tenant


def _logout_tenant(members: Mapping[str, Any], issuer: str, tenants: Collection[str]) -> str:
    """Logout tokens need not have `tid` (Back-Channel Logout 1.0 section 2.4): then the issuer tells the tenant."""
    if "tid" in members:
        return _tenant(members, tenants)
    value = _text(members, "iss")
    for tenant in sorted(each.lower() for each in tenants):
        if value == issuer.replace(TENANT_TEMPLATE, tenant):
            return tenant
    raise TokenError("T012", "the token comes from a tenant that is not allowed")


def _issuer(members: Mapping[str, Any], issuer: str, tenant: str) -> str:
    value = _text(members, "iss")
    if not issuer or value != issuer.replace(TENANT_TEMPLATE, tenant):
        raise TokenError("T012", "the token comes from another issuer")
    if tenant and any(named != tenant for named in _GUID.findall(value)):
        raise TokenError("T012", "the token's issuer and tenant disagree")
    return value


def _audience(members: Mapping[str, Any], client_id: str, *, one_only: bool) -> None:
    """`aud` is the client; Entra never sends a list, elsewhere a list needs `azp` (OpenID Connect Core 3.1.3.7)."""
    audience, party = members.get("aud"), members.get("azp")
    if "azp" in members and party != client_id:
        raise TokenError("T013", "the token was issued to another client")
    if isinstance(audience, list) and not one_only:
        if not all(_is_text(each) for each in audience) or client_id not in audience or party != client_id:
            raise TokenError("T013", "the token is meant for another client")
    elif _text(members, "aud") != client_id:
        raise TokenError("T013", "the token is meant for another client")


def _times(members: Mapping[str, Any], now: datetime) -> tuple[int, int]:
    present = now.timestamp()
    issued, expires = _number(members, "iat"), _number(members, "exp")
    if expires <= present - SKEW:
        raise TokenError("T014", "the token has expired")
    if abs(issued - present) > MAX_AGE_ISSUED:
        raise TokenError("T014", "the token was not issued just now")
    if not issued < expires <= issued + MAX_LIFETIME:
        raise TokenError("T014", "the token lives too long")
    if "nbf" in members and _number(members, "nbf") > present + SKEW:
        raise TokenError("T014", "the token is not valid yet")
    return issued, expires


def _auth_time(members: Mapping[str, Any], now: datetime, max_age: int | None) -> int | None:
    if "auth_time" not in members and max_age is None:
        return None
    auth_time = _number(members, "auth_time")
    age = now.timestamp() - auth_time
    if age < -SKEW or (max_age is not None and age > max_age + SKEW):
        raise TokenError("T017", "the person did not sign in recently enough")
    return auth_time


def _contexts(members: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(each for each in _texts(members.get("acrs")) if _CONTEXT.fullmatch(each))


def _groups(members: Mapping[str, Any], name: str, *, entra: bool) -> tuple[tuple[str, ...], bool]:
    """The groups, and whether that is all of them.

    Entra leaves the claim out for a member of none, and replaces it by a pointer (`_claim_names`, `hasgroups`) for a
    member of too many; the pointer's address is never followed. AD FS writes a list of one as that one.
    """
    pointers = members.get("_claim_names")
    if "hasgroups" in members or (pointers is not None and (not isinstance(pointers, dict) or name in pointers)):
        return (), False
    value = _at(members, name)
    if value is None and name not in members:
        return (), True
    if isinstance(value, str) and not entra:
        value = [value]
    groups = _texts(value)
    if not isinstance(value, list) or len(value) > MAX_GROUPS or len(groups) != len(value):
        return (), False
    return groups, True


def _guest(members: Mapping[str, Any], issuer: str, tenant: str) -> bool | None:
    """Whether Entra says that the person is a guest. Elsewhere `acct` and `idp` mean other things."""
    account = members.get("acct")
    if type(account) is int and account in (0, 1):
        return account == 1
    if "idp" in members and members["idp"] not in (issuer, f"https://sts.windows.net/{tenant}/"):
        return True  # Entra names the home provider only when it is another one.
    return None


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8"), right.encode("utf-8"))
