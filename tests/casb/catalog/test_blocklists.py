"""Block lists: the grammar of each format, what is never on one, and that nothing breaks out of a command."""

from __future__ import annotations

import re
import subprocess
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.catalog.blocklists import FEEDS, NAMES, RPZ_ORIGIN, Blocked, blocked, feed, file_name, find, write
from casb.catalog.inventory import Inventory, Local
from casb.catalog.known import KnownApp
from casb.catalog.tagging import Profile, TagState
from casb.errors import CatalogError
from casb.model.app import AppTag
from catalog_support import app, inventory

BAD = TagState(tag=AppTag.UNSANCTIONED)


def made(*bad: KnownApp, others: tuple[KnownApp, ...] = (), protected: tuple[str, ...] = ()) -> Inventory:
    local = Local(states={each.id: BAD for each in bad}, protected=protected, version=7)
    return inventory(*bad, *others, local=local)


MEGA = app("mega", "mega.example", "*.mega.example")
DROP = app("drop", "drop.example", "*.share.example", "api.drop.example/v1")
DOCS = app("docs", "docs.mega.example", "*.team.mega.example")
WORLD = made(MEGA, DROP, others=(DOCS,), protected=("login.mega.example",))

HOST = r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)+[a-z0-9_-]+"
GRAMMAR = {
    "blue-coat": [
        r"; [A-Za-z ]+",
        r"<Proxy>",
        rf"url\.domain={HOST}(?: url\.domain=!{HOST}| url\.host\.exact=!{HOST})* deny",
    ],
    "cisco-asa": [
        r"! [A-Za-z ]+",
        r"object network CASB-\d{5}",
        rf" fqdn {HOST}",
        r"object-group network CASB-UNSANCTIONED",
        r" network-object object CASB-\d{5}",
        r"access-list CASB-BLOCK extended deny ip any object-group CASB-UNSANCTIONED",
    ],
    "fortigate": [
        r"# [A-Za-z ]+",
        r"config firewall (?:address|addrgrp|policy)",
        r" {4}edit (?:0|\"casb-(?:keep-)?\d{5}\"|\"casb-unsanctioned-\d+\")",
        r" {8}set type fqdn",
        rf" {{8}}set fqdn \"(?:\*\.)?{HOST}\"",
        r" {8}set (?:exclude-)?member(?: \"casb-(?:keep-)?\d{5}\")+",
        r" {8}set exclude enable",
        r" {8}set (?:name|srcintf|dstintf|srcaddr|schedule|service) \"[A-Za-z-]+\"",
        r" {8}set dstaddr(?: \"casb-unsanctioned-\d+\")+",
        r" {8}set action deny",
        r" {4}next",
        r"end",
    ],
    "palo-alto": [
        r'set profiles custom-url-category CASB-Unsanctioned type "URL List"',
        rf"set profiles custom-url-category CASB-Unsanctioned list (?:\*\.)?{HOST}/",
        r"set rulebase security rules CASB-Block-Unsanctioned from any to any source any destination any "
        r"application any service any",
        r"set rulebase security rules CASB-Block-Unsanctioned category CASB-Unsanctioned",
        r"set rulebase security rules CASB-Block-Unsanctioned action deny",
        r"move rulebase security rules CASB-Block-Unsanctioned top",
    ],
    "juniper-srx": [
        r"# [A-Za-z ]+",
        rf"set security address-book global address casb-\d{{5}} dns-name {HOST}",
        r"set security address-book global address-set casb-unsanctioned address casb-\d{5}",
        r"set security policies global policy casb-block-unsanctioned match (?:source-address|application) any",
        r"set security policies global policy casb-block-unsanctioned match destination-address casb-unsanctioned",
        r"set security policies global policy casb-block-unsanctioned then deny",
    ],
    "websense": [rf"dest_(?:host|domain)={HOST} action=deny"],
    "zscaler": [rf"\.?{HOST}"],
    "rpz": [
        r"\$TTL \d+",
        r"@ IN SOA localhost\. hostmaster\.localhost\. \d+ 3600 600 86400 300",
        r"@ IN NS localhost\.",
        rf"(?:\*\.)?{HOST} IN CNAME (?:\.|rpz-passthru\.)",
    ],
    "hosts": [rf"0\.0\.0\.0 {HOST}", rf":: {HOST}"],
    "domains": [rf"(?:\*\.)?{HOST}"],
}


