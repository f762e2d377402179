from ipaddress import IPv4Address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.ranges import Ranges
from casb.model.network import IpRange, RangeFacts, parse_network


def named(name: str, *networks: str, category: str = "corporate", **more: object) -> IpRange:
    return IpRange(name=name, networks=tuple(map(parse_network, networks)), category=category, **more)  # type: ignore[arg-type]


RANGES = Ranges(
    [
        named("office", "10.0.0.0/8", "10.1.0.0/16", "2001:db8:1::/48", tags=frozenset({"hq"})),
        named("shady", "198.51.100.0/25", "2001:db8:bad::/64", category="risky", country="NL", isp="Shady Ltd"),
        named("one", "198.51.100.200", category="vpn"),
    ]
)


@pytest.mark.parametrize(
    ("ip", "name", "why"),
    [
        ("10.255.255.255", "office", "last address"),
        ("10.0.0.0", "office", "first address"),
        ("10.1.2.3", "office", "inside both networks of one range"),
        ("11.0.0.0", None, "one past the end"),
        ("9.255.255.255", None, "one before the start"),
        ("2001:db8:1::5", "office", "v6"),
        ("2001:0DB8:0001:0000::5", "office", "v6 in long form"),
        ("2001:db8:1:ffff::5%eth0", "office", "v6 with a zone"),
        ("::ffff:10.1.2.3", "office", "v4-mapped v6"),
        ("::ffff:a01:203", "office", "v4-mapped v6 in hexadecimal"),
        ("::10.1.2.3", None, "the deprecated v4-compatible form is another address"),
        ("198.51.100.127", "shady", "half a network"),
        ("198.51.100.128", None, "the other half"),
        ("198.51.100.200", "one", "a single address"),
        ("2001:db8:bad::", "shady", "v6 network address"),
        ("", None, "no address"),
        ("10.1", None, "no address, even if inet_aton takes it"),
        ("010.1.2.3", None, "leading zeros mean octal to some, so nothing to us"),
        ("unknown", None, "no address"),
    ],
)
def test_lookup(ip: str, name: str | None, why: str) -> None:
    assert RANGES.lookup(ip).name == name, why


def test_facts() -> None:
    assert RANGES.lookup("198.51.100.1") == RangeFacts(
        name="shady", category="risky", tags=frozenset(), country="NL", isp="Shady Ltd"
    )
    assert RANGES.lookup("10.0.0.1").tags == {"hq"}
    assert RANGES.lookup("203.0.113.1") == RangeFacts()


def test_geo_fills_in_and_overrides_win() -> None:
    asked = []

    def geo(ip: str) -> tuple[str | None, str | None]:
        asked.append(ip)
        return "DE", "Example Net"

    ranges = Ranges(
        [named("shady", "198.51.100.0/24", country="NL"), named("full", "10.0.0.0/8", country="X", isp="Y")], geo
    )
    assert (ranges.lookup("198.51.100.1").country, ranges.lookup("198.51.100.1").isp) == ("NL", "Example Net")
    assert ranges.lookup("203.0.113.9") == RangeFacts(country="DE", isp="Example Net")
    asked.clear()
    ranges.lookup("10.0.0.1")
    ranges.lookup("nonsense")
    assert asked == [], "nothing left to ask"
    ranges.lookup("::ffff:198.51.100.1")
    ranges.lookup("2001:db8::1%eth0")
    assert asked == ["198.51.100.1", "2001:db8::1"]


def test_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="'b' overlaps 'a'"):
        Ranges([named("a", "10.0.0.0/8"), named("b", "10.1.0.0/16")])


networks = st.builds(
    lambda address, prefix: ip_network((address, prefix), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(networks, max_size=5), st.integers(0, 2**32 - 1))
def test_agrees_with_the_plain_definition(some: list[object], address: int) -> None:
    ip = IPv4Address(address)
    one = Ranges([IpRange(name="x", networks=tuple(some))])  # type: ignore[arg-type]
    assert (one.lookup(str(ip)).name == "x") == any(ip in network for network in some)  # type: ignore[operator]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=30) | st.ip_addresses().map(str))
def test_any_text_gives_facts(text: str) -> None:
    assert isinstance(RANGES.lookup(text), RangeFacts)
