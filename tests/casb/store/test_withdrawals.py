from datetime import UTC, datetime
from pathlib import Path

import pytest

from casb.store.withdrawals import FILE, Withdrawal, digests, read, write

ONE = Withdrawal(policy="p", digest="d1", since=datetime(2026, 1, 1, tzinfo=UTC), why="it refused 4")


def test_there_and_back(tmp_path: Path) -> None:
    write(tmp_path, [ONE])
    assert read(tmp_path) == (ONE,)
    assert digests(tmp_path) == ("d1",)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"withdrawn": [{}]}', b'{"withdrawn": 3}', b"\xff"])
def test_a_file_that_cannot_be_read_withdraws_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert read(tmp_path) == (), "enforced as written: a broken file must not loosen anything"
