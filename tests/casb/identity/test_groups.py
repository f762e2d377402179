from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ConfigError
from casb.identity.groups import EXTERNAL, in_scope, read_groups, with_groups
from casb.model.identity import User
from casb.settings import Scope, ScopeRule

CSV = b"group,member\nPilot,Ada@Contoso.example\nPilot, ben@contoso.example\nStaff,ada@contoso.example\n"
YAML = b"Pilot: [Ada@Contoso.example, ben@contoso.example]\nStaff: [ada@contoso.example]\n"


def person(name: str = "ada@contoso.example", *groups: str, known: bool = True, guest: bool = False) -> User:
    return User(
        id=f"tenant/{name}",
        name=name,
        domain=name.partition("@")[2],
        groups=frozenset(groups),
        groups_known=known,
        is_guest=guest,
    )


@pytest.mark.parametrize(
    ("data", "file"), [(CSV, "groups.csv"), (YAML, "groups.yaml"), (b"\xef\xbb\xbf" + CSV, "g.csv")]
)
def test_imported_groups_are_read(data: bytes, file: str) -> None:
    imported = read_groups(data, file)
    assert imported["ada@contoso.example"] == {"Pilot", "Staff"}
    assert imported["ben@contoso.example"] == {"Pilot"}


@pytest.mark.parametrize(
    ("data", "file", "words"),
    [
        (b"group,person\nA,b\n", "g.csv", "g.csv:1:1: I043 the head must name"),
        (b"group,member\nA\n", "g.csv", "g.csv:2:1: I043 the row is not as long"),
        (b"group,member\nA,b,c\n", "g.csv", "g.csv:2:1: I043 the row is not as long"),
        (b"group,member\n ,b\n", "g.csv", "g.csv:2:1: I043 a group or member is empty"),
        (b"group,member\nexternal users,b\n", "g.csv", "is built in"),
        (b"\xff\xfe", "g.csv", "not UTF-8"),
        (b"a: [", "g.yaml", "the YAML cannot be read"),
        (b"- a", "g.yaml", "must be a mapping"),
        (b"a: b", "g.yaml", "no list of members"),
        (b"a: [1]", "g.yaml", "is no name"),
    ],
)
def test_a_groups_file_that_is_wrong_says_where(data: bytes, file: str, words: str) -> None:
    with pytest.raises(ConfigError) as told:
        read_groups(data, file)
    assert told.value.code == "I043"
    assert words in str(told.value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["g.csv", "g.yaml"]))
def test_any_bytes_are_groups_or_the_one_error(data: bytes, file: str) -> None:
    try:
        read_groups(data, file)
    except ConfigError as error:
        assert error.code == "I043"


@pytest.mark.parametrize(
    ("user", "domains", "external"),
    [
        (person(), (), False),
        (person(), ("Contoso.example",), False),
        (person("eve@fabrikam.example"), ("contoso.example",), True),
        (person("nobody"), ("contoso.example",), True),
        (person("eve@fabrikam.example"), (), False),
        (person(guest=True), ("contoso.example",), True),
    ],
)
def test_guests_and_people_of_foreign_domains_are_external_users(
    user: User, domains: tuple[str, ...], external: bool
) -> None:
    assert (EXTERNAL in with_groups(user, imported=None, domains=domains).groups) is external


def test_imported_groups_are_added_by_name_and_by_id() -> None:
    imported = read_groups(b"group,member\nA,ada@contoso.example\nB,tenant/ada@contoso.example\nC,ben@x\n", "g.csv")
    found = with_groups(person("ada@contoso.example", "Own"), imported=imported)
    assert (found.groups, found.groups_known) == (frozenset({"Own", "A", "B"}), True)


def test_a_groups_file_that_cannot_be_read_leaves_groups_unknown() -> None:
    found = with_groups(person("ada@contoso.example", "Own"), imported=None, known=False)
    assert (found.groups, found.groups_known) == (frozenset({"Own"}), False)


# --- the table of session-control.md section 8.1: exclude G everywhere; include S for Microsoft 365, M for Power BI

TABLE = Scope(
    exclude=(ScopeRule(groups=("G",)),),
    include=(ScopeRule(groups=("S",), apps=("microsoft-365",)), ScopeRule(groups=("M",), apps=("power-bi",))),
    suites={"microsoft-365": ("exchange", "sharepoint", "power-bi")},
)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (("G", "S", "M"), set()),
        (("S",), {"exchange", "sharepoint", "salesforce"}),
        (("S", "M"), {"exchange", "sharepoint", "power-bi", "salesforce"}),
        (("M",), {"power-bi", "salesforce"}),
        ((), {"salesforce"}),
        (("G",), set()),
    ],
)
def test_the_scope_table(groups: tuple[str, ...], expected: set[str]) -> None:
    apps = ("exchange", "sharepoint", "power-bi", "salesforce")
    assert {each for each in apps if in_scope(TABLE, person("ada@contoso.example", *groups), each)} == expected


@pytest.mark.parametrize(
    ("scope", "user", "expected", "why"),
    [
        (Scope(), person(), True, "no rules"),
        (Scope(), None, True, "nobody signed in"),
        (TABLE, person(known=False), True, "an include rule might hold"),
        (Scope(exclude=(ScopeRule(groups=("G",)),)), person(known=False), True, "unknown groups exclude nobody"),
        (Scope(exclude=(ScopeRule(users=("Ada@contoso.example",)),)), person(), False, "excluded by name"),
        (Scope(include=(ScopeRule(users=("ben@contoso.example",)),)), person(), False, "others are out"),
        (Scope(include=(ScopeRule(groups=("s",)),)), person("a@b", "S"), True, "case does not matter"),
        (
            Scope(include=(ScopeRule(groups=("S",)), ScopeRule(groups=("M",), apps=("exchange",)))),
            person("a@b", "S"),
            True,
            "in everywhere",
        ),
        (Scope(exclude=(ScopeRule(groups=("S",), apps=("sales",)),)), person("a@b", "S"), True, "another app"),
    ],
)
def test_scope_rules(scope: Scope, user: User | None, expected: bool, why: str) -> None:
    assert in_scope(scope, user, "exchange") is expected, why
