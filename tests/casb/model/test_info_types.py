from __future__ import annotations

from casb.inspection.info_types.shipped import shipped
from casb.model.info_types import CATEGORIES, MEMBERS


def test_the_names_are_those_that_are_shipped() -> None:
    assert {name: each.category for name, each in shipped().items()} == {
        name: category for category, names in MEMBERS.items() for name in names
    }
    assert set(MEMBERS) == set(CATEGORIES)
    assert not set(CATEGORIES) & set(shipped())
