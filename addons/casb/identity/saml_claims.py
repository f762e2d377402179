"""What a verified assertion says, as `Claims`: from there on a person is a person, whichever protocol told of them.

Attribute names are those of AD FS, Entra ID and the common directories (eduPerson, inetOrgPerson); the admin's own come
first. Groups that Entra left out (over 150) make the groups unknown, never empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from casb.errors import TokenError
from casb.identity.claims import Claims, Scalar
from casb.identity.saml import TRANSIENT, Assertion, NameId
from casb.settings import SamlSource

_CLAIMS: Final = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
_MICROSOFT: Final = "http://schemas.microsoft.com/"
USERNAMES: Final = (
    f"{_CLAIMS}upn",
    f"{_CLAIMS}name",
    "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",  # eduPersonPrincipalName
    "eduPersonPrincipalName",
    "userPrincipalName",
    f"{_CLAIMS}emailaddress",
    "urn:oid:0.9.2342.19200300.100.1.3",  # mail
    "mail",
    "email",
)
DISPLAY_NAMES: Final = (
    f"{_MICROSOFT}identity/claims/displayname",
    "urn:oid:2.16.840.1.113730.3.1.241",
    "displayName",
    "urn:oid:2.5.4.3",
    "cn",
)
GROUPS: Final = (
    f"{_MICROSOFT}ws/2008/06/identity/claims/groups",
    f"{_MICROSOFT}ws/2008/06/identity/claims/role",
    "http://schemas.xmlsoap.org/claims/Group",
    "urn:oid:1.3.6.1.4.1.5923.1.5.1.1",  # isMemberOf
    "memberOf",
    "groups",
)
GROUPS_ELSEWHERE: Final = f"{_MICROSOFT}claims/groups.link"  # more than 150: the list is at an address (never asked)
OBJECT_ID: Final = f"{_MICROSOFT}identity/claims/objectidentifier"
TENANT_ID: Final = f"{_MICROSOFT}identity/claims/tenantid"
METHODS: Final = f"{_MICROSOFT}claims/authnmethodsreferences"
DEVICE: Final = f"{_MICROSOFT}2012/01/devicecontext/claims/"
DEVICE_IDS: Final = (f"{DEVICE}identifier", f"{DEVICE}registrationid")

_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def claims_of(
    assertion: Assertion, source: SamlSource, *, tenants: Collection[str] = (), keep: Collection[str] = ()
) -> Claims:
    """The claims of an assertion; raises `TokenError` T056 when nothing in it names the person for good, T012 for a
    tenant that is not allowed.

    `keep` names the attributes that device rules and apps need; the others are forgotten here. Tenant and object id
    (Entra) are believed only where `tenants` lists the tenant.
    """
    subject = _one(assertion, source.subject) if source.subject else assertion.subject.value
    if not subject or (not source.subject and assertion.subject.format == TRANSIENT):
        raise TokenError("T056", "the assertion has no name for the person that stays the same")
    tenant, object_id = _directory_ids(assertion, tenants)
    issued, until = int(assertion.issued.timestamp()), int(assertion.expires.timestamp())
    groups = _values(assertion, source.groups or GROUPS)
    return Claims(
        issuer=assertion.issuer,
        subject=subject,
        audience="",
        issued=issued,
        expires=until,
        tenant=tenant,
        object_id=object_id,
        username=_first(assertion, source.username or USERNAMES) or assertion.subject.value,
        name=_first(assertion, source.display_name or DISPLAY_NAMES),
        groups=groups,
        groups_known=not _values(assertion, (GROUPS_ELSEWHERE,)),
        contexts=frozenset({assertion.context} if assertion.context else ())
        | frozenset(_values(assertion, (METHODS,))),
        auth_time=_seconds(assertion.authenticated),
        session=assertion.session_index,
        device_id=_first(assertion, DEVICE_IDS),
        extra={name: values for name in sorted(keep) if (values := _scalars(_values(assertion, (name,))))},
        key=assertion.key,
        session_ends=_seconds(assertion.session_not_after),
        logout_hint=hint_of(assertion.subject),
    )


def _directory_ids(assertion: Assertion, tenants: Collection[str]) -> tuple[str, str]:
    """Tenant and object id, where the deployment lists tenants: then there must be one of them."""
    if not tenants:
        return "", ""
    tenant, object_id = _one(assertion, TENANT_ID).lower(), _one(assertion, OBJECT_ID).lower()
    if tenant not in {each.lower() for each in tenants} or not _GUID.fullmatch(tenant):
        raise TokenError("T012", "the assertion comes from a tenant that is not allowed")
    if not _GUID.fullmatch(object_id):
        raise TokenError("T011", "the assertion has no object id")
    return tenant, object_id


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _values(assertion: Assertion, names: Sequence[str]) -> tuple[str, ...]:
    """The values of the first of these attributes that is there."""
    for name in names:
        found = assertion.attributes.get(name) or assertion.attributes.get(assertion.friendly_names.get(name, ""))
        if found:
            return tuple(dict.fromkeys(found))
    return ()


def _first(assertion: Assertion, names: Sequence[str]) -> str:
    return next(iter(_values(assertion, names)), "")


def _one(assertion: Assertion, name: str) -> str:
    """The only value of an attribute; '' when there are several: which would be meant?"""
    found = _values(assertion, (name,))
    return found[0] if len(found) == 1 else ""


def _scalars(texts: Sequence[str]) -> tuple[Scalar, ...]:
    """As texts, and `true` and `false` as such besides, so that a rule may write either."""
    words: dict[str, Scalar] = {"true": True, "false": False}
    return (*texts, *(words[text.lower()] for text in texts if text.lower() in words))


def hint_of(name: NameId) -> str:
    """A subject as text, for the day when the provider must be told whom to sign out."""
    return json.dumps([name.value, name.format, name.name_qualifier, name.sp_name_qualifier], separators=(",", ":"))


def name_of(hint: str) -> NameId | None:
    """The reverse of `hint_of`; None for anything else."""
    try:
        parts = json.loads(hint)
    except ValueError:
        return None
    if not isinstance(parts, list) or len(parts) != 4 or not all(isinstance(each, str) for each in parts):
        return None
    return NameId(value=parts[0], format=parts[1], name_qualifier=parts[2], sp_name_qualifier=parts[3])
