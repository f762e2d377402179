from __future__ import annotations

from collections import defaultdict

import pytest

from casb.inspection.info_types.markers import BLOCK, EDGE, Mark, Marks, make

CARD = Mark(f"{EDGE}(?:[0-9]{{16}}){EDGE}")
WORD = Mark(f"{EDGE}(?:visa){EDGE}", True, "visa", part=True)


@pytest.mark.parametrize("engine", ["hyperscan", "plain"])
def test_the_blocks_of_what_is_there_are_marked(engine: str) -> None:
    marker = make([CARD, WORD], engine)
    text = b"\n" * 5000 + b" Visa 4111111111111111 " + b"\n" * 5000
    for size in (1, 1000, len(text)):
        marks: Marks = defaultdict(set)
        marking = marker.begin(marks)
        for at in range(0, len(text), size):
            marking.feed(text[at : at + size])
        marking.close()
        block = 5006 >> BLOCK
        assert {0, 1} <= marks[block]
        assert 1 not in marks[block + 3]


@pytest.mark.parametrize("engine", ["hyperscan", "plain"])
def test_without_marks_there_is_nothing_to_do(engine: str) -> None:
    marks: Marks = defaultdict(set)
    marking = make([], engine).begin(marks)
    marking.feed(b"visa 4111111111111111")
    marking.close()
    assert not any(marks.values())


def test_an_expression_that_is_too_large_is_marked_loosely() -> None:
    large = Mark(f"{EDGE}(?:(?:[a-z]{{1,200}}[0-9]{{1,200}}){{1,30}}x){EDGE}")
    marks: Marks = defaultdict(set)
    marking = make([large, WORD], "hyperscan").begin(marks)
    marking.feed(b" visa " + b"a1" * 20 + b"x ")
    marking.close()
    assert marks[0] == {0, 1}


def test_without_hyperscan_the_plain_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("casb.inspection.info_types.markers.importlib.import_module", gone)
    assert type(make([WORD])).__name__ == "_Plain"
    with pytest.raises(ImportError):
        make([WORD], "hyperscan")
