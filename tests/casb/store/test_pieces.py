import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import StoreError
from casb.store.pieces import Joined, Pieces, join

KEY = bytes(range(32))


@pytest.mark.parametrize(
    ("pieces", "numbered", "joined", "why"),
    [
        ([], False, Joined(body=b"", size=0, count=0), "nothing"),
        ([(2, b"cd"), (0, b"ab")], False, Joined(body=b"abcd", size=4, count=2), "in any order"),
        ([(0, b"ab"), (1, b"bc")], False, Joined(body=b"abc", size=3, count=2), "a resumed upload overlaps"),
        ([(0, b"ab"), (1, b"xc")], False, Joined(body=b"abc", size=3, count=2, conflict=True), "with other bytes"),
        ([(0, b"ab"), (3, b"d")], False, Joined(body=b"ab", size=2, count=2, gap=True), "a hole"),
        ([(1, b"ab")], False, Joined(body=b"", size=0, count=1, gap=True), "no beginning"),
        ([(2, b"b"), (1, b"a")], True, Joined(body=b"ab", size=2, count=2), "by number"),
        ([(1, b"a"), (3, b"c")], True, Joined(body=b"a", size=2, count=2, gap=True), "a number is missing"),
        ([(1, b"a"), (1, b"b")], True, Joined(body=b"ab", size=2, count=2, conflict=True), "a number twice"),
    ],
)
def test_join(pieces: list[tuple[int, bytes]], numbered: bool, joined: Joined, why: str) -> None:
    assert join(pieces, numbered=numbered) == joined, why


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=6), st.randoms(use_true_random=False))
def test_however_a_file_is_cut(body: bytes, cuts: list[int], chance: object) -> None:
    edges = sorted({0, len(body), *(min(each, len(body)) for each in cuts)})
    pieces = [(start, body[start:end]) for start, end in itertools.pairwise(edges)]
    chance.shuffle(pieces)  # type: ignore[attr-defined]
    joined = join(pieces, numbered=False)
    assert (joined.body, joined.gap, joined.conflict) == (body, False, False)


def test_pieces_are_kept_for_whoever_comes_next(tmp_path: Path) -> None:
    one, other = Pieces(tmp_path), Pieces(tmp_path)
    assert one.add("t1", KEY, 0, b"secret words", 0)
    assert other.add("t1", KEY, 12, b" and more", 0)
    assert other.add("t1", KEY, 12, b" and more", 0), "sent again"
    assert one.read("t1", KEY) == [(0, b"secret words"), (12, b" and more")]
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.piece"))
    assert one.size("t1") > 20
    one.mark("t1", "refused", b"why")
    one.forget("t1")
    assert (other.read("t1", KEY), other.marked("t1", "refused"), other.marked("t1", "done")) == ([], b"why", None)


def test_pieces_without_a_place_stay_in_order(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    for data in (b"c", b"a", b"b", b"a"):
        pieces.add("t1", KEY, None, data, 0)
    assert [data for _, data in pieces.read("t1", KEY)] == [b"c", b"a", b"b"]


def test_there_is_an_end_to_it(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path, room=100, age=50)
    assert pieces.add("t1", KEY, 0, bytes(90), 0)
    assert not pieces.add("t2", KEY, 0, bytes(20), 1)
    import os

    os.utime(tmp_path / "t1", (0, 0))
    assert pieces.add("t2", KEY, 0, bytes(20), 1000), "what nobody went on with is gone"
    assert not (tmp_path / "t1").exists()


def test_what_was_changed_is_not_read(tmp_path: Path) -> None:
    pieces = Pieces(tmp_path)
    pieces.add("t1", KEY, 0, b"words", 0)
    path = next(tmp_path.rglob("*.piece"))
    path.rename(path.with_name(path.name.replace("0-", "5-", 1)))
    with pytest.raises(StoreError):
        pieces.read("t1", KEY)


@pytest.mark.parametrize("name", ["", "../x", "a/b"])
def test_only_ids_are_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="id"):
        Pieces(tmp_path).size(name)
