"""Names in logs to people, however a log spells them; and who is left out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.discovery.people import People, Person, from_mapping, from_rows, spellings

PEOPLE = People(
    [
        Person(upn="ada@contoso.example", names=("ada",), groups=frozenset({"Finance"})),
        Person(upn="bob@contoso.example", names=("bob", "twice")),
        Person(upn="eve@contoso.example", names=("twice",)),
    ]
)


@pytest.mark.parametrize(
    ("name", "upn"),
    [
        ("ada", "ada@contoso.example"),
        ("ADA@Contoso.Example", "ada@contoso.example"),
        ("CONTOSO\\Ada", "ada@contoso.example"),
        ("ada@CORP.LOCAL", "ada@contoso.example"),
        ("LDAP://dc1/CN=ada,OU=people", "ada@contoso.example"),
        ("contoso/bob", "bob@contoso.example"),
        ("twice", None),
        ("nobody", None),
        ("", None),
    ],
)
def test_spellings(name: str, upn: str | None) -> None:
    found = PEOPLE.find(name)
    assert (found.upn if found else None) == upn


def test_rows_and_mappings_say_the_same() -> None:
    rows = from_rows(
        [
            {"name": "ada", "upn": "ada@x.example", "groups": "A; B"},
            {"name": "ada2", "upn": "ada@x.example", "groups": None},
        ]
    )
    (mapped,) = from_mapping({"ada": {"upn": "ada@x.example", "groups": ["A", "B"], "names": ["ada2"]}})
    assert rows == [mapped]
    assert People(rows).groups == frozenset({"A", "B"})


@pytest.mark.parametrize("rows", [[{"name": "a"}], [{"upn": ""}]])
def test_a_row_without_a_upn_is_told(rows: list[dict[str, str | None]]) -> None:
    with pytest.raises(ValueError, match="upn"):
        from_rows(rows)


@pytest.mark.parametrize("entry", [{"upn": 5}, {"groups": "A"}, {"names": 7}])
def test_a_mapping_of_another_shape_is_told(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="needs"):
        from_mapping({"ada": entry})


@given(st.text(max_size=40))
def test_any_name_has_spellings_without_repeats(name: str) -> None:
    found = spellings(name)
    assert len(set(found)) == len(found)
    PEOPLE.find(name)
