"""Password protection that shows from outside."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import olefile  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.inspection.encrypted import archive, legacy_office

RAR5 = b"Rar!\x1a\x07\x01\x00"
RAR4 = b"Rar!\x1a\x07\x00"
RAR = "application/vnd.rar"
SEVEN = "application/x-7z-compressed"


def seven_zip(header: bytes) -> bytes:
    """Signature, version, checksums, then where the header is (7zFormat.txt)."""
    return b"7z\xbc\xaf\x27\x1c\x00\x04" + struct.pack("<IQQI", 0, 10, len(header), 0) + bytes(10) + header


@pytest.mark.parametrize(
    ("body", "media_type", "locked"),
    [
        pytest.param(RAR5 + bytes(4) + b"\x21\x04" + bytes(40), RAR, True, id="RAR 5, encryption header"),
        pytest.param(RAR5 + bytes(4) + b"\x8b\x01\x04" + bytes(40), RAR, True, id="RAR 5, long size"),
        pytest.param(RAR5 + bytes(4) + b"\x0b\x01" + bytes(40), RAR, False, id="RAR 5, main header"),
        pytest.param(RAR4 + bytes(2) + b"\x73\x80\x00", RAR, True, id="RAR 4"),
        pytest.param(RAR4 + bytes(2) + b"\x73\x00\x00", RAR, False, id="RAR 4, open"),
        pytest.param(RAR4, RAR, False, id="RAR, cut"),
        pytest.param(seven_zip(b"..\x06\xf1\x07\x01.."), SEVEN, True, id="7z, AES"),
        pytest.param(seven_zip(b"..\x21\x01.."), SEVEN, False, id="7z, LZMA2"),
        pytest.param(seven_zip(b"\x06\xf1\x07\x01")[:-3], SEVEN, False, id="7z, cut"),
        pytest.param(b"\x06\xf1\x07\x01" * 9, "text/plain", False, id="another type"),
    ],
)
def test_archive(body: bytes, media_type: str, locked: bool) -> None:
    assert archive(io.BytesIO(body), len(body), media_type) == locked


@pytest.mark.parametrize("kind", ["doc", "xls", "ppt"])
@pytest.mark.parametrize(("name", "locked"), [("old", False), ("locked", True)])
def test_legacy_office(kind: str, name: str, locked: bool, files: Mapping[str, bytes]) -> None:
    with olefile.OleFileIO(io.BytesIO(files[f"{name}.{kind}"])) as container:
        assert legacy_office(container) == locked


@given(st.sampled_from([RAR4, RAR5, b"7z\xbc\xaf\x27\x1c"]), st.binary(max_size=80), st.sampled_from([RAR, SEVEN]))
def test_any_bytes_are_locked_or_not(start: bytes, rest: bytes, media_type: str) -> None:
    assert archive(io.BytesIO(start + rest), len(start + rest), media_type) in (True, False)
