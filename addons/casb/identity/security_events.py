"""Security event tokens (RFC 8417) of a Shared Signals transmitter: what happened, to whom, and what ends by it.

Events of CAEP 1.0 and RISC 1.0, subjects of RFC 9493 with the complex ones of Shared Signals 1.0. Pure: keys and the
present are passed in; whatever is wrong with a token raises `TokenError`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from casb.errors import TokenError
from casb.identity.jose import ALGORITHMS, read_json_object, unverified_payload, verify_jws

TYPES: Final[frozenset[str | None]] = frozenset({"secevent+jwt"})
OLDEST: Final = 7 * 86400  # seconds: a transmitter that was cut off delivers what it has kept
REMEMBERED: Final = OLDEST + 86400.0  # seconds that a token's id is remembered
SKEW: Final = 120
MOST: Final = 16  # events in one token, identifiers in one subject

_CAEP: Final = "https://schemas.openid.net/secevent/caep/event-type/"
_RISC: Final = "https://schemas.openid.net/secevent/risc/event-type/"
VERIFICATION: Final = "https://schemas.openid.net/secevent/ssf/event-type/verification"

_SESSION: Final = frozenset({f"{_CAEP}session-revoked"})
_DEVICE: Final = frozenset({f"{_CAEP}device-compliance-change"})
_PERSON: Final = frozenset(
    {
        f"{_CAEP}credential-change",
        f"{_CAEP}token-claims-change",
        f"{_CAEP}assurance-level-change",
        f"{_CAEP}risk-level-change",
        f"{_RISC}account-disabled",
        f"{_RISC}account-purged",
        f"{_RISC}account-credential-change-required",
        f"{_RISC}credential-compromise",
        f"{_RISC}identifier-changed",
        f"{_RISC}identifier-recycled",
        f"{_RISC}sessions-revoked",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody as a transmitter names them: by issuer and subject, by a name, or by an id of the provider's."""

    issuer: str = ""
    subject: str = ""
    name: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What one event ends: these sessions if they are known, else those on these devices, else those of the people."""

    event: str
    sessions: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    people: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityEvents:
    """A verified token."""

    issuer: str
    token_id: str
    issued: int
    endings: tuple[Ending, ...] = ()
    ignored: tuple[str, ...] = ()  # event types that end nothing


def issuer_of(token: str) -> str:
    """The issuer that a token names, to find its keys with. Nothing is verified yet; raises `TokenError`."""
    return _text(read_json_object(unverified_payload(token)), "iss")


def verify_events(
    token: str,
    keys: Mapping[str, Any],
    now: datetime,
    *,
    issuer: str,
    audience: str,
    algorithms: Collection[str] = ALGORITHMS,
) -> SecurityEvents:
    """The checked events of a token; the caller refuses a `token_id` it has seen before."""
    members = read_json_object(verify_jws(token, keys, algorithms=algorithms, types=TYPES).payload)
    if not issuer or _text(members, "iss") != issuer:
        raise TokenError("T012", "the security event comes from another transmitter")
    told = members.get("aud")
    if audience not in (told if isinstance(told, list) else [told]):
        raise TokenError("T013", "the security event is meant for another receiver")
    issued = _time(members, "iat")
    age = now.timestamp() - issued
    if not -SKEW <= age <= OLDEST:
        raise TokenError("T014", "the security event is too old, or from the future")
    if "exp" in members and _time(members, "exp") <= now.timestamp() - SKEW:
        raise TokenError("T014", "the security event has expired")
    events = members.get("events")
    if "nonce" in members or not isinstance(events, dict) or not 1 <= len(events) <= MOST:
        raise TokenError("T019", "the token is not a security event token")
    endings, ignored = [], []
    for name, details in events.items():
        if not isinstance(details, dict):
            raise TokenError("T019", "a security event is malformed")
        ending = _ending(name, details, details.get("subject", members.get("sub_id")))
        if ending is None:
            ignored.append(name)
        else:
            endings.append(ending)
    return SecurityEvents(
        issuer=issuer,
        token_id=_text(members, "jti"),
        issued=issued,
        endings=tuple(endings),
        ignored=tuple(ignored),
    )


def _ending(name: str, details: Mapping[str, Any], subject: Any) -> Ending | None:
    """What an event ends; None: nothing. Better news (a device that complies again) is found by re-evaluation."""
    if name in _DEVICE and details.get("current_status") == "compliant":
        return None
    if name == f"{_CAEP}assurance-level-change" and details.get("change_direction") == "increase":
        return None
    if name == f"{_CAEP}risk-level-change" and str(details.get("current_level", "")).upper() == "LOW":
        return None
    if name not in _SESSION | _DEVICE | _PERSON:
        return None
    if not isinstance(subject, dict):
        raise TokenError("T019", "a security event names nobody")
    parts = _parts(subject)
    people = tuple(person for each in parts.get("user", ()) if (person := _person(each)) is not None)
    return Ending(
        event=name.rpartition("/")[2],
        sessions=_ids(parts.get("session", ())) if name in _SESSION else (),
        devices=_ids(parts.get("device", ())) if name in _DEVICE else (),
        people=people,
    )


def _parts(subject: Mapping[str, Any]) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """The simple identifiers of a subject by whom they are of; a simple subject is a person's."""
    if _format(subject) not in ("", "complex"):
        return {"user": _simple(subject)}
    return {
        member: _simple(value)
        for member, value in subject.items()
        if member in ("user", "session", "device") and isinstance(value, dict)
    }


def _simple(identifier: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    if _format(identifier) != "aliases":
        return (identifier,)
    told = identifier.get("identifiers")
    if not isinstance(told, list) or len(told) > MOST:
        raise TokenError("T019", "a subject has too many names")
    return tuple(each for each in told if isinstance(each, dict) and _format(each) != "aliases")


def _format(identifier: Mapping[str, Any]) -> str:
    told = identifier.get("format", identifier.get("subject_type", ""))  # drafts of RFC 9493 had another name
    return told.replace("-", "_") if isinstance(told, str) else ""


def _person(identifier: Mapping[str, Any]) -> Person | None:
    match _format(identifier):
        case "iss_sub":
            return Person(issuer=_text(identifier, "iss"), subject=_text(identifier, "sub"))
        case "email":
            return Person(name=_text(identifier, "email").lower())
        case "account":
            return Person(name=_text(identifier, "uri").removeprefix("acct:").lower())
        case "opaque":
            return Person(id=_text(identifier, "id"))
    return None


def _ids(identifiers: Collection[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(_text(each, "id") for each in identifiers if _format(each) == "opaque")


def _text(members: Mapping[str, Any], name: str) -> str:
    value = members.get(name)
    if not isinstance(value, str) or not 1 <= len(value) <= 512 or any(ord(each) < 32 for each in value):
        raise TokenError("T011", f"the member {name} is missing or malformed")
    return value


def _time(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name)
    if type(value) is not int or value < 0:
        raise TokenError("T011", f"the member {name} is missing or malformed")
    return value
