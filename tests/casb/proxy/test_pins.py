"""The book of pinned digests: shared by workers, kept across restarts, bounded, harmless when it cannot be written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from casb.proxy import pins
from casb.proxy.pins import Pins

BODY = b"go()"


def test_another_worker_knows_at_once(tmp_path: Path) -> None:
    one, two = Pins(tmp_path / "pins"), Pins(tmp_path / "pins")
    assert not two and not two.has(BODY)
    one.note({hashlib.sha384(BODY).digest()})
    assert two and two.has(BODY) and not two.has(b"stop()")
    two.note({hashlib.sha256(b"stop()").digest(), hashlib.sha384(BODY).digest()})
    assert one.has(b"stop()")
    assert Pins(tmp_path / "pins").has(BODY), "after a restart"


def test_nonsense_in_the_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pins").write_bytes(b"zz\nabcd\n\xff\n" + hashlib.sha512(BODY).hexdigest().encode() + b"\nhalf a li")
    assert Pins(tmp_path / "pins").has(BODY)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    book = Pins(tmp_path / "nowhere" / "pins")
    book.note({hashlib.sha256(BODY).digest()})
    assert book.has(BODY)


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "_MOST", 10)
    book = Pins(tmp_path / "pins")
    for number in range(100):
        book.note({hashlib.sha256(b"%d" % number).digest()})
    assert (tmp_path / "pins").stat().st_size <= 65 * 11
    assert book.has(b"99")
