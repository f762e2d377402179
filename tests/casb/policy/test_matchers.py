"""Values and what they match."""

from __future__ import annotations

import ipaddress
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.policy import matchers
from casb.policy.matchers import Malformed
from casb.policy.vocabulary import plain_name


@pytest.mark.parametrize(
    ("patterns", "text", "fits"),
    [
        (["payroll.xlsx"], "payroll.xlsx", True),
        (["Payroll.XLSX"], "payroll.xlsx", True),
        (["payroll*"], "payroll-2026.xlsx", True),
        (["payroll*"], "my payroll", False),
        (["*.pst"], "mail.pst", True),
        (["*.pst"], "mail.pst.txt", False),
        (["*salary*"], "the salary list", True),
        (["a?c"], "abc", True),
        (["a?c"], "ac", False),
        (["a[b]c"], "a[b]c", True),
        (["a[b]*"], "abx", False),
        (["x", "y*"], "yes", True),
        (["x", "y*"], "x", True),
        (["x", "y*"], "z", False),
        (["a*b*c"], "a--b--c", True),
        (["a*b*c"], "a--b--", False),
        (["*"], "", True),
    ],
)
def test_glob(patterns: list[str], text: str, fits: bool) -> None:
    assert matchers.glob(patterns)(plain_name(text)) is fits


def test_a_nasty_pattern_is_fast() -> None:
    test = matchers.glob(["*a*a*a*a*a*a*a*a*a*a*b"])
    started = time.process_time()
    assert not test("a" * 5000)
    assert time.process_time() - started < 1


@given(st.text(max_size=20))
def test_a_name_without_wildcards_fits_itself(name: str) -> None:
    if "*" not in plain_name(name) and "?" not in plain_name(name):
        assert matchers.glob([name])(plain_name(name))


@pytest.mark.parametrize(
    ("make", "values", "text", "fits"),
    [
        (matchers.starts_with, ["SVC-"], "svc-backup", True),
        (matchers.starts_with, ["svc-"], "my svc-", False),
        (matchers.ends_with, [".bak", ".OLD"], "x.old", True),
        (matchers.ends_with, [".bak"], "bak", False),
        (matchers.contains, ["Curl"], "my curl/8", True),
        (matchers.contains, ["curl", "wget"], "wget/1", True),
        (matchers.contains, ["curl", "wget"], "firefox", False),
        (matchers.regex, ["^inv-[0-9]+$"], "INV-12", True),
        (matchers.regex, ["^inv-[0-9]+$", "x"], "inv-", False),
        (matchers.media, ["document"], "application/pdf", True),
        (matchers.media, ["image/*"], "image/png", True),
        (matchers.media, ["image/*"], "text/plain", False),
        (matchers.media, ["application/pdf", "archive"], "application/zip", True),
        (matchers.media, ["application/pdf", "archive"], "application/pdf", True),
        (matchers.media, ["application/pdf", "archive"], "text/plain", False),
    ],
)  # fmt: skip
def test_other_tests(make: object, values: list[str], text: str, fits: bool) -> None:
    assert callable(make)
    assert make(values)(text) is fits


@pytest.mark.parametrize("expression", ["(a", "(?=x)", r"(a)\1", "a" * 1001, "(?<!x)y"])
def test_expressions_beyond_re2_are_refused(expression: str) -> None:
    with pytest.raises(Malformed) as caught:
        matchers.regex([expression])
    assert caught.value.number == "034"


def test_a_catastrophic_expression_is_harmless() -> None:
    test = matchers.regex(["^(a+)+$"])
    started = time.process_time()
    assert not test("a" * 5000 + "!")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("ranges", "address", "inside"),
    [
        (["192.0.2.0/24"], "192.0.2.255", True),
        (["192.0.2.0/24"], "192.0.3.0", False),
        (["192.0.2.7"], "192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8:ffff::1", True),
        (["2001:db8::/32"], "2001:db9::1", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.9", True),
        (["::ffff:192.0.2.0/120"], "192.0.2.9", True),
        (["::ffff:192.0.2.0/120"], "192.0.3.9", False),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["::/0"], "192.0.2.1", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["2001:db8::/32"], "[2001:db8::1]", True),
        (["10.0.0.0/8", "192.0.2.0/24"], "192.0.2.1", True),
        (["0.0.0.0/0", "::/0"], "not an address", False),
    ],
)
def test_addresses(ranges: list[str], address: str, inside: bool) -> None:
    assert matchers.addresses(ranges)(address) is inside


@settings(max_examples=80)
@given(st.ip_addresses(), st.integers(0, 128))
def test_an_address_lies_in_its_own_range_of_any_length(address: object, length: int) -> None:
    network = ipaddress.ip_network(f"{address}/{length % (33 if '.' in str(address) else 129)}", strict=False)
    mapped = isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped
    if not (mapped or str(address).startswith("::ffff:")):
        assert matchers.addresses([str(network)])(str(address))


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("10.0.0.1/8", "did you mean '10.0.0.0/8'?"),
        ("2001:db8::1/32", "did you mean '2001:db8::/32'?"),
        ("office", "write 192.0.2.7 or 192.0.2.0/24"),
        ("192.0.2.300", "write 192.0.2.7 or 192.0.2.0/24"),
        ("192.0.2.0/33", "write 192.0.2.7 or 192.0.2.0/24"),
    ],
)
def test_what_is_no_range_says_so(value: str, hint: str) -> None:
    with pytest.raises(Malformed) as caught:
        matchers.network(value)
    assert (caught.value.number, caught.value.hint) == ("032", hint)


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (0, 0),
        (10, 10),
        ("10", 10),
        ("1B", 1),
        ("500KB", 512_000),
        ("10MB", 10_485_760),
        ("10 mb", 10_485_760),
        ("1.5GB", 1_610_612_736),
        ("1MiB", 1_048_576),
        ("0.5KB", 512),
    ],
)
def test_size(value: object, octets: int) -> None:
    assert matchers.size(value) == octets


@pytest.mark.parametrize("value", ["", "MB", "10 megs", "-1", -1, True, None, 1.5, "1,5MB", "1e3", [1], "1TB"])
def test_what_is_no_size_says_so(value: object) -> None:
    with pytest.raises(Malformed) as caught:
        matchers.size(value)
    assert caught.value.number == "033"


def test_number() -> None:
    assert matchers.number(3) == 3
    assert matchers.number(3.5) == 3.5
    for value in ("3", True, None):
        with pytest.raises(Malformed):
            matchers.number(value)


def test_check_media() -> None:
    matchers.check_media("document")
    matchers.check_media("application/x-anything")
    with pytest.raises(Malformed) as caught:
        matchers.check_media("documnt")
    assert caught.value.number == "014"
