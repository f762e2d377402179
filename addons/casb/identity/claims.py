"""What a verified token says about a person and a device, as `User` and `Device`.

Knows claim names and what proves what (reference: Entra ID token claims, optional claims). Knows nothing of signatures:
`Claims` come from `tokens.verify_token`, which alone makes them out of a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from casb.model.identity import Device, DeviceTag, User
from casb.settings import DeviceRules, Provider

type Scalar = str | bool | int
"""A claim value that a device rule can name."""

ADFS_COMPLIANT = "http://schemas.microsoft.com/2014/09/devicecontext/claims/iscompliant"
ADFS_TRUST = "http://schemas.microsoft.com/2014/09/devicecontext/claims/trusttype"
"""AD FS device-context attributes (Windows Server documentation, "device authentication controls")."""

_EMPTY: Mapping[str, tuple[Scalar, ...]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims we use, checked. Times are seconds since 1970 (RFC 7519 NumericDate). The token itself is not kept."""

    issuer: str
    subject: str
    audience: str
    issued: int
    expires: int
    tenant: str = ""
    object_id: str = ""
    username: str = ""  # preferred_username, upn or email: to show, never to decide on
    name: str = ""
    organization: str = ""
    groups: tuple[str, ...] = ()
    groups_known: bool = True
    contexts: frozenset[str] = frozenset()  # `acrs`, e.g. c1
    auth_time: int | None = None
    session: str = ""  # the provider's `sid`
    device_id: str = ""
    guest: bool | None = None  # `acct` (1 guest, 0 member), or a foreign `idp`; None: not said
    signin_state: frozenset[str] = frozenset()
    extra: Mapping[str, tuple[Scalar, ...]] = field(default=_EMPTY)  # claims that device rules name
    key: str = ""  # RFC 7638 thumbprint of the key that verified it, or SHA-256 of the certificate (SAML)
    session_ends: int | None = None  # the provider's own wish for our session (SAML SessionNotOnOrAfter)
    logout_hint: str = ""  # what the provider must be told to end its session, where a name alone does not do


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutClaims:
    """A verified OpenID Connect back-channel logout token (section 2.4 there): `session`, `subject` or both."""

    issuer: str
    token_id: str
    issued: int
    session: str = ""
    subject: str = ""
    tenant: str = ""


def user_of(claims: Claims, provider: Provider) -> User:
    """The person. The id is `tid/oid`, or `iss/sub` where there is no such pair: never a mail address.

    A guest is who the provider calls one (`acct`), or comes from a tenant or a mail domain that is not ours, where the
    deployment says which are ours.
    """
    if claims.tenant and claims.object_id:
        user_id = f"{claims.tenant}/{claims.object_id}"
    else:
        user_id = f"{claims.issuer}/{claims.subject}"
    name = claims.username.lower()
    domain = _domain(name)
    return User(
        id=user_id,
        name=name or user_id,
        display_name=claims.name,
        domain=domain,
        groups=frozenset(claims.groups),
        groups_known=claims.groups_known,
        is_guest=_is_guest(claims, domain, provider),
        tenant=claims.tenant,
        organization=claims.organization,
    )


def device_of(claims: Claims, rules: DeviceRules) -> Device:
    """The device as far as the claims prove it. No tag is how 'unmanaged' is stored (`model.identity.UNMANAGED`)."""
    sources: dict[DeviceTag, str] = {}
    for tag, contexts in ((DeviceTag.COMPLIANT, rules.compliant), (DeviceTag.HYBRID_JOINED, rules.hybrid_joined)):
        for context in contexts:
            if context in claims.contexts:
                sources.setdefault(tag, f"acrs:{context}")
    for name, wanted in rules.claims.items():
        tag = DeviceTag(name)
        for claim, values in wanted.items():
            if any(_same(value, given) for value in values for given in claims.extra.get(claim, ())):
                sources.setdefault(tag, f"claim:{claim}")
    for given, tag, source in _optional(claims, rules):
        if given:
            sources.setdefault(tag, source)
    return Device(
        tags=frozenset(sources),
        id=claims.device_id or None,
        sources={tag.value: source for tag, source in sources.items()},
    )


def _optional(claims: Claims, rules: DeviceRules) -> Iterator[tuple[bool, DeviceTag, str]]:
    """The proofs that are switched on by a word: given or not, the tag, and its source."""
    if rules.adfs:
        trust = {str(each).lower() for each in claims.extra.get(ADFS_TRUST, ())}
        compliant = any(each is True for each in claims.extra.get(ADFS_COMPLIANT, ()))
        yield compliant, DeviceTag.COMPLIANT, f"claim:{ADFS_COMPLIANT}"
        yield "serverad" in trust, DeviceTag.HYBRID_JOINED, f"claim:{ADFS_TRUST}"
    if rules.signin_state:
        yield "dvc_cmp" in claims.signin_state, DeviceTag.COMPLIANT, "signin_state:dvc_cmp"
        yield "dvc_dmjd" in claims.signin_state, DeviceTag.HYBRID_JOINED, "signin_state:dvc_dmjd"


def contexts_wanted(rules: DeviceRules) -> tuple[str, ...]:
    """The authentication contexts that a sign-in asks for, because a device tag hangs on them."""
    return tuple(dict.fromkeys((*rules.compliant, *rules.hybrid_joined)))


def claims_wanted(rules: DeviceRules) -> frozenset[str]:
    """The names of the further claims to keep, because a device tag hangs on them."""
    named = frozenset(name for wanted in rules.claims.values() for name in wanted)
    return named | {ADFS_COMPLIANT, ADFS_TRUST} if rules.adfs else named


def _domain(name: str) -> str:
    """The part after the only `@`; `a@evil@company.example` has no domain (CVE-2026-40574 of oauth2-proxy)."""
    return name.partition("@")[2] if name.count("@") == 1 else ""


def _is_guest(claims: Claims, domain: str, provider: Provider) -> bool:
    if claims.guest is not None:
        return claims.guest
    if provider.domains:
        return domain not in {each.lower() for each in provider.domains}
    return False


def _same(wanted: Scalar, given: Scalar) -> bool:
    # In Python True == 1: a claim of 1 must not pass for a rule that says true.
    return type(wanted) is type(given) and wanted == given
