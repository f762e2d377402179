"""A file to its facts: for good, closed, damaged and hostile files; and it never raises."""

from __future__ import annotations

import hashlib
import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.inspection.scan import Why, extension, scan, unscannable
from casb.model.file import FileFacts, VerdictStatus

GUID = "2096f6a2-d2f7-48be-b329-b73aaa526e5d"


def outcome(facts: FileFacts) -> tuple[str, str | None]:
    assert facts.inspected
    assert facts.verdict is not None
    assert (facts.verdict.status is VerdictStatus.UNSCANNABLE) == bool(facts.verdict.why)
    return facts.verdict.why, facts.label


@pytest.mark.parametrize(
    ("name", "why", "label"),
    [
        ("plain.docx", "", None),
        ("labelled.docx", "", "Confidential"),
        ("custom.docx", "", "Confidential"),
        ("labelinfo.docx", "", GUID),
        ("book.xlsx", "", None),
        ("notes.odt", "", "Confidential"),
        ("some.zip", "", None),
        ("empty.zip", "", None),
        ("plain.pdf", "", None),
        ("labelled.pdf", "", "Confidential"),
        ("owner.pdf", "", "Confidential"),
        ("old.doc", "corrupt", None),
        ("old.xls", "corrupt", None),
        ("old.ppt", "", None),
        ("mail.msg", "", None),
        ("encrypted.xlsx", "encrypted", None),
        ("rights.docx", "encrypted", GUID),
        ("laughs.docx", "corrupt", None),
        ("broken.docx", "corrupt", None),
        ("locked.pdf", "encrypted", None),
        ("locked.doc", "encrypted", None),
        ("locked.xls", "encrypted", None),
        ("locked.ppt", "encrypted", None),
    ],
)
def test_files(name: str, why: str, label: str | None, files: Mapping[str, bytes], tmp_path: Path) -> None:
    body = files[name]
    (tmp_path / "spooled").write_bytes(body)
    facts = scan(body, name, "application/x-claimed")
    assert outcome(facts) == (why, label)
    assert facts == scan(tmp_path / "spooled", name, "application/x-claimed")
    assert (facts.size, facts.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert facts.declared_type == "application/x-claimed"
    assert pickle.loads(pickle.dumps(facts)) == facts  # noqa: S301  # our own bytes
    assert facts.label_id == (GUID if label else None)


def encrypted_zip() -> bytes:
    """Python cannot write one, but the mark of one is a bit in both headers (APPNOTE 4.4.4)."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.txt", "secret")
    body = bytearray(target.getvalue())
    body[6] |= 1
    body[body.index(b"PK\x01\x02") + 8] |= 1
    return bytes(body)


def bomb() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(16 * 1024 * 1024))
    body = bytearray(target.getvalue())
    # Claims 3 GB: what counts before anything is unpacked is the claim.
    entry = body.index(b"PK\x01\x02")
    body[entry + 24 : entry + 28] = struct.pack("<I", 3_000_000_000)
    return bytes(body)


def overlapping() -> bytes:
    """Many directory entries over the same bytes (Fifield, "A better zip bomb", WOOT 2019)."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.txt", bytes(4000))
    body = target.getvalue()
    start, end = body.index(b"PK\x01\x02"), body.index(b"PK\x05\x06")
    entry = body[start:end]
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 500, 500, len(entry) * 500, start, 0)
    return body[:start] + entry * 500 + tail


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param(b"", "", id="an empty file is an empty file"),
        pytest.param(b"hello", "", id="text"),
        pytest.param(encrypted_zip(), "encrypted", id="encrypted ZIP"),
        pytest.param(b"age-encryption.org/v1\n-> casb a b\n", "encrypted", id="age, our own or not"),
        pytest.param(b"-----BEGIN PGP MESSAGE-----\n", "encrypted", id="OpenPGP"),
        pytest.param(b"Rar!\x1a\x07\x01\x00" + b"\0\0\0\0\x21\x04" + bytes(40), "encrypted", id="RAR 5"),
        pytest.param(b"Rar!\x1a\x07\x00" + b"\0\0\x73\x80\0" + bytes(40), "encrypted", id="RAR 4"),
        pytest.param(
            b"Rar!\x1a\x07\x00" + b"\0\0\x73\x00\0" + bytes(40), "corrupt", id="RAR 4, open, and nothing in it"
        ),
        pytest.param(bomb(), "bomb", id="a ZIP that unpacks to a thousand times its size"),
        pytest.param(overlapping(), "bomb", id="members that share their bytes"),
        pytest.param(b"PK\x03\x04" + bytes(100), "corrupt", id="half a ZIP"),
        pytest.param(b"%PDF-1.7\nnothing", "corrupt", id="half a PDF"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "corrupt", id="half an OLE file"),
    ],
)
def test_bodies(body: bytes, why: str) -> None:
    assert outcome(scan(body, "a"))[0] == why


def test_bytes_in_front_do_not_hide_a_label(files: Mapping[str, bytes]) -> None:
    assert outcome(scan(b"\x00junk" + files["labelled.docx"], "a.txt")) == ("", "Confidential")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    facts = scan(tmp_path / "nothing", "a.docx", None)
    assert facts == unscannable("a.docx", None, Why.UNREADABLE)
    assert outcome(facts) == ("unreadable", None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.DOCX", "docx"), ("a.tar.gz", "gz"), ("README", ""), ("a.", ""), (".profile", "profile"), ("a.txt ", "txt")],
)
def test_extension(name: str, expected: str) -> None:
    assert extension(name) == expected


@given(body=st.binary(max_size=300), name=st.text(max_size=20))
def test_any_bytes_give_facts(body: bytes, name: str) -> None:
    outcome(scan(body, name))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_any_damage_gives_facts(data: st.DataObject, files: Mapping[str, bytes]) -> None:
    body = bytearray(files[data.draw(st.sampled_from(sorted(files)))])
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    if data.draw(st.booleans()):
        del body[data.draw(st.integers(0, len(body))) :]
    outcome(scan(bytes(body), "a"))
