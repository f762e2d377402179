from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.model.network import IpRange, overlaps, parse_network


def named(name: str, *networks: str) -> IpRange:
    return IpRange(name=name, networks=tuple(map(parse_network, networks)))


@pytest.mark.parametrize(
    ("written", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("::1", "::1/128"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("::/0", "::/0"),
    ],
)
def test_parse_network(written: str, network: str) -> None:
    assert parse_network(written) == ip_network(network)


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("10.0.0.7/8", r"'10\.0\.0\.0/8' is that range"),
        ("fe80::1%eth0", "zone"),
        ("10.0.0.0/33", "neither"),
        ("10.0.0", "neither"),
        ("contoso.example", "neither"),
        ("", "neither"),
    ],
)
def test_parse_network_refuses(written: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_network(written)


@pytest.mark.parametrize(
    ("ranges", "expected", "why"),
    [
        ([named("a", "10.0.0.0/8"), named("b", "10.1.0.0/16")], [("a", 0, "b", 0)], "nested"),
        ([named("b", "10.1.0.0/16"), named("a", "10.0.0.0/8")], [("b", 0, "a", 0)], "in the order given"),
        ([named("a", "10.0.0.0/8"), named("b", "10.0.0.0/8")], [("a", 0, "b", 0)], "the same"),
        ([named("a", "10.0.0.0/9"), named("b", "10.128.0.0/9")], [], "neighbours"),
        ([named("a", "10.0.0.0/8", "10.1.0.0/16")], [], "inside one range nothing is said twice that matters"),
        ([named("a", "::/0"), named("b", "0.0.0.0/0")], [], "two versions"),
        ([named("a", "10.0.0.0/8"), named("b", "::ffff:10.0.0.1")], [("a", 0, "b", 0)], "v4-mapped is v4"),
        (
            [named("a", "192.0.2.0/24", "10.0.0.0/8", "10.1.0.0/24"), named("b", "10.1.0.0/16")],
            [("a", 1, "b", 0), ("a", 2, "b", 0)],
            "both sides of a nest",
        ),
    ],
)
def test_overlaps(ranges: list[IpRange], expected: list[tuple[str, int, str, int]], why: str) -> None:
    found = [(each.first.name, each.first_index, each.second.name, each.second_index) for each in overlaps(ranges)]
    assert sorted(found) == expected, why


networks = st.builds(
    lambda address, prefix: ip_network((address << 24 & 0xFFFFFFFF, prefix), strict=False),
    st.integers(0, 255),
    st.integers(2, 9),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(networks, min_size=1, max_size=3), min_size=1, max_size=4))
def test_finds_an_overlap_exactly_when_there_is_one(groups: list[list[object]]) -> None:
    ranges = [IpRange(name=str(i), networks=tuple(group)) for i, group in enumerate(groups)]  # type: ignore[arg-type]
    pairs = [
        (one.name, two.name)
        for i, one in enumerate(ranges)
        for two in ranges[i + 1 :]
        if any(left.overlaps(right) for left in one.networks for right in two.networks)
    ]
    assert bool(overlaps(ranges)) == bool(pairs)
    assert {(each.first.name, each.second.name) for each in overlaps(ranges)} <= set(pairs)
