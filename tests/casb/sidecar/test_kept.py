"""Answers that are kept: never wrong about what must hold, never slow twice for what may lag."""

from __future__ import annotations

import threading
import time

import pytest

from casb.sidecar import kept
from casb.sidecar.kept import Kept


def test_an_answer_is_made_once_while_nothing_changes() -> None:
    made: list[int] = []
    store = Kept()
    for _ in range(3):
        assert store.get("a", 1, 1, lambda: made.append(1) or len(made)) == 1
    assert len(store) == 1


def test_what_was_quick_is_never_old() -> None:
    store = Kept()
    assert store.get("a", 1, 1, lambda: "old") == "old"
    assert store.get("a", 1, 2, lambda: "new") == "new"


def test_what_was_slow_is_given_out_once_more_unless_it_must_be_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SLOW", 0.0)
    store, gate = Kept(), threading.Event()
    assert store.get("a", 1, 1, lambda: "old") == "old"

    def slow() -> str:
        gate.wait(10)
        return "new"

    assert store.get("a", 1, 2, slow) == "old"
    gate.set()
    until = time.monotonic() + 10
    while store.get("a", 1, 2, slow) != "new":
        assert time.monotonic() < until
        time.sleep(0.01)
    assert store.get("a", 2, 2, lambda: "newest") == "newest", "a changed catalog is seen at once"


def test_a_failure_leaves_the_older_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "SLOW", 0.0)
    store, tried = Kept(), threading.Event()
    assert store.get("a", 1, 1, lambda: "old") == "old"

    def broken() -> str:
        tried.set()
        raise RuntimeError

    assert store.get("a", 1, 2, broken) == "old"
    assert tried.wait(10)
    assert store.get("a", 1, 1, lambda: "never") == "old"


def test_it_is_bounded() -> None:
    store = Kept(most=2)
    for key in range(5):
        store.get(key, 0, 0, lambda: 0)
    assert len(store) == 2
