"""Security event tokens: what is verified, whom an event is about, and that nothing else comes through."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from casb.errors import TokenError
from casb.identity.security_events import Ending, Person, SecurityEvents, issuer_of, verify_events

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PRESENT = int(NOW.timestamp())
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {"keys": [{**RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": "k", "use": "sig"}]}
ADA = {"format": "iss_sub", "iss": "https://idp", "sub": "ada"}


def token(events: Any, *, typ: str | None = "secevent+jwt", **changes: Any) -> str:
    claims = {"iss": "https://t", "aud": "casb", "iat": PRESENT, "jti": "j", "events": events, **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, KEY, "RS256", headers={"kid": "k", "typ": typ})


def read(text: str) -> SecurityEvents:
    return verify_events(text, KEYS, NOW, issuer="https://t", audience="casb")


def ending(name: str, subject: Any, **details: Any) -> Ending | None:
    found = read(token({name: {"subject": subject, **details}}))
    return found.endings[0] if found.endings else None


@pytest.mark.parametrize(
    ("subject", "people"),
    [
        (ADA, (Person(issuer="https://idp", subject="ada"),)),
        ({"format": "email", "email": "Ada@X.example"}, (Person(name="ada@x.example"),)),
        ({"format": "account", "uri": "acct:Ada@x.example"}, (Person(name="ada@x.example"),)),
        ({"format": "opaque", "id": "oid-1"}, (Person(id="oid-1"),)),
        ({"subject_type": "iss-sub", "iss": "i", "sub": "s"}, (Person(issuer="i", subject="s"),)),
        ({"format": "phone_number", "phone_number": "+1"}, ()),
        ({"user": ADA, "tenant": {"format": "opaque", "id": "t"}}, (Person(issuer="https://idp", subject="ada"),)),
        (
            {"format": "aliases", "identifiers": [ADA, {"format": "email", "email": "a@b"}, {"format": "aliases"}]},
            (Person(issuer="https://idp", subject="ada"), Person(name="a@b")),
        ),
    ],
)
def test_whom_an_event_is_about(subject: Any, people: tuple[Person, ...]) -> None:
    found = ending(f"{RISC}account-disabled", subject)
    assert found == Ending(event="account-disabled", people=people)


def test_a_session_and_a_device_of_somebody() -> None:
    subject = {"user": ADA, "session": {"format": "opaque", "id": "s"}, "device": {"format": "opaque", "id": "d"}}
    who = (Person(issuer="https://idp", subject="ada"),)
    assert ending(f"{CAEP}session-revoked", subject) == Ending(event="session-revoked", sessions=("s",), people=who)
    found = ending(f"{CAEP}device-compliance-change", subject, current_status="not-compliant")
    assert found == Ending(event="device-compliance-change", devices=("d",), people=who)
    assert ending(f"{CAEP}credential-change", subject) == Ending(event="credential-change", people=who)


def test_the_subject_may_stand_beside_the_events() -> None:
    found = read(token({f"{CAEP}session-revoked": {}}, sub_id=ADA))
    assert found.endings == (Ending(event="session-revoked", people=(Person(issuer="https://idp", subject="ada"),)),)


@pytest.mark.parametrize(
    ("events", "changes", "code"),
    [
        ({}, {}, "T019"),
        ([], {}, "T019"),
        (None, {}, "T019"),
        ({f"{CAEP}session-revoked": []}, {}, "T019"),
        ({f"{CAEP}session-revoked": {}}, {}, "T019"),
        ({f"{CAEP}session-revoked": {"subject": "ada"}}, {}, "T019"),
        ({f"{CAEP}session-revoked": {"subject": {"format": "iss_sub", "iss": "i"}}}, {}, "T011"),
        ({f"{CAEP}session-revoked": {"subject": {"format": "email", "email": "a\n"}}}, {}, "T011"),
        ({f"x{n}": {} for n in range(17)}, {}, "T019"),
        ({"x": {}}, {"nonce": "n"}, "T019"),
        ({"x": {}}, {"iss": "https://evil"}, "T012"),
        ({"x": {}}, {"iss": None}, "T011"),
        ({"x": {}}, {"aud": "other"}, "T013"),
        ({"x": {}}, {"aud": None}, "T013"),
        ({"x": {}}, {"aud": []}, "T013"),
        ({"x": {}}, {"iat": PRESENT - 8 * 86400}, "T014"),
        ({"x": {}}, {"iat": PRESENT + 600}, "T014"),
        ({"x": {}}, {"iat": True}, "T011"),
        ({"x": {}}, {"iat": None}, "T011"),
        ({"x": {}}, {"exp": PRESENT - 600}, "T014"),
        ({"x": {}}, {"jti": None}, "T011"),
        ({"x": {}}, {"typ": "JWT"}, "T006"),
        ({"x": {}}, {"typ": "logout+jwt"}, "T006"),
    ],
    ids=str,
)
def test_what_is_refused(events: Any, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TokenError) as caught:
        read(token(events, **changes))
    assert caught.value.code == code


def test_a_list_of_audiences_will_do() -> None:
    assert read(token({"x": {}}, aud=["other", "casb"])).ignored == ("x",)


def test_a_foreign_signature_is_none() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    claims = {"iss": "https://t", "aud": "casb", "iat": PRESENT, "jti": "j", "events": {"x": {}}}
    forged = jwt.encode(claims, other, "RS256", headers={"kid": "k", "typ": "secevent+jwt"})
    with pytest.raises(TokenError) as caught:
        read(forged)
    assert caught.value.code == "T010"
    assert issuer_of(forged) == "https://t", "which says nothing yet"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(
            st.sampled_from(["format", "user", "session", "device", "identifiers", "iss", "sub", "id", "email"]), each
        )
    ),
    max_leaves=8,
)


@given(subject=JSON, name=st.sampled_from(["session-revoked", "device-compliance-change", "credential-change"]))
@settings(max_examples=60, deadline=None)
def test_any_subject_is_read_or_refused(subject: Any, name: str) -> None:
    try:
        found = read(token({f"{CAEP}{name}": {"subject": subject}}))
    except TokenError:
        return
    assert len(found.endings) == 1


@given(text=st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
@settings(max_examples=60, deadline=None)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(TokenError):
        read(text)
    with pytest.raises(TokenError):
        issuer_of(text)
