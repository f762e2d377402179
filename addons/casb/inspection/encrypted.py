"""Whether a container is closed by a password, where its outside tells."""

from __future__ import annotations

from typing import BinaryIO

import olefile  # type: ignore[import-untyped]  # ships no types

_FILEPASS = 0x002F
_BOF = 0x0809
_PPT_ENCRYPTED = 0xF3D1C4DF
_SEVEN_ZIP_AES = b"\x06\xf1\x07\x01"
_SEVEN_ZIP_HEADER = 1024 * 1024


def legacy_office(container: olefile.OleFileIO) -> bool:
    """Of a doc, xls or ppt (MS-DOC 2.5.2 fEncrypted, MS-XLS 2.4.117 FilePass, MS-PPT 2.3.2 headerToken)."""
    if container.exists("WordDocument"):
        head = container.openstream("WordDocument").read(12)
        if len(head) == 12 and head[11] & 0x01:
            return True
    for name in ("Workbook", "Book"):
        if container.exists(name):
            head = container.openstream(name).read(4096)
            if _has_filepass(head):
                return True
    if container.exists("Current User"):
        head = container.openstream("Current User").read(16)
        return int.from_bytes(head[12:16], "little") == _PPT_ENCRYPTED
    return False


def archive(file: BinaryIO, size: int, media_type: str) -> bool:
    """Of a RAR 4, RAR 5 or 7z archive whose header says so; one that hides it inside looks open."""
    file.seek(0)
    head = file.read(64)
    if media_type == "application/vnd.rar":
        if head[:8] == b"Rar!\x1a\x07\x01\x00":
            return _rar5_header_type(head) == 4
        return len(head) > 11 and head[9] == 0x73 and bool(head[10] & 0x80)
    if media_type == "application/x-7z-compressed" and len(head) >= 32:
        offset, length = int.from_bytes(head[12:20], "little"), int.from_bytes(head[20:28], "little")
        if 32 + offset + length <= size:
            file.seek(32 + offset)
            return _SEVEN_ZIP_AES in file.read(min(length, _SEVEN_ZIP_HEADER))
    return False


def _has_filepass(head: bytes) -> bool:
    """FilePass comes right after the first BOF, give or take a record that cannot be encrypted."""
    at = 0
    for _ in range(8):
        kind, length = int.from_bytes(head[at : at + 2], "little"), int.from_bytes(head[at + 2 : at + 4], "little")
        if kind == _FILEPASS:
            return True
        if at == 0 and kind != _BOF:
            return False
        at += 4 + length
    return False


def _rar5_header_type(head: bytes) -> int:
    """After the signature: CRC32, then header size and type as variable-length integers."""
    at = 12
    while at < len(head) and head[at] & 0x80:
        at += 1
    return head[at + 1] if at + 1 < len(head) else 0
