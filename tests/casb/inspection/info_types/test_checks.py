"""Validators that no shipped example shows alone: published vectors and what they must refuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.info_types.checks import CHECKS, find, keccak256


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("card", "378282246310005", "378282246310006"),
        ("card", "4111-1111-1111-1111", "0000000000000000"),
        ("iban", "GB82 WEST 1234 5698 7654 32", "GB82 WEST 1234 5698 7654 33"),
        ("aba", "021000021", "123456789"),
        ("npi", "1234567893", "1234567890"),
        ("dea", "AB1234563", "AB1234564"),
        ("ssn", "536-90-4399", "666-90-4399"),
        ("ssn", "536904399", "078-05-1120"),
        ("vin", "1M8GDM9AXKP042788", "1M8GDM9AXKP042789"),
        ("icao", "L898902C36", "L898902C37"),
        ("hkid", "A123456(3)", "A123456(4)"),
        ("tw-id", "A123456789", "A123456788"),
        ("sg-nric", "S1234567D", "S1234567E"),
        ("snils", "112-233-445 95", "112-233-445 96"),
        ("ethereum", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"),
        ("bech32", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t3"),
        ("bech32", "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "bc1qb"),
        ("base58", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3"),
        ("password", 'password = "k3-Vorhang"', 'password = "changeme"'),
        ("password", "pwd=K3vorhang", "pwd=${SECRET1}"),
        ("url-password", "https://a:pw1@x.example", "https://a:$PW@x.example"),
        ("date", "1981-12-04", "99/99/1981"),
        ("date", "4.12.1981", "13/40/1981"),
        ("e164", "+49 30 901820", "+11111111"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "1:2"),
        ("random", "zK3vQ9rT1xWm", "xxxxxxxxxxxx"),
        ("mixed", "zK3vQ9rT1xWm", "zKevQorTexWm"),
        ("imei", "490154203237518", "490154203237519"),
        ("de.idnr", "36 574 261 809", "36 574 261 890"),
    ],
)
def test_a_check(name: str, good: str, bad: str) -> None:
    assert find(name)(good)
    assert not find(name)(bad)


def test_keccak_of_nothing_and_of_blocks() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(b"abc").hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"
    assert len({keccak256(bytes(size)) for size in (134, 135, 136, 137)}) == 4


@pytest.mark.parametrize("name", ["nope", "de.nope", "os.path", "stdnum", "../x", "de.idnr.__name__"])
def test_there_is_no_such_check(name: str) -> None:
    with pytest.raises(ContentError) as caught:
        find(name)
    assert caught.value.code == "F201"


@given(st.text("0123456789ABCXYZabcxyz -./", min_size=24, max_size=40))
def test_lenient_checks_are_total(value: str) -> None:
    for name in ("luhn", "card", "iban", "random", "mixed", "base58", "bech32", "vin", "ipv6", "e164", "varied", "jwt"):
        assert CHECKS[name](value) in (True, False)