def ungrammatical(name: str, text: str) -> list[str]:
    assert text == "" or text.endswith("\n")
    rules = [re.compile(rule) for rule in GRAMMAR[name]]
    return [line for line in text.splitlines() if not any(rule.fullmatch(line) for rule in rules)]


@pytest.mark.parametrize("name", NAMES)
def test_each_line_is_of_the_format(name: str) -> None:
    text = write(name, blocked(WORLD)).text
    assert ungrammatical(name, text) == []
    assert "drop.example" in text


@pytest.mark.parametrize("name", NAMES)
def test_without_unsanctioned_apps_nothing_is_denied(name: str) -> None:
    text = write(name, Blocked(domains=())).text
    assert ungrammatical(name, text) == []
    assert not re.search(r"deny|CNAME|0\.0\.0\.0|move", text)


EXPECTED = {
    "blue-coat": (
        "url.domain=drop.example deny",
        "url.domain=mega.example url.domain=!team.mega.example url.domain=!docs.mega.example "
        "url.domain=!login.mega.example deny",
    ),
    "cisco-asa": (" fqdn drop.example", " fqdn mega.example", " fqdn share.example", " fqdn www.share.example"),
    "fortigate": (
        '        set fqdn "*.mega.example"',
        '        set exclude-member "casb-keep-00001" "casb-keep-00002"',
    ),
    "palo-alto": (
        "set profiles custom-url-category CASB-Unsanctioned list *.share.example/",
        "set profiles custom-url-category CASB-Unsanctioned list mega.example/",
    ),
    "juniper-srx": ("set security address-book global address casb-00001 dns-name drop.example",),
    "websense": ("dest_host=mega.example action=deny", "dest_domain=share.example action=deny"),
    "zscaler": ("drop.example", "mega.example", ".share.example"),
    "rpz": (
        "*.mega.example IN CNAME .",
        "docs.mega.example IN CNAME rpz-passthru.",
        "login.mega.example IN CNAME rpz-passthru.",
        "*.team.mega.example IN CNAME rpz-passthru.",
    ),
    "hosts": ("0.0.0.0 www.share.example", ":: mega.example"),
    "domains": ("*.share.example", "mega.example"),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_on_a_list(name: str) -> None:
    lines = write(name, blocked(WORLD)).text.splitlines()
    for line in EXPECTED[name]:
        assert any(each.startswith(line) for each in lines), line


@pytest.mark.parametrize("name", ["palo-alto", "websense", "zscaler", "domains"])
def test_a_wildcard_over_others_is_left_out_where_it_cannot_spare_them(name: str) -> None:
    script = write(name, blocked(WORLD))
    assert not re.search(r"(\*\.|^\.|dest_domain=)mega\.example", script.text, re.MULTILINE)
    assert ("*.mega.example", "mega") in [(each.pattern, each.app) for each in script.left_out]


def test_what_no_list_can_hold_is_told() -> None:
    scoped = Local(states={"mega": TagState(tag=AppTag.UNSANCTIONED, profile="p")}, profiles={"p": Profile(name="p")})
    found = blocked(inventory(MEGA, local=scoped))
    assert found.domains == ()
    assert {each.why for each in found.left_out} == {"blocked for some groups only"}
    assert [(each.pattern, each.why) for each in blocked(WORLD).left_out] == [
        ("api.drop.example/v1", "has a path: hosts are blocked as a whole")
    ]
    addressed = made(app("addr", "192.0.2.7", "addr.example"))
    assert [each.pattern for each in blocked(addressed).left_out] == ["192.0.2.7"]


def test_protected_hosts_are_on_no_list() -> None:
    world = made(MEGA, app("sso", "sso.example", "*.sso.example"), protected=("sso.example", "*.sso.example"))
    assert {each.host for each in blocked(world).domains} == {"mega.example"}
    for name in NAMES:
        assert "sso.example" not in write(name, blocked(world)).text
    for each in FEEDS:
        assert "sso.example" not in feed(each, blocked(world)).text


def test_feeds_that_take_names_below_along_leave_out_what_has_others_below() -> None:
    texts = {each.name: feed(each, blocked(WORLD)).text.split() for each in FEEDS}
    assert texts["zscaler"] == ["drop.example", "mega.example", ".share.example"]
    for name in ("iboss", "menlo", "corrata", "open-systems"):
        assert texts[name] == ["drop.example", "share.example"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("102", "blue-coat"), ("104", "cisco-asa"), ("108", "fortigate"), ("112", "palo-alto"), ("129", "juniper-srx"),
        ("135", "websense"), ("120", "zscaler"), ("PALO_ALTO", "palo-alto"), ("Cisco_ASA", "cisco-asa"),
        ("WEBSENSE_V7_5", "websense"), ("BLUECOAT", "blue-coat"), (" rpz ", "rpz"), ("hosts", "hosts"),
    ],
)  # fmt: skip
def test_formats_have_names_and_numbers(text: str, name: str) -> None:
    assert find(text) == name


