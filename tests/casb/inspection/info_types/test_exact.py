from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.info_types import InfoType, Pattern, Spec, compile_types, search
from casb.inspection.info_types.exact import Rows, digest, packed, plain, unpacked

KEY = b"k" * 32
TABLE = [
    {"number": "S-100-01", "name": "Ada Lovelace", "city": "London"},
    {"number": "S-100-02", "name": "Grace Hopper", "city": ""},
    {"number": "", "name": "Nobody", "city": "Nowhere"},
]


def listed() -> bytes:
    return packed(TABLE, primary="number", supporting=["name", "city"], key=KEY)


@pytest.mark.parametrize(
    ("needed", "value", "before", "after", "found"),
    [
        (0, "s100 01", "", "", True),
        (0, "S-100-03", "", "", False),
        (1, "S-100-01", "for ada  LOVELACE:", "", True),
        (1, "S-100-01", "", "in London", True),
        (1, "S-100-01", "for Grace Hopper", "in Paris", False),
        (2, "S-100-01", "Ada Lovelace", "London", True),
        (2, "S-100-01", "Ada Lovelace", "Paris", False),
        (2, "S-100-02", "Grace Hopper", "", True),  # all that the row has
    ],
)
def test_a_row_is_known(needed: int, value: str, before: str, after: str, found: bool) -> None:
    assert Rows(unpacked(listed(), KEY, needed)).match(value, before, after) is found


def test_no_cell_is_in_the_list() -> None:
    data = listed()
    assert len(unpacked(data, KEY, 0).records) == 2 * 3 * 8
    assert not any(word in data for word in (b"Ada", b"S-100", b"s10001", b"London"))
    assert digest(KEY, "primary", "x") != digest(b"j" * 32, "primary", "x")


def test_another_key_and_other_files_are_refused() -> None:
    for data, key, code in ((listed(), b"other" * 8, "F206"), (b"nonsense", KEY, "F205"), (listed()[:-3], KEY, "F205")):
        with pytest.raises(ContentError) as caught:
            unpacked(data, key, 0)
        assert caught.value.code == code


def test_a_column_that_is_not_there() -> None:
    with pytest.raises(ContentError) as caught:
        packed(TABLE, primary="ssn", supporting=[], key=KEY)
    assert caught.value.code == "F204"


@given(st.binary(max_size=80))
def test_any_file_is_a_list_or_refused(data: bytes) -> None:
    for prefix in (b"", b"casb exact match 1\n", listed()[:40]):
        with pytest.raises(ContentError):
            unpacked(prefix + data + b"!", KEY, 1)


def test_it_finds_in_a_text() -> None:
    about = InfoType(
        id="staff",
        name="",
        patterns=(Pattern(expression="S-[0-9]{3}-[0-9]{2}"),),
        exact=unpacked(listed(), KEY, 1),
    )
    for engine in ("hyperscan", "plain"):
        matcher = compile_types(Spec(types=(about,)), engine)
        assert [each.total for each in search(matcher, "S-100-01 is Ada Lovelace, S-555-55 is not. S-100-02")] == [1]


def test_spelling_makes_no_difference() -> None:
    assert plain(" \uff21da-Lovelace ") == "adalovelace"
