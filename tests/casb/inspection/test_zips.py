"""ZIP directories and members, against Python's own writer and against damage."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.zips import MEMBERS, Directory


def directory(body: bytes) -> Directory:
    return Directory(io.BytesIO(body), len(body))


def zipped(
    members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"", zip64: bool = False
) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        archive.comment = comment
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=zip64) as member:
                member.write(content)
    return target.getvalue()


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00\\"), min_size=1), st.binary(), max_size=5
    ),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=30),
    st.booleans(),
    st.binary(max_size=20),
)
@settings(deadline=None)
def test_what_python_writes_we_read(
    members: dict[str, bytes], method: int, comment: bytes, zip64: bool, front: bytes
) -> None:
    members = {name.lower(): content for name, content in members.items()}
    if b"PK\x05\x06" in comment:
        return
    found = directory(front + zipped(members, method, comment, zip64))
    assert set(found.members) == set(members)
    for name, content in members.items():
        assert found.read(name.upper() if name.upper().lower() == name else name, 10_000) == content
    found.require_harmless()


def test_a_zip_with_zip64_records() -> None:
    body = zipped({f"{number}": b"" for number in range(70_000)}, zipfile.ZIP_STORED)
    assert b"PK\x06\x07" in body
    assert len(directory(body).members) == 70_000


def test_absent_members_are_none() -> None:
    assert directory(zipped({"a": b"1"})).read("b", 10) is None


@pytest.mark.parametrize(
    ("members", "limit", "code"),
    [
        pytest.param({"a": bytes(1000)}, 999, "F102", id="too long by its own word"),
        pytest.param({"a": bytes(1000)}, 1000, None, id="just as long"),
    ],
)
def test_limits(members: dict[str, bytes], limit: int, code: str | None) -> None:
    found = directory(zipped(members))
    if code is None:
        assert found.read("a", limit) == members["a"]
        return
    with pytest.raises(ContentError, match=code):
        found.read("a", limit)


def changed(body: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    at = body.rindex(signature) + offset
    return body[:at] + value + body[at + len(value) :]


GOOD = zipped({"a": bytes(1000)})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(changed(GOOD, b"PK\x01\x02", 24, struct.pack("<I", 10)), "F102", id="longer than it says"),
        pytest.param(changed(GOOD, b"PK\x01\x02", 20, struct.pack("<I", 5)), "F101", id="cut short"),
        pytest.param(changed(GOOD, b"PK\x01\x02", 42, struct.pack("<I", 9)), "F101", id="not where it says"),
        pytest.param(changed(GOOD, b"PK\x01\x02", 42, b"\xfe\xff\xff\xff"), "F101", id="far outside"),
        pytest.param(changed(GOOD, b"PK\x01\x02", 10, struct.pack("<H", 99)), "F101", id="unknown method"),
        pytest.param(changed(GOOD, b"PK\x01\x02", 8, struct.pack("<H", 1)), "F103", id="encrypted"),
    ],
)
def test_members_that_lie(body: bytes, code: str) -> None:
    with pytest.raises(ContentError, match=code):
        directory(body).read("a", 500 if "F102" in code else 2000)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "F101", id="nothing"),
        pytest.param(GOOD[:-10], "F101", id="cut"),
        pytest.param(
            changed(GOOD, b"PK\x05\x06", 12, struct.pack("<I", 10**6)), "F101", id="directory longer than all"
        ),
        pytest.param(changed(GOOD, b"PK\x05\x06", 16, struct.pack("<I", 10**6)), "F101", id="directory elsewhere"),
        pytest.param(
            zipped({f"{number}": b"" for number in range(MEMBERS + 1)}, zipfile.ZIP_STORED), "F102", id="many"
        ),
    ],
)
def test_directories_that_lie(body: bytes, code: str) -> None:
    with pytest.raises(ContentError, match=code):
        directory(body)


@given(st.data())
def test_any_damage_gives_a_directory_or_a_content_error(data: st.DataObject) -> None:
    body = bytearray(data.draw(st.sampled_from([GOOD, zipped({"a": b"x", "b": b"y"}, zip64=True)])))
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + 4] = data.draw(st.binary(max_size=4))
    try:
        found = directory(bytes(body))
        found.require_harmless()
        for name in found.members:
            found.read(name, 500)
    except ContentError as error:
        assert error.code in {"F101", "F102", "F103"}
