from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.identity.certificates import CertificateError, Trust, device_id_of, prove, read_header, read_pem, read_sent
from casb.settings import CertificateRule, ClientCertificates
from device_pki import CLIENT, DAY, NOW, SERVER, Held, authority, device

ROOT = authority("Device root")
ISSUING = authority("Device issuing CA", ROOT)
OTHER = authority("Other root")
TWIN = authority("Device root")  # the same name, another key
PLAIN = ClientCertificates(anchors=())
TRUST = Trust((ROOT.certificate,), (ISSUING.certificate,))
URI = x509.UniformResourceIdentifier("IntuneDevice://AB12-cd34")


def proven(leaf: Held, trust: Trust = TRUST, conditions: ClientCertificates = PLAIN, *sent: Held) -> str:
    return prove([leaf.certificate, *(each.certificate for each in sent)], trust, conditions, NOW).device_id


def test_a_chain_over_a_configured_intermediate_is_followed_to_the_anchor() -> None:
    proof = prove([device(ISSUING).certificate], TRUST, PLAIN, NOW)
    assert [each.subject.rfc4514_string() for each in proof.chain] == [
        "CN=laptop-7",
        "CN=Device issuing CA",
        "CN=Device root",
    ]
    assert proof.device_id == "laptop-7"
    assert proof.source.endswith("issued by Device issuing CA")


def test_an_intermediate_may_be_sent_or_be_an_anchor_itself() -> None:
    alone = Trust((ROOT.certificate,))
    with pytest.raises(CertificateError, match="I033"):
        proven(device(ISSUING), alone)
    assert proven(device(ISSUING), alone, PLAIN, ISSUING) == "laptop-7"
    assert proven(device(ISSUING), Trust((ISSUING.certificate,))) == "laptop-7"
    assert proven(device(OTHER), Trust((ROOT.certificate, OTHER.certificate))) == "laptop-7"


WRONG: dict[str, tuple[Callable[[], Held], str]] = {
    "foreign authority": (lambda: device(OTHER), "I033"),
    "authority of the same name": (lambda: device(TWIN), "I033"),
    "expired": (lambda: device(ISSUING, days=3), "I032"),
    "not yet valid": (lambda: device(ISSUING, begins=NOW + DAY), "I032"),
    "for servers": (lambda: device(ISSUING, uses=(SERVER,)), "I033"),
    "for nothing said": (lambda: device(ISSUING, uses=None), "I033"),
    "issued by a device": (lambda: device(device(ISSUING, "not a CA")), "I033"),
    "the anchor itself": (lambda: ROOT, "I033"),
    "an intermediate itself": (lambda: ISSUING, "I033"),
    "self-signed": (lambda: authority("laptop-7"), "I033"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_lead_to_an_anchor_proves_nothing(case: str) -> None:
    make, code = WRONG[case]
    with pytest.raises(CertificateError) as told:
        proven(make())
    assert told.value.code == code


def test_an_issuer_that_has_expired_vouches_for_nothing() -> None:
    old = authority("Old issuing CA", ROOT, begins=NOW - 400 * DAY, days=300)
    with pytest.raises(CertificateError, match="I033"):
        proven(device(old), Trust((ROOT.certificate,), (old.certificate,)))


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (CertificateRule(issuer="CN=Device issuing CA"), True),
        (CertificateRule(issuer="cn=device issuing*"), True),
        (CertificateRule(issuer="CN=Device"), False),
        (CertificateRule(subject="CN=laptop-*"), True),
        (CertificateRule(subject="CN=phone-*"), False),
        (CertificateRule(san="IntuneDevice://*"), True),
        (CertificateRule(san="*.example"), False),
        (CertificateRule(oid=CLIENT.dotted_string), True),
        (CertificateRule(oid=SERVER.dotted_string), False),
        (CertificateRule(subject="CN=laptop-*", oid=SERVER.dotted_string), False),
    ],
)
def test_rules_describe_which_certificates_count(rule: CertificateRule, fits: bool) -> None:
    leaf = device(ISSUING, names=(URI,))
    conditions = ClientCertificates(anchors=(), rules=(CertificateRule(subject="CN=nobody"), rule))
    if fits:
        assert proven(leaf, TRUST, conditions)
    else:
        with pytest.raises(CertificateError, match="I034"):
            proven(leaf, TRUST, conditions)