@pytest.mark.parametrize("text", ["", "0", "103", "palo", "../rpz", "112 ; x"])
def test_other_formats_are_unknown(text: str) -> None:
    with pytest.raises(CatalogError, match="C234"):
        find(text)


def test_files_are_dated() -> None:
    assert file_name("fortigate", date(2026, 3, 1)) == "2026-03-01_CAS_Fortigate_block_script.txt"
    assert file_name("rpz", date(2026, 3, 1)) == "2026-03-01_CAS_RPZ_block_script.txt"


def test_the_zone_is_one_for_bind(tmp_path: Path) -> None:
    many = made(*(app(f"a{number}", f"a{number}.example", f"*.b{number}.example") for number in range(300)), DROP)
    for number, world in enumerate((WORLD, many)):
        path = tmp_path / f"{number}.zone"
        path.write_text(write("rpz", blocked(world)).text)
        done = subprocess.run(
            ["/usr/bin/named-checkzone", "-k", "fail", RPZ_ORIGIN, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


HOSTILE = st.text(st.sampled_from(list("ab.-*/_\"'\n\r\t ;|$`\\{}[]#!<>&%=:@é\0")), max_size=30)


@settings(max_examples=60, deadline=None)
@given(st.lists(HOSTILE, min_size=1, max_size=5))
def test_nothing_breaks_out_of_a_command(patterns: list[str]) -> None:
    """Whatever became a domain of an app by some other way in: a line is of the format or is not there."""
    world = made(app("odd", *dict.fromkeys(patterns)), app("good", "good.example"))
    of = blocked(world)
    for name in NAMES:
        text = write(name, of).text
        assert ungrammatical(name, text) == []
        assert "good.example" in text


LABELS = st.sampled_from(["a", "b", "c"])
NAME = st.lists(LABELS, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "example"]))
PATTERN = st.tuples(st.booleans(), NAME).map(lambda pair: f"*.{pair[1]}" if pair[0] else pair[1])


@settings(max_examples=80, deadline=None)
@given(st.sets(PATTERN, min_size=1, max_size=4), st.sets(PATTERN, max_size=4), st.sets(PATTERN, max_size=2), NAME)
def test_lists_block_nobody_else(bad: set[str], good: set[str], protected: set[str], host: str) -> None:
    """What a list blocks belongs to an unsanctioned app and is not protected, by the matcher that all others use."""
    world = made(
        app("bad", *sorted(bad)), others=(app("good", *sorted(good - bad)),), protected=tuple(sorted(protected))
    )
    of = blocked(world)
    owner = world.index.match(host)
    covered = any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in world.protected)
    may = owner is not None and owner.owner == "bad" and not covered
    domains = write("domains", of).text.split()
    assert may or not any(host == each or (each.startswith("*.") and host.endswith(each[1:])) for each in domains)
    nobodys = owner is None and not covered  # formats without wildcards, and those that take names below along
    listed = [line.split()[1] for line in write("hosts", of).text.splitlines()]
    assert may or nobodys or host not in listed
    zscaler = write("zscaler", of).text.split()
    assert may or not any(host == each or (each.startswith(".") and host.endswith(each)) for each in zscaler)
    suffixes = feed(FEEDS[1], of).text.split()
    assert may or nobodys or not any(host == each or host.endswith(f".{each}") for each in suffixes)
    coat = [line.split() for line in write("blue-coat", of).text.splitlines() if line.endswith(" deny")]
    assert may or nobodys or not any(denied(host, words[:-1]) for words in coat)


def denied(host: str, words: list[str]) -> bool:
    """A rule of the Content Policy Language: all its conditions hold."""
    for word in words:
        trigger, _, value = word.partition("=")
        name = value.removeprefix("!")
        holds = host == name or (trigger == "url.domain" and host.endswith(f".{name}"))
        if holds is value.startswith("!"):
            return False
    return True
