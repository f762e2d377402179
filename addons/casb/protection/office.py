"""OOXML encryption as office programs do it: agile, AES-256, SHA-512, 100,000 rounds, integrity checked (MS-OFFCRYPTO).

The whole file is in memory about three times, so this runs in a worker with limits. What is given out has been
decrypted again and compared: files of less than 4 KiB come out of msoffcrypto unreadable (its issue 105), and are
padded with a part that nothing refers to.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import msoffcrypto
import olefile  # type: ignore[import-untyped]  # ships no types
from msoffcrypto.exceptions import DecryptionError, FileFormatError, InvalidKeyError, ParseError
from msoffcrypto.format.ooxml import OOXMLFile

from casb.errors import ContentError

PADDED_BELOW = 8 * 1024
_PADDING = 4 * 1024
_PADDING_PART = "docMetadata/padding.xml"


def encrypt_ooxml(data: bytes, password: str) -> bytes:
    """An OOXML package that opens with the password. Raises `ContentError`: F103 when it is encrypted already, F101
    when it is no package, F011 when the result does not open again."""
    if data[:8] == olefile.MAGIC:
        raise ContentError("F103", "the file is encrypted already, or of an older kind")
    plain = _padded(data) if len(data) < PADDED_BELOW else data
    target = io.BytesIO()
    try:
        OOXMLFile(io.BytesIO(plain)).encrypt(password, target)
    except (FileFormatError, ParseError, zipfile.BadZipFile, ValueError, KeyError, struct.error, OSError) as error:
        raise ContentError("F101", "this is no office package") from error
    sealed = target.getvalue()
    if decrypt_ooxml(sealed, password) != plain:
        raise ContentError("F011", "the encrypted file does not open again")
    return sealed


def decrypt_ooxml(sealed: bytes, password: str) -> bytes:
    """The package again, its integrity checked. Raises `ContentError` F011."""
    target = io.BytesIO()
    try:
        file = msoffcrypto.OfficeFile(io.BytesIO(sealed))
        file.load_key(password=password)  # the integrity check tells a wrong one, at a third of the cost
        file.decrypt(target, verify_integrity=True)
    except (
        FileFormatError,
        InvalidKeyError,
        DecryptionError,
        ParseError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        struct.error,
        OSError,
    ) as error:
        raise ContentError("F011", "the encrypted file does not open with this password") from error
    return target.getvalue()


def _padded(data: bytes) -> bytes:
    """With one stored part more. The rest stays as it is, byte for byte, up to the directory."""
    target = io.BytesIO(data)
    try:
        with zipfile.ZipFile(target, "a", zipfile.ZIP_STORED) as archive:
            if _PADDING_PART not in archive.namelist():
                info = zipfile.ZipInfo(_PADDING_PART, (1980, 1, 1, 0, 0, 0))
                archive.writestr(info, b'<?xml version="1.0"?><padding>' + b" " * _PADDING + b"</padding>")
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, zlib.error) as error:
        raise ContentError("F101", "this is no office package") from error
    return target.getvalue()
