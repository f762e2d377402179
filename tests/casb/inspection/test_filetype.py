"""Bytes to a media type, whatever the name says."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casb.inspection.filetype import HEAD, detect, detect_bytes, detect_head

OPENXML = "application/vnd.openxmlformats-officedocument."
PE = "application/vnd.microsoft.portable-executable"


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("plain.docx", OPENXML + "wordprocessingml.document"),
        ("macro.docm", "application/vnd.ms-word.document.macroenabled.12"),
        ("book.xlsx", OPENXML + "spreadsheetml.sheet"),
        ("show.pptx", OPENXML + "presentationml.presentation"),
        ("encrypted.xlsx", "application/encrypted"),
        ("notes.odt", "application/vnd.oasis.opendocument.text"),
        ("sheet.ods", "application/vnd.oasis.opendocument.spreadsheet"),
        ("app.jar", "application/java-archive"),
        ("some.zip", "application/zip"),
        ("empty.zip", "application/zip"),
        ("plain.pdf", "application/pdf"),
        ("locked.pdf", "application/pdf"),
        ("old.doc", "application/msword"),
        ("old.xls", "application/vnd.ms-excel"),
        ("old.ppt", "application/vnd.ms-powerpoint"),
        ("mail.msg", "application/vnd.ms-outlook"),
        ("some.gz", "application/gzip"),
        ("some.tar", "application/x-tar"),
    ],
)
def test_files(name: str, media_type: str, files: Mapping[str, bytes]) -> None:
    assert detect_bytes(files[name]) == media_type


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        pytest.param(b"", "application/x-empty", id="empty"),
        pytest.param(b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0", PE, id="Windows program"),
        pytest.param(b"MZ" + bytes(100), "application/x-msdos-program", id="DOS program"),
        pytest.param(b"\x7fELF" + bytes(60), "application/x-executable", id="ELF"),
        pytest.param(b"\xcf\xfa\xed\xfe" + bytes(60), "application/x-mach-binary", id="Mach-O"),
        pytest.param(b"\xca\xfe\xba\xbe\0\0\0\x02" + bytes(60), "application/x-mach-binary", id="fat Mach-O"),
        pytest.param(b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(60), "application/java-vm", id="Java class"),
        pytest.param(b"#!/bin/sh\necho hi\n", "text/x-shellscript", id="script"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png", id="PNG"),
        pytest.param(b"\xff\xd8\xff\xe0" + bytes(20), "image/jpeg", id="JPEG"),
        pytest.param(b"GIF89a" + bytes(20), "image/gif", id="GIF"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8 ", "image/webp", id="WebP"),
        pytest.param(b"\0\0\0\x18ftypheic" + bytes(20), "image/heic", id="HEIC"),
        pytest.param(b"\0\0\0\x18ftypisom" + bytes(20), "video/mp4", id="MP4"),
        pytest.param(b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + bytes(30), "image/bmp", id="BMP"),
        pytest.param(b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(30), "application/x-7z-compressed", id="7z"),
        pytest.param(b"Rar!\x1a\x07\x01\x00" + bytes(30), "application/vnd.rar", id="RAR"),
        pytest.param(bytes(0x8001) + b"CD001" + bytes(10), "application/x-iso9660-image", id="ISO 9660"),
        pytest.param(b"junk\n" * 20 + b"%PDF-1.4\n", "application/pdf", id="PDF behind junk"),
        pytest.param(b"{\\rtf1\\ansi hi}", "application/rtf", id="RTF"),
        pytest.param(b"age-encryption.org/v1\n-> a\n", "application/x-age-encryption", id="age"),
        pytest.param(b'{"a": 1}', "application/json", id="JSON"),
        pytest.param(b'{"a": 1', "text/plain", id="not quite JSON"),
        pytest.param(b"[" * 60000, "text/plain", id="deep brackets"),
        pytest.param(b'\n<!DOCTYPE html>\n<html lang="en">', "text/html", id="HTML"),
        pytest.param(b"<script>alert(1)</script>", "text/html", id="HTML without a head"),
        pytest.param(b'<?xml version="1.0"?><feed/>', "application/xml", id="XML"),
        pytest.param(b"<note><to>a</to></note>", "application/xml", id="XML without a declaration"),
        pytest.param(b'<?xml version="1.0"?><!-- x --><svg xmlns="a"/>', "image/svg+xml", id="SVG"),
        pytest.param(b"From: a@b.example\nTo: c@d.example\nSubject: x\n\nhi", "message/rfc822", id="mail"),
        pytest.param(b"To: do or not to do\n\nThat is it.\n", "text/plain", id="a memo is no mail"),
        pytest.param("Grüße\n".encode(), "text/plain", id="UTF-8"),
        pytest.param("Grüße\n".encode("latin-1"), "text/plain", id="Latin-1"),
        pytest.param("Grüße\n".encode("utf-16"), "text/plain", id="UTF-16"),
        pytest.param('\ufeff{"a": 1}'.encode(), "application/json", id="JSON behind a byte order mark"),
        pytest.param(b"a,b\n1,2\n", "text/plain", id="CSV has no signature"),
        pytest.param(b"\x00\x01\x02\x03" * 10, "application/octet-stream", id="binary"),
        pytest.param(bytes(range(128, 256)) * 4, "application/octet-stream", id="all high bytes"),
    ],
)
def test_bodies(body: bytes, media_type: str) -> None:
    assert detect_bytes(body) == media_type


def test_a_character_cut_by_the_window_is_still_text() -> None:
    body = ("a" + "ü" * HEAD).encode()
    assert detect_bytes(body) == "text/plain"
    assert detect_head(body[:HEAD]) == "text/plain"


def test_a_program_with_a_zip_behind_it_is_a_program(files: Mapping[str, bytes]) -> None:
    assert detect_bytes(b"MZ" + bytes(100) + files["some.zip"]) == "application/x-msdos-program"


@pytest.mark.parametrize("front", [b"PK\x03\x04" + bytes(30), bytes(100), b"just some text\n", b"text\n" * 20_000])
def test_bytes_in_front_do_not_hide_a_document(front: bytes, files: Mapping[str, bytes]) -> None:
    assert detect_bytes(front + files["plain.docx"]) == OPENXML + "wordprocessingml.document"


def test_talk_of_zip_is_no_zip() -> None:
    assert detect_bytes(b"a directory begins with PK\x05\x06" + bytes(40)) == "application/octet-stream"
    assert detect_bytes(b"hello\n" + b"PK\x05\x06 is how it begins, says the manual") == "application/octet-stream"


@given(st.binary(max_size=400))
def test_any_bytes_have_a_type(body: bytes) -> None:
    found = detect(io.BytesIO(body), len(body))
    assert "/" in found
    assert "/" in detect_head(body)


@given(st.sampled_from([b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"%PDF-", b"<?xml", b"{"]), st.binary())
def test_any_bytes_behind_a_signature_have_a_type(start: bytes, rest: bytes) -> None:
    assert "/" in detect_bytes(start + rest)
