"""What a row becomes: enriched, left out of Global, copied to views, pseudonymised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from casb.discovery.exclude import Exclusion, Exclusions
from casb.discovery.people import People, Person
from casb.discovery.pseudonym import Pseudonyms
from casb.discovery.shaping import Row, Shaper
from casb.discovery.streams import Kind, Stream, ViewFilter
from casb.discovery.usage import Usage
from casb.model.network import parse_network

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
ADA = Person(upn="ada@contoso.example", names=("ada",), groups=frozenset({"Finance"}))
CIPHER = Pseudonyms(bytes(64))


def stream(kind: Kind = Kind.INPUT, ident: str = "s1", **facts: Any) -> Stream:
    return Stream(id=ident, name=ident, kind=kind, created=NOW, modified=NOW, **facts)


def usage(user: str | None = "ada", ip: str | None = "10.1.2.3", device: str | None = "PC-1") -> Usage:
    return Usage(NOW.date(), "dropbox", user, ip, device, None, 1, 0, 2, 3, 5, NOW, NOW)


def shaped(*rows: Usage, **facts: Any) -> list[Row]:
    return list(Shaper(**{"stream": stream(), **facts}).rows(rows))


def test_a_row_stays_what_it_is() -> None:
    (found,) = shaped(usage())
    assert found == Row(
        "s1", True, NOW.date(), "dropbox", "ada", None, "10.1.2.3", "PC-1", None, 1, 0, 2, 3, 5, NOW, NOW
    )


def test_a_name_of_the_directory_becomes_its_upn_and_stays_known() -> None:
    (found,) = shaped(usage("CONTOSO\\Ada"), people=People([ADA]))
    assert (found.user, found.account) == ("ada@contoso.example", "CONTOSO\\Ada")


@pytest.mark.parametrize(
    ("kind", "in_global"),
    [(Kind.INPUT, True), (Kind.PROXY, True), (Kind.SNAPSHOT, False), (Kind.ENDPOINT, False)],
)
def test_what_counts_in_global(kind: Kind, in_global: bool) -> None:
    assert [each.in_global for each in shaped(usage(), stream=stream(kind))] == [in_global]


@pytest.mark.parametrize(
    ("entry", "out"),
    [
        (Exclusion(entity="user", value="ADA"), True),
        (Exclusion(entity="user", value="ada@contoso.example"), True),
        (Exclusion(entity="group", value="finance"), True),
        (Exclusion(entity="ip", value="10.1.0.0/16"), True),
        (Exclusion(entity="device", value="pc-1"), True),
        (Exclusion(entity="user", value="bob"), False),
        (Exclusion(entity="ip", value="10.2.0.0/16"), False),
    ],
)
def test_who_is_excluded_counts_in_the_source_and_not_in_global(entry: Exclusion, out: bool) -> None:
    (found,) = shaped(usage(), exclusions=Exclusions([entry]), people=People([ADA]))
    assert found.in_global is not out
    (proxied,) = shaped(usage(), exclusions=Exclusions([entry]), people=People([ADA]), stream=stream(Kind.PROXY))
    assert proxied.in_global, "the proxy's stream knows no exclusions"


@pytest.mark.parametrize(
    ("filters", "taken"),
    [
        (ViewFilter(), True),
        (ViewFilter(sources=frozenset({"s1"})), True),
        (ViewFilter(sources=frozenset({"s2"})), False),
        (ViewFilter(groups=frozenset({"Finance"})), True),
        (ViewFilter(groups=frozenset({"Sales"})), False),
        (ViewFilter(networks=(parse_network("10.1.0.0/16"),)), True),
        (ViewFilter(networks=(parse_network("10.9.0.0/16"),)), False),
        (ViewFilter(ip_tags=frozenset({"corporate"})), True),
        (ViewFilter(ip_tags=frozenset({"vpn"})), False),
        (ViewFilter(groups=frozenset({"Finance"}), ip_tags=frozenset({"vpn"})), False),
    ],
)
def test_a_view_takes_what_fits_all_its_filters(filters: ViewFilter, taken: bool) -> None:
    view = stream(Kind.VIEW, "v1", filters=filters)
    found = shaped(usage(), views=[view], people=People([ADA]), ip_tags=lambda ip: {"corporate"})
    assert [(each.stream, each.in_global) for each in found] == [("s1", True), *([("v1", False)] if taken else [])]


def test_a_snapshot_feeds_no_view() -> None:
    view = stream(Kind.VIEW, "v1", filters=ViewFilter())
    assert [each.stream for each in shaped(usage(), views=[view], stream=stream(Kind.SNAPSHOT))] == ["s1"]


def test_pseudonyms_stand_for_names_after_filters_saw_them() -> None:
    hidden = stream(anonymize_users=True, anonymize_devices=True)
    view = stream(Kind.VIEW, "v1", filters=ViewFilter(groups=frozenset({"Finance"})))
    found = shaped(usage(), stream=hidden, views=[view], people=People([ADA]), pseudonyms=CIPHER)
    assert len(found) == 2
    for each in found:
        assert (each.user, each.account) == (CIPHER.of("user", "ada@contoso.example"), None)
        assert each.device == CIPHER.of("device", "PC-1")
    (bare,) = shaped(usage(None, None, None), stream=hidden, pseudonyms=CIPHER)
    assert (bare.user, bare.device) == (None, None)


def test_a_stream_that_hides_names_needs_a_key() -> None:
    with pytest.raises(ValueError, match="no key"):
        Shaper(stream=stream(anonymize_users=True))
