"""Discovery policies as written: every error with its place, what is read, and what matches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.control.discovery_words import words
from casb.discovery import detections
from casb.discovery.facts import AppFacts
from casb.discovery.policies import FIELDS, Daily, DiscoveryPolicy, Words, load, matches
from casb.discovery.query import AppUsage, Condition, Scales
from casb.errors import Problems
from casb.settings import Settings

SCALES = Scales(factors=frozenset({"soc_2", "hipaa", "pci"}), enums={"pci": ("not_supported", "1", "2", "3.2.1", "4")})
WORDS = Words(categories=("cloud_storage", "crm", "generative_ai"), scales=SCALES)
DAY = date(2026, 3, 2)


def written(**facts: str) -> bytes:
    lines = "".join(f"    {name}: {value}\n" for name, value in facts.items())
    return f"version: 1\npolicies:\n  - id: p\n    kind: discovery\n{lines}".encode()


def read(**facts: str) -> DiscoveryPolicy:
    return load({"p.yaml": written(**facts)}, WORDS)[0]


def told(text: bytes) -> list[str]:
    with pytest.raises(Problems) as raised:
        load({"p.yaml": text}, WORDS)
    return [str(each) for each in raised.value.errors]


def row(field: str, op: str, *values: Any) -> Condition:
    return Condition(field=field, op=op, values=values)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{}", ()),
        ("{category: crm}", (row("category", "equals", "crm"),)),
        ("{category: [crm, cloud_storage]}", (row("category", "equals", "crm", "cloud_storage"),)),
        ("{tag: {not: [sanctioned, Mine]}}", (row("tag", "not_equals", "sanctioned", "Mine"),)),
        ("{domain: {contains: share}}", (row("app", "contains", "share"),)),
        ("{score: {below: 6}}", (row("score", "lt", 6),)),
        ("{score: {at_least: 2, at_most: 5.5}}", (row("score", "ge", 2), row("score", "le", 5.5))),
        ("{score: 4}", (row("score", "ge", 4), row("score", "le", 4))),
        ("{factors: {soc_2: {not: true}, hipaa: false}}", (row("factor.soc_2", "not_equals", True), row("factor.hipaa", "equals", False))),
        ("{factors: {pci: {at_least: 3.2.1}}}", (row("factor.pci", "at_least", "3.2.1"),)),
        ("{factors: {pci: {known: false}}}", (row("factor.pci", "unknown"),)),
        ("{risk: high, app: dropbox}", (row("risk", "equals", "high"), row("app", "equals", "dropbox"))),
    ],
)  # fmt: skip
def test_what_when_says(when: str, expected: tuple[Condition, ...]) -> None:
    assert read(when=when).conditions == expected


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({"when": "{colour: red}"}, "p.yaml:5:12: P013 unknown key 'colour'"),
        ({"when": "{categry: crm}"}, "p.yaml:5:12: P013 unknown key 'categry'; did you mean 'category'?"),
        ({"when": "{category: crmm}"}, "p.yaml:5:22: P011 unknown category 'crmm'; did you mean 'crm'?"),
        ({"when": "{category: [crm, 5]}"}, "p.yaml:5:22: P012"),
        ({"when": "{category: []}"}, "p.yaml:5:22: P037"),
        ({"when": "{tag: {is: x}}"}, "p.yaml:5:18: P013 unknown key 'is'"),
        ({"when": "{risk: severe}"}, "p.yaml:5:18: P011 unknown risk 'severe'"),
        ({"when": "{score: {under: 6}}"}, "p.yaml:5:20: P013 unknown key 'under'"),
        ({"when": "{score: {below: 11}}"}, "p.yaml:5:27: P017 a score is a number from 0 to 10"),
        ({"when": "{score: high}"}, "P017 a score is a number"),
        ({"when": "{factors: {soc2: true}}"}, "p.yaml:5:22: P013 there is no risk factor 'soc2'; did you mean 'soc_2'?"),
        ({"when": "{factors: {pci: '9'}}"}, "P011 'pci' is never '9'"),
        ({"when": "{factors: soc_2}"}, "p.yaml:5:21: P012 'factors' is a mapping"),
        ({"when": "{factors: {soc_2: {known: maybe}}}"}, "P012 'known' is true or false"),
        ({"when": "{factors: {soc_2: {like: x}}}"}, "P013 unknown key 'like'"),
        ({"when": "{factors: {soc_2: []}}"}, "P037"),
        ({"when": "[crm]"}, "p.yaml:5:11: P012 'when' is a mapping"),
        ({"daily": "{traffic: 50 megs}"}, "p.yaml:5:22: P017 '50 megs' is not a size"),
        ({"daily": "{users: -1}"}, "p.yaml:5:20: P017 -1 is no number of users"),
        ({"daily": "{useres: 1}"}, "P013 unknown key 'useres'; did you mean 'users'?"),
        ({"tag": "[sanctioned, monitored]"}, "p.yaml:5:10: P017 'sanctioned' and 'monitored' exclude each other"),
        ({"tag": "'a;b'"}, "p.yaml:5:10: P017 'a;b' cannot be a tag"),
        ({"alert": "false"}, "p.yaml:5:12: P037 the policy does nothing"),
        ({"alert": "{daily_limit: 0}"}, "P017 the daily limit"),
        ({"severity": "grave"}, "p.yaml:5:15: P0"),
        ({"action": "block"}, "p.yaml:5:5: P013 unknown key 'action'"),
        ({"apps": "[files]"}, "p.yaml:5:5: P013 unknown key 'apps'"),
    ],
)  # fmt: skip
def test_each_error_has_its_place(facts: Mapping[str, str], error: str) -> None:
    assert any(line.startswith(error) or error in line for line in told(written(**facts))), told(written(**facts))


def test_all_errors_of_all_files_at_once_and_other_kinds_left_alone() -> None:
    other = b"version: 1\npolicies:\n  - {id: a, action: nonsense}\n  - {id: B!, kind: discovery}\n"
    with pytest.raises(Problems) as raised:
        load({"b.yaml": written(when="{x: 1}"), "a.yaml": other}, WORDS)
    assert [str(each).split(" ")[:2] for each in raised.value.errors] == [
        ["a.yaml:4:10:", "P038"],
        ["b.yaml:5:12:", "P013"],
    ]
    assert load({"a.yaml": b"version: 1\npolicies: [{id: a, action: nonsense}]\n"}, WORDS) == ()
    with pytest.raises(Problems, match="P030"):
        load({"a.yaml": written(), "b.yaml": written()}, WORDS)


def test_defaults_and_what_is_written() -> None:
    plain = read()
    assert (plain.alert, plain.daily_limit, plain.streams, plain.tags, plain.thresholds) == (True, 5, None, (), {})
    assert (plain.where.file, plain.where.line, plain.name) == ("p.yaml", 3, "p")
    full = read(
        alert="{severity: low, daily_limit: 9, email: [soc@contoso.example]}",
        streams="[HQ, branch]",
        tag="Unsanctioned",
        daily="{traffic: 1KB, downloads: 2KB, uploads: 3KB, transactions: 4, users: 5, ips: 6}",
        severity="high",
        enabled="false",
    )
    assert (full.alert_severity, full.daily_limit, full.email) == ("low", 9, ("soc@contoso.example",))
    assert (full.streams, full.tags, full.enabled) == (("HQ", "branch"), ("unsanctioned",), False)
    assert full.thresholds == {
        "traffic": 1024,
        "downloads": 2048,
        "uploads": 3072,
        "transactions": 4,
        "users": 5,
        "ips": 6,
    }


def usage(ident: str = "box", **facts: Any) -> AppUsage:
    known = AppFacts(id=ident, name=ident, category="crm", score=facts.pop("score", 5.0), tag=facts.pop("tag", "none"))
    at = datetime(2026, 3, 2, tzinfo=UTC)
    sums = {
        name: facts.get(name, 10) for name in ("events", "blocked", "up", "down", "total", "users", "ips", "devices")
    }
    return AppUsage(facts=known, first=at, last=at, **sums)


@pytest.mark.parametrize(
    ("facts", "app", "expected"),
    [
        ({"daily": "{users: 9}"}, {}, 1),
        ({"daily": "{users: 10}"}, {}, 0),
        ({"daily": "{users: 9, uploads: 10B}"}, {}, 0),
        ({"daily": "{uploads: 9B, downloads: 9B, traffic: 9B, transactions: 9, ips: 9}"}, {}, 1),
        ({"when": "{score: {below: 6}}"}, {"score": None}, 0),
        ({"when": "{score: {below: 6}}"}, {"score": 5.9}, 1),
        ({"when": "{tag: {not: sanctioned}}"}, {"tag": "sanctioned"}, 0),
        ({"when": "{factors: {soc_2: {not: true}}}"}, {}, 1),
        ({"when": "{factors: {soc_2: true}}"}, {}, 0),
        ({"when": "{category: cloud_storage}"}, {}, 0),
    ],
)
def test_what_matches(facts: Mapping[str, str], app: Mapping[str, Any], expected: int) -> None:
    assert len(matches(read(**facts), [(DAY, usage(**app))], SCALES)) == expected


def test_an_app_matches_once_on_its_first_day() -> None:
    later = date(2026, 3, 5)
    found = matches(read(daily="{users: 9}"), [(later, usage()), (DAY, usage()), (DAY, usage("a", users=20))], SCALES)
    assert [(each.usage.facts.id, each.day) for each in found] == [("a", DAY), ("box", DAY)]


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_told(text: str) -> None:
    whole = f"version: 1\npolicies:\n  - id: p\n    kind: discovery\n    when: {text}\n"
    for given_text in (text, whole):
        try:
            load({"p.yaml": given_text.encode("utf-8", "replace")}, WORDS)
        except Problems as problems:
            assert problems.errors


def test_the_example_of_the_manual_loads_and_the_manual_names_every_word() -> None:
    manual = (Path(__file__).parents[3] / "policies" / "README.md").read_text()
    found = re.search(r"```\n(policies:\n  - id: risky-storage\n.*?)```", manual, re.DOTALL)
    assert found
    text = f"version: 1\n{found[1]}"
    assert load({"README.md": text.encode()}, words())[0].tags == ("monitored", "Review")
    chapter = manual.partition("## Discovery policies")[2].partition("\n## ")[0]
    for word in (*FIELDS, *(each.name for each in fields(Daily)), *detections.NAMES):
        assert f"`{word}`" in chapter, word


def test_the_settings_know_every_detection() -> None:
    assert set(Settings(suffix="casb.example").discovery.detections) == set(detections.NAMES)