@pytest.mark.parametrize(
    ("where", "pattern", "names", "expected"),
    [
        ("common_name", "", (), "laptop-7"),
        ("common_name", "laptop-(.+)", (), "7"),
        ("common_name", "phone-(.+)", (), ""),
        ("common_name", "laptop", (), ""),
        ("san_uri", "IntuneDevice://(.+)", (URI,), "ab12-cd34"),
        ("san_uri", "", (URI,), "intunedevice://ab12-cd34"),
        ("san_dns", "", (x509.DNSName("pc1.example"), URI), "pc1.example"),
        ("san_email", "", (URI,), ""),
    ],
)
def test_the_device_id_is_where_the_settings_say(
    where: str, pattern: str, names: tuple[x509.GeneralName, ...], expected: str
) -> None:
    conditions = ClientCertificates(anchors=(), device_id=where, device_id_pattern=pattern)  # type: ignore[arg-type]
    assert device_id_of(device(ISSUING, names=names).certificate, conditions) == expected


def test_the_proof_ends_with_the_first_of_the_chain() -> None:
    short = authority("Short issuing CA", ROOT, begins=NOW - DAY, days=2)
    proof = prove([device(short).certificate], Trust((ROOT.certificate,), (short.certificate,)), PLAIN, NOW)
    assert proof.ends - NOW <= timedelta(days=1)


HEADERS: dict[str, tuple[str, Callable[[Held], str]]] = {
    "nginx": ("x-ssl-client-cert", lambda leaf: quote(leaf.pem.decode())),
    "envoy cert": ("x-forwarded-client-cert", lambda leaf: f'Hash=ab;Cert="{quote(leaf.pem.decode())}";Subject="a,b"'),
    "envoy last": (
        "x-forwarded-client-cert",
        lambda leaf: f'Cert="{quote(device(OTHER, "x").pem.decode())}",By=x;Cert="{quote(leaf.pem.decode())}"',
    ),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_proxy_names_the_certificate_in_a_header(case: str) -> None:
    name, write = HEADERS[case]
    leaf = device(ISSUING)
    assert read_header(name, write(leaf)) == (leaf.certificate,)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("x-ssl-client-cert", "", "I030"),
        ("x-ssl-client-cert", "%%%", "I031"),
        ("x-ssl-client-cert", "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----", "I031"),
        ("x-ssl-client-cert", "x" * 400_000, "I031"),
        ("x-forwarded-client-cert", "Hash=ab", "I030"),
        ("x-forwarded-client-cert", "Cert=a;cert=b", "I031"),
    ],
)
def test_a_header_that_is_not_what_it_must_be_proves_nothing(name: str, value: str, code: str) -> None:
    with pytest.raises(CertificateError) as told:
        read_header(name, value)
    assert told.value.code == code


def test_no_certificate_too_many_or_garbage_prove_nothing() -> None:
    for sent in ([], [ROOT.der] * 9, [b"garbage"], [b"x" * 20_000]):
        with pytest.raises(CertificateError):
            read_sent(sent)
    with pytest.raises(ValueError, match="no certificate"):
        read_pem(b"-----BEGIN PRIVATE KEY-----")


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.text(max_size=200), st.sampled_from(["Cert=", 'Cert="', "-----BEGIN CERTIFICATE-----"])), st.binary()
)
def test_any_header_and_any_bytes_are_certificates_or_the_one_error(text: str, data: bytes) -> None:
    for name in ("x-ssl-client-cert", "x-forwarded-client-cert"):
        with pytest.raises(CertificateError):
            read_header(name, text)
    with pytest.raises(CertificateError):
        read_sent([data])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 500), st.integers(1, 255))
def test_a_certificate_with_a_changed_byte_never_proves_another_device(at: int, change: int) -> None:
    der = bytearray(LEAF.der)
    der[at % len(der)] ^= change
    try:
        proof = prove(read_sent([bytes(der)]), TRUST, PLAIN, NOW)
    except CertificateError:
        return
    assert proof.device_id == "laptop-7"  # only what the signature does not cover was changed


LEAF = device(ISSUING)
