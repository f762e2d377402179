"""Archives: nested, lying, cut off, bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.discovery import unpack

DATA = b"".join(b"line %d of the log\n" % number for number in range(5000))


def zipped(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def tarred(name: str, data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def contents(data: bytes, name: str = "x") -> tuple[list[tuple[str, bytes]], list[str]]:
    files, damage = [], []
    for member in unpack.members(io.BytesIO(data), name):
        if isinstance(member, unpack.Damage):
            damage.append(member.why)
            continue
        plain = b""
        for chunk in member.chunks:
            if isinstance(chunk, unpack.Damage):
                damage.append(chunk.why)
            else:
                plain += chunk
        files.append((member.name, plain))
    return files, damage


PACKED = {
    "plain": DATA,
    "gzip": gzip.compress(DATA),
    "two gzip members": gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]),
    "gzip with padding": gzip.compress(DATA) + b"\0" * 512,
    "zstd": zstandard.compress(DATA),
    "two zstd frames": zstandard.compress(DATA[:1000]) + zstandard.compress(DATA[1000:]),
    "bzip2": bz2.compress(DATA),
    "xz": lzma.compress(DATA),
    "zip": zipped(("a.log", DATA)),
    "tar": tarred("a.log", DATA),
    "tar in gzip": gzip.compress(tarred("a.log", DATA)),
    "gzip in zip": zipped(("a.log.gz", gzip.compress(DATA))),
    "zstd in gzip": gzip.compress(zstandard.compress(DATA)),
}


@pytest.mark.parametrize("data", PACKED.values(), ids=PACKED.keys())
def test_the_plain_bytes_come_out(data: bytes) -> None:
    files, damage = contents(data)
    assert [plain for _, plain in files] == [DATA]
    assert damage == []


def test_members_of_a_zip_keep_their_names_and_order() -> None:
    files, _ = contents(
        zipped(("one.log", b"1\n"), ("folder/two.log", b"2\n"), ("three.log.gz", gzip.compress(b"3\n"))), "up.zip"
    )
    assert files == [("up.zip/one.log", b"1\n"), ("up.zip/folder/two.log", b"2\n"), ("up.zip/three.log", b"3\n")]


@pytest.mark.parametrize("kind", ["gzip", "zstd", "bzip2", "xz", "zip", "tar in gzip", "gzip in zip", "tar"])
def test_what_can_be_read_of_a_cut_off_archive_is_given_with_the_reason(kind: str) -> None:
    data = PACKED[kind]
    files, damage = contents(data[: len(data) * 3 // 4])
    assert damage
    for _, plain in files:
        assert DATA.startswith(plain)


def test_a_damaged_gzip_is_told() -> None:
    data = bytearray(PACKED["gzip"])
    data[len(data) // 2 :] = b"\xff" * (len(data) - len(data) // 2)
    _, damage = contents(bytes(data))
    assert damage in (["the gzip data is damaged: not read on"], ["the gzip data ends early"])


def test_a_gzip_whose_checksum_lies_is_told_after_its_data() -> None:
    data = bytearray(PACKED["gzip"])
    data[-8] ^= 0xFF
    files, damage = contents(bytes(data))
    assert damage == ["the gzip data is damaged: not read on"]
    assert DATA.startswith(files[0][1])


def test_an_encrypted_zip_member_is_told() -> None:
    data = bytearray(zipped(("a.log", DATA)))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    assert contents(bytes(data)) == ([], ["a member of the zip archive is encrypted"])


def test_a_bomb_ends_soon() -> None:
    inner = gzip.compress(b"\0" * (200 * 1024 * 1024), 9)
    total, damage = 0, []
    for member in unpack.members(io.BytesIO(inner), ""):
        assert not isinstance(member, unpack.Damage)
        for chunk in member.chunks:
            if isinstance(chunk, unpack.Damage):
                damage.append(chunk.why)
            else:
                total += len(chunk)
                assert len(chunk) <= 2 * unpack.CHUNK
    assert total <= unpack.FREE_BYTES * 2
    assert damage == ["the gzip data unpacks to more than 500 times its size: not read on"]


def test_archives_too_deep_are_not_opened() -> None:
    data = DATA
    for _ in range(unpack.MAX_DEPTH + 1):
        data = gzip.compress(data)
    assert contents(data) == ([], ["archives nested more than 4 deep are not opened"])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(PACKED)), st.data())
def test_any_change_gives_bytes_or_damage(kind: str, data: st.DataObject) -> None:
    packed = bytearray(PACKED[kind][:4000])
    for _ in range(data.draw(st.integers(0, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    contents(bytes(packed))
