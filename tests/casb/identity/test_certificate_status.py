from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.identity.certificate_status import Status, by_answer, by_lists, question, read_list
from device_pki import DAY, NOW, answer, authority, device, revocations

ROOT = authority("Device root")
TWIN = authority("Device root")
LEAF = device(ROOT)
OTHER = device(ROOT, "laptop-8")
GOOD, REVOKED, UNKNOWN = Status.GOOD, Status.REVOKED, Status.UNKNOWN


def point(**only: bool) -> x509.IssuingDistributionPoint:
    """A list of a narrower scope."""
    fields = {
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
        **only,
    }
    return x509.IssuingDistributionPoint(full_name=None, relative_name=None, only_some_reasons=None, **fields)


LISTS: dict[str, tuple[Callable[[], list[x509.CertificateRevocationList]], Status]] = {
    "none": (lambda: [], UNKNOWN),
    "empty": (lambda: [revocations(ROOT)], GOOD),
    "names another": (lambda: [revocations(ROOT, OTHER)], GOOD),
    "names it": (lambda: [revocations(ROOT, LEAF)], REVOKED),
    "one of two names it": (lambda: [revocations(ROOT), revocations(ROOT, OTHER, LEAF)], REVOKED),
    "stale": (lambda: [revocations(ROOT, until=NOW - timedelta(seconds=1))], UNKNOWN),
    "of tomorrow": (lambda: [revocations(ROOT, since=NOW + DAY)], UNKNOWN),
    "signed by a twin": (lambda: [revocations(ROOT, signer=TWIN)], UNKNOWN),
    "revoked by a twin": (lambda: [revocations(ROOT, LEAF, signer=TWIN)], UNKNOWN),
    "of another issuer": (lambda: [revocations(authority("Other"), LEAF)], UNKNOWN),
    "for authorities": (lambda: [revocations(ROOT, point=point(only_contains_ca_certs=True))], UNKNOWN),
    "for devices": (lambda: [revocations(ROOT, LEAF, point=point(only_contains_user_certs=True))], REVOKED),
    "indirect": (lambda: [revocations(ROOT, point=point(indirect_crl=True))], UNKNOWN),
    "delta": (lambda: [revocations(ROOT, delta=True)], UNKNOWN),
}


@pytest.mark.parametrize("case", LISTS)
def test_a_list_counts_when_it_is_the_issuers_complete_and_fresh(case: str) -> None:
    make, expected = LISTS[case]
    assert by_lists(LEAF.certificate, ROOT.certificate, make(), NOW) is expected


def test_lists_are_read_as_der_and_pem() -> None:
    made = revocations(ROOT, LEAF)
    for encoding in (Encoding.DER, Encoding.PEM):
        assert read_list(made.public_bytes(encoding)) == made


RESPONDER = device(ROOT, "responder", uses=(ExtendedKeyUsageOID.OCSP_SIGNING,))
ANSWERS: dict[str, tuple[Callable[[], bytes], Status]] = {
    "good": (lambda: answer(LEAF, ROOT), GOOD),
    "revoked": (lambda: answer(LEAF, ROOT, revoked=True), REVOKED),
    "by a responder": (lambda: answer(LEAF, ROOT, signer=RESPONDER), GOOD),
    "revoked, by a responder": (lambda: answer(LEAF, ROOT, revoked=True, signer=RESPONDER), REVOKED),
    "by a device": (lambda: answer(LEAF, ROOT, signer=device(ROOT, "liar")), UNKNOWN),
    "by another's responder": (
        lambda: answer(LEAF, ROOT, signer=device(TWIN, "r", uses=(ExtendedKeyUsageOID.OCSP_SIGNING,))),
        UNKNOWN,
    ),
    "by a responder of old": (
        lambda: answer(LEAF, ROOT, signer=device(ROOT, "r", uses=(ExtendedKeyUsageOID.OCSP_SIGNING,), days=2)),
        UNKNOWN,
    ),
    "by a twin": (lambda: answer(LEAF, TWIN), UNKNOWN),
    "about another": (lambda: answer(OTHER, ROOT), UNKNOWN),
    "stale": (lambda: answer(LEAF, ROOT, until=NOW - timedelta(seconds=1)), UNKNOWN),
    "of tomorrow": (lambda: answer(LEAF, ROOT, since=NOW + DAY, until=NOW + 2 * DAY), UNKNOWN),
    "without an end": (lambda: answer(LEAF, ROOT, until=None), GOOD),
    "without an end, old": (lambda: answer(LEAF, ROOT, since=NOW - DAY, until=None), UNKNOWN),
    "garbage": (lambda: b"garbage", UNKNOWN),
    "nothing": (lambda: b"", UNKNOWN),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_counts_when_it_comes_from_who_may_give_it(case: str) -> None:
    make, expected = ANSWERS[case]
    assert by_answer(make(), LEAF.certificate, ROOT.certificate, NOW)[0] is expected


def test_a_question_names_the_certificate() -> None:
    asked = x509.ocsp.load_der_ocsp_request(question(LEAF.certificate, ROOT.certificate))
    assert asked.serial_number == LEAF.certificate.serial_number


SAID = answer(LEAF, ROOT, revoked=True)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_changed_answer_never_says_good(at: int, change: int) -> None:
    data = bytearray(SAID)
    data[at % len(data)] ^= change
    assert by_answer(bytes(data), LEAF.certificate, ROOT.certificate, NOW)[0] is not GOOD


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_the_one_error(data: bytes) -> None:
    try:
        read_list(data)
    except ValueError:
        return
