"""JSON documents among the lines."""

from __future__ import annotations

import json

import pytest

from casb.discovery.documents import BRACKET, FURTHER, unfolded
from casb.model.discovery import Skipped

ONE, TWO = {"a": 1, "b": {"c": 2}}, {"a": 3, "text": "with { and } and [ in it"}


def read(text: str) -> list[object]:
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    out: list[object] = []
    for each in unfolded(iter(lines)):
        if isinstance(each, Skipped):
            out.append(each)
        elif each[1].startswith("{"):
            out.append((each[0], json.loads(each[1].rstrip(","))))
        else:
            out.append(each)
    return out


def test_other_lines_pass() -> None:
    assert read("a b c\n[06/May/2024] x\n] y") == [(1, "a b c"), (2, "[06/May/2024] x"), (3, "] y")]


def test_one_object_a_line_passes() -> None:
    assert read(json.dumps(ONE) + "\n" + json.dumps(TWO)) == [(1, ONE), (2, TWO)]


def test_a_list_in_a_line() -> None:
    assert read(json.dumps([ONE, TWO])) == [(1, ONE), (1, TWO)]


@pytest.mark.parametrize("key", ["records", "Records", "value", "events", "data", "results"])
def test_an_object_that_is_only_an_envelope(key: str) -> None:
    assert read(json.dumps({key: [ONE, TWO]})) == [(1, ONE), (1, TWO)]
    assert read(json.dumps({"count": 2, key: [ONE, TWO]})) == [(1, ONE), (1, TWO)]


def test_records_over_several_lines() -> None:
    text = json.dumps(ONE, indent=1) + "\n" + json.dumps(TWO, indent=1)
    outcomes = read(text)
    assert [each for each in outcomes if not isinstance(each, Skipped)] == [(1, ONE), (7, TWO)]
    assert {each.why for each in outcomes if isinstance(each, Skipped)} == {FURTHER}
    assert len(outcomes) == len(text.split("\n"))


def test_a_list_with_a_record_a_line() -> None:
    text = "[\n" + json.dumps(ONE) + ",\n" + json.dumps(TWO) + "\n]"
    assert read(text) == [Skipped(line=1, why=BRACKET), (2, ONE), (3, TWO), Skipped(line=4, why=BRACKET)]


def test_a_record_that_never_ends_is_given_as_it_came() -> None:
    lines = [(1, "{"), (2, '"a": {'), (3, "and on")]
    assert list(unfolded(iter(lines))) == lines
