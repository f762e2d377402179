from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.model.forwarded import client_address, is_trusted, plain_address

LB = "192.0.2.1"
TRUSTED = ("192.0.2.0/24", "2001:db8:1::/48")


@pytest.mark.parametrize(
    ("peer", "values", "expected", "why"),
    [
        (LB, (), LB, "nothing said"),
        (LB, ("198.51.100.7",), "198.51.100.7", "the proxy says so"),
        ("203.0.113.9", ("198.51.100.7",), "203.0.113.9", "not from a trusted proxy"),
        (LB, ("6.6.6.6, 198.51.100.7",), "198.51.100.7", "what the client wrote stands further left"),
        (LB, ("6.6.6.6", "198.51.100.7"), "198.51.100.7", "two fields are one list"),
        (LB, ("198.51.100.7, 192.0.2.2",), "198.51.100.7", "a chain of trusted proxies"),
        (LB, ("6.6.6.6, garbage, 192.0.2.2",), "192.0.2.2", "nobody vouches for what is behind a hole"),
        (LB, ("198.51.100.7:52001",), "198.51.100.7", "some add the port"),
        (LB, ("[2001:db8::7]:52001",), "2001:db8::7", "v6 with its port"),
        (LB, ("2001:db8::7",), "2001:db8::7", "v6"),
        (LB, ("::ffff:198.51.100.7",), "198.51.100.7", "v4 in v6"),
        ("::ffff:192.0.2.1", ("198.51.100.7",), "198.51.100.7", "the socket's spelling does not matter"),
        ("2001:db8:1::5", ("198.51.100.7",), "198.51.100.7", "a proxy on v6"),
        (LB, ("fe80::1%eth0",), LB, "a zone means something else on every machine"),
        (LB, ("198.51.100.7:99999999",), LB, "no port"),
        (LB, ("198.51.100.07",), LB, "one spelling of an address"),
        (LB, ("x" * 9000 + ", 198.51.100.7",), LB, "too long to read"),
    ],
)
def test_x_forwarded_for(peer: str, values: tuple[str, ...], expected: str, why: str) -> None:
    assert client_address(peer, "x-forwarded-for", values, TRUSTED) == expected, why


@pytest.mark.parametrize(
    ("values", "expected", "why"),
    [
        (("for=198.51.100.7",), "198.51.100.7", "plain"),
        (('for="198.51.100.7:4711";proto=https;by=192.0.2.1',), "198.51.100.7", "with more to say"),
        (('For="[2001:db8::7]:4711"',), "2001:db8::7", "v6, any case"),
        (("for=6.6.6.6, for=198.51.100.7",), "198.51.100.7", "read from the end"),
        (("for=6.6.6.6", "for=198.51.100.7"), "198.51.100.7", "two fields"),
        (("for=198.51.100.7, for=192.0.2.2",), "198.51.100.7", "a chain"),
        (("for=198.51.100.7, by=192.0.2.2",), LB, "an element without a source"),
        (("for=unknown",), LB, "unknown"),
        (("for=_hidden",), LB, "obfuscated"),
        (('for="6.6.6.6, for=198.51.100.7',), LB, "a quote left open: elements cannot be told apart"),
        (("for=198.51.100.7;for=6.6.6.6",), LB, "twice in one element"),
        (('x="\\", for=6.6.6.6, x=\\"";for=198.51.100.7',), "198.51.100.7", "a comma inside quotes"),
        (("for=198.51.100.7,",), "198.51.100.7", "an empty element at the end"),
        (("for=2001:db8::7",), LB, "v6 must be quoted and bracketed"),
        (("198.51.100.7",), LB, "another syntax"),
        ((";" * 100,), LB, "nothing"),
    ],
)
def test_forwarded(values: tuple[str, ...], expected: str, why: str) -> None:
    assert client_address(LB, "forwarded", values, TRUSTED) == expected, why


def test_no_field_is_believed_when_none_is_named() -> None:
    assert client_address(LB, "none", ("198.51.100.7",), TRUSTED) == LB


@settings(max_examples=60)
@given(st.lists(st.text(max_size=60) | st.from_regex(r"for=[0-9.]{3,12}(, ?for=.{0,9})?"), max_size=4), st.booleans())
def test_any_field_gives_an_address_and_the_last_hop_wins(values: list[str], listed: bool) -> None:
    kind = "x-forwarded-for" if listed else "forwarded"
    found = client_address(LB, kind, values, TRUSTED)  # type: ignore[arg-type] # one of the two words
    assert str(ip_address(found)) == found
    honest = "198.51.100.7" if listed else "for=198.51.100.7"
    told = client_address(LB, kind, [*values, honest], TRUSTED)  # type: ignore[arg-type] # as above
    assert told in ("198.51.100.7", LB), "whatever a client writes before, it never names itself"


@pytest.mark.parametrize("text", ["", "garbage", "999.1.1.1", "::ffff:zz", "192.0.2.1/24"])
def test_no_address_is_trusted_nowhere(text: str) -> None:
    assert not is_trusted(text, ("0.0.0.0/0", "::/0"))
    assert plain_address(text) == text
