import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.catalog.known import Source
from casb.catalog.measure import (
    Observation,
    certificate_covers,
    dmarc_of,
    facts,
    may_be_asked,
    rdap_server,
    registered_of,
    security_headers,
    spf_of,
)

T1, T2 = "2026-03-01T00:00:00.000Z", "2026-03-02T00:00:00.000Z"
GOOD = {
    "content-security-policy": "default-src 'self'",
    "strict-transport-security": 'max-age="31536000"; includeSubDomains',
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-xss-protection": "1; mode=block",
}


def test_what_several_hosts_show() -> None:
    found = facts(
        [
            Observation(
                host="a.example", time=T1, protocol="TLSv1.3", trusted=True, name_valid=True, headers=GOOD, main=True
            ),
            Observation(host="b.example", time=T2, protocol="TLSv1.2", trusted=False, headers={}, https_enforced=True),
        ]
    )
    assert {name: fact.value for name, fact in found.items()} == {
        "encryption_protocol": "tls1_2",
        "valid_certificate_name": True,
        "trusted_certificate": False,
        "enforce_transport_encryption": True,
        "http_security_headers": tuple(
            (name, True)
            for name in (
                "content_security_policy",
                "strict_transport_security",
                "x_content_type_options",
                "x_frame_options",
                "x_xss_protection",
            )
        ),
    }
    assert {fact.source for fact in found.values()} == {Source.MEASURED}
    assert (found["trusted_certificate"].as_of, found["http_security_headers"].as_of) == (T2, T1)


def test_the_later_observation_of_a_host_counts_and_what_it_did_not_look_at_stays() -> None:
    found = facts(
        [
            Observation(host="a.example", time=T2, protocol="TLSv1.3"),
            Observation(
                host="a.example", time=T1, protocol="TLSv1", trusted=True, dmarc="reject", registered="2001-01-01"
            ),
        ]
    )
    assert found["encryption_protocol"].value == "tls1_3"
    assert found["trusted_certificate"].value is True
    assert found["dmarc_policy"].value == "reject"
    assert found["domain_registered"].value == "2001-01-01"


def test_nothing_seen_is_no_fact() -> None:
    assert facts([]) == {}
    assert facts([Observation(host="a.example", time=T1, protocol="QUIC")]) == {}
    assert (
        facts([Observation(host="a.example", time=T1, protocol="none")])["encryption_protocol"].value == "not_supported"
    )


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, 5),
        ({"strict-transport-security": "max-age=0"}, 4),
        ({"x-content-type-options": "sniff"}, 4),
        ({"x-frame-options": "ALLOWALL"}, 4),
        ({"x-xss-protection": "0"}, 4),
        ({"content-security-policy": " "}, 4),
    ],
)
def test_a_header_that_switches_itself_off_is_none(changes: dict[str, str], met: int) -> None:
    truths = security_headers({**GOOD, **changes})
    assert isinstance(truths, tuple)
    assert [pair[1] for pair in truths].count(True) == met


@pytest.mark.parametrize(
    ("names", "host", "covered"),
    [
        (["a.example"], "a.example", True),
        (["A.example."], "a.example", True),
        (["*.a.example"], "x.a.example", True),
        (["*.a.example"], "a.example", False),
        (["*.a.example"], "y.x.a.example", False),
        (["*.example"], "a.example", False),
        (["x*.a.example"], "xy.a.example", False),
        ([], "a.example", False),
    ],
)
def test_certificates(names: list[str], host: str, covered: bool) -> None:
    assert certificate_covers(names, host) is covered


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - nothing is bound
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("nonsense", False),
    ],
)
def test_who_may_be_asked(address: str, allowed: bool) -> None:
    assert may_be_asked(address) is allowed


@pytest.mark.parametrize(
    ("records", "policy"),
    [
        (["v=DMARC1; p=reject; rua=mailto:x@y.example"], "reject"),
        (["v=DMARC1;p = quarantine"], "quarantine"),
        (["v=DMARC1; p=none"], "none"),
        (["v=DMARC1"], "missing"),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "missing"),
        (["something"], "missing"),
        ([], "missing"),
    ],
)
def test_dmarc(records: list[str], policy: str) -> None:
    assert dmarc_of(records) == policy


@pytest.mark.parametrize(
    ("records", "found"),
    [
        (["v=spf1 -all"], True),
        (["v=spf1"], True),
        (["v=spf10 -all"], False),
        (["v=spf1 -all", "v=spf1 +all"], False),
        ([], False),
    ],
)
def test_spf(records: list[str], found: bool) -> None:
    assert spf_of(records) is found


def test_rdap() -> None:
    answer = orjson.dumps({"events": [{"eventAction": "expiration", "eventDate": "2030-01-01"},
                                      {"eventAction": "registration", "eventDate": "1995-06-11T04:00:00Z"}]})  # fmt: skip
    assert registered_of(answer) == "1995-06-11"
    bootstrap = orjson.dumps(
        {"services": [[["com"], ["http://no.test/", "https://com.test/"]], [["co.uk"], ["https://uk.test"]]]}
    )
    assert rdap_server(bootstrap, "example.com") == "https://com.test/"
    assert rdap_server(bootstrap, "example.co.uk") == "https://uk.test"
    assert rdap_server(bootstrap, "example.org") is None


@given(
    st.binary(max_size=80)
    | st.recursive(
        st.none() | st.integers(-9, 9) | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["events", "eventAction", "services"]), inner),
        max_leaves=6,
    ).map(orjson.dumps)
)
def test_any_answer_of_a_register(answer: bytes) -> None:
    registered_of(answer)
    rdap_server(answer, "example.com")


@given(st.lists(st.text(max_size=30), max_size=3))
def test_any_records(records: list[str]) -> None:
    assert dmarc_of(records) in ("missing", "none", "quarantine", "reject")
    spf_of(records)
