"""AES ZIP, as 7-Zip sees it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.protection.zip_aes import ZipProtecting, file_id

FILE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("size", [0, 1, 65_536, 300_000])
def test_seven_zip_opens_it(size: int, tmp_path: Path) -> None:
    body = os.urandom(size)
    making = ZipProtecting("a.bin.zip", "a.bin", FILE, "secret")
    out = b"".join(making.update(body[at : at + 50_000]) for at in range(0, size, 50_000)) + making.finish()
    path = tmp_path / "a.zip"
    path.write_bytes(out)
    assert subprocess.run(["7z", "x", "-so", "-psecret", path], capture_output=True, check=True).stdout == body
    wrong = subprocess.run(["7z", "t", "-pwrong", path], capture_output=True, check=False)
    assert wrong.returncode != 0
    assert file_id(out[-200:]) == FILE


@given(st.binary(max_size=200))
def test_any_tail_has_an_id_or_none(data: bytes) -> None:
    for tail in (data, b"PK\x05\x06" + bytes(18) + data):
        assert file_id(tail) is None or tail.find(b"casb ") >= 0
