"""A file in pieces is the file: every line once, each piece with its header."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.store.discovery_pieces import opened, pieces


def lines(path: Path, size: int, header: int) -> list[list[bytes]]:
    found = []
    for piece in pieces(path, size, lambda head: header + 1):
        with opened(piece) as stream:
            found.append(stream.read().splitlines(keepends=True))
    return found


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=30).map(lambda each: each.replace(b"\n", b" ")), min_size=1), st.integers(1, 60))
def test_every_line_is_in_one_piece(tmp_path_factory: pytest.TempPathFactory, rows: list[bytes], size: int) -> None:
    path = tmp_path_factory.mktemp("pieces") / "log"
    content = b"header\n" + b"".join(row + b"\n" for row in rows)
    path.write_bytes(content)
    found = lines(path, size, 1)
    assert all(piece[0] == b"header\n" for piece in found if piece)
    body = b"".join(b"".join(piece[1:]) for piece in found)
    assert b"header\n" + body == content


def test_fields_that_change_go_with_what_follows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"#Fields: a b\n" + b"1 2\n" * 50 + b"#Fields: b a\n" + b"2 1\n" * 50)
    found = lines(path, 100, 1)
    assert len(found) > 3
    assert b"#Fields: b a\n" in found[-1][:2] and b"#Fields: b a\n" not in found[1]


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(b"x\n" * 10_000_000),
        "a\n".encode("utf-16") * 5000,
        b"[" + b'{"a": 1},\n' * 5000,
        b"<?xml version='1.0'?>\n" + b"<a/>\n" * 5000,
        b'{\n "a": 1\n}\n' * 5000,
    ],
)
def test_what_is_no_plain_lines_stays_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    (piece,) = pieces(path, 1000, lambda head: 1)
    assert piece.whole


def test_progress_is_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"line\n" * 1000)
    told: list[int] = []
    for piece in pieces(path, 1000, lambda head: 1):
        with opened(piece, told.append) as stream:
            stream.read()
    assert sum(told) == 5000
