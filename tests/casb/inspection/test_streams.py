"""Text and archives read while they pass: the same findings in any chunking, and nothing hidden is ever clean."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.inspection.streams import DEPTH, StreamFacts, StreamInspector
from stream_fakes import CARD, CardMatcher

PROSE = b"Nothing to see here, move along. " * 4000
SECRET = PROSE + b"card " + CARD + b" end\n"


def read(body: bytes, step: int = 65_536, charset: str = "") -> StreamFacts:
    inspector = StreamInspector(CardMatcher(), charset=charset)
    for at in range(0, len(body), step):
        inspector.feed(body[at : at + step])
    return inspector.finish()


class NoSeek(io.RawIOBase):
    """A sink that cannot go back, so that writers of ZIP describe members behind them."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self.data += memoryview(data)  # type: ignore[arg-type]
        return len(memoryview(data))  # type: ignore[arg-type]


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED, described: bool = False) -> bytes:
    sink = NoSeek() if described else io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return bytes(sink.data) if isinstance(sink, NoSeek) else sink.getvalue()


def tarred(*members: tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return sink.getvalue()


READABLE: dict[str, bytes] = {
    "plain text": SECRET,
    "short text": b"card " + CARD,
    "UTF-16 with a mark": b"\xff\xfe" + SECRET.decode().encode("utf-16-le"),
    "UTF-16 without one": SECRET.decode().encode("utf-16-be"),
    "UTF-32": SECRET.decode().encode("utf-32"),
    "latin-1 after a long ASCII beginning": PROSE + b"caf\xe9 " + SECRET,
    "JSON": b'{"text": "' + SECRET.replace(b"\n", b" ") + b'"}',
    "gzip": gzip.compress(SECRET),
    "gzip of several members": gzip.compress(PROSE + CARD[:7]) + gzip.compress(CARD[7:] + b" end"),
    "zip": zipped(("a.txt", PROSE), ("b.txt", SECRET)),
    "zip, stored": zipped(("a.txt", PROSE), ("b.txt", SECRET), method=zipfile.ZIP_STORED),
    "zip, described behind": zipped(("a.txt", PROSE), ("b/", b""), ("b.txt", SECRET), described=True),
    "zip in zip": zipped(("inner.zip", zipped(("b.txt", SECRET)))),
    "tar, pax": tarred(("a.txt", PROSE), ("ü" * 80 + ".txt", SECRET)),
    "tar, GNU": tarred(("a.txt", PROSE), ("b" * 200, SECRET), form=tarfile.GNU_FORMAT),
    "tar, ustar": tarred(("a.txt", PROSE), ("b.txt", SECRET), form=tarfile.USTAR_FORMAT),
    "tar in gzip": gzip.compress(tarred(("b.txt", SECRET))),
}


@pytest.mark.parametrize("kind", READABLE)
def test_a_card_number_is_found_in_any_chunking(kind: str) -> None:
    body = READABLE[kind]
    seen = [read(body, step) for step in (len(body), 65_536, 997)]
    assert [(each.info_type, each.count) for each in seen[0].findings] == [("card", 1)]
    assert seen[0] == seen[1] == seen[2]
    assert seen[0].size == len(body)


@pytest.mark.parametrize("kind", READABLE)
def test_nothing_is_found_where_nothing_is(kind: str) -> None:
    assert read(PROSE).findings == ()
    assert read(zipped(("a.txt", PROSE))).findings == ()


def test_a_card_number_shows_before_the_end() -> None:
    inspector = StreamInspector(CardMatcher())
    inspector.feed(SECRET + PROSE)
    assert inspector.findings()
    assert inspector.text
    assert inspector.behind < 100


def encrypted() -> bytes:
    body = bytearray(zipped(("a.txt", SECRET)))
    body[6] |= 1
    return bytes(body)


def hidden_member() -> bytes:
    """A directory that tells of a member within the bytes of another."""
    inner = zipped(("b.txt", SECRET), method=zipfile.ZIP_STORED)
    outer = bytearray(zipped(("a.txt", PROSE + inner), method=zipfile.ZIP_STORED))
    entry = outer.rindex(b"PK\x01\x02")
    struct.pack_into("<I", outer, entry + 42, outer.index(b"PK\x03\x04", 10))
    return bytes(outer)


def listed_twice() -> bytes:
    body = zipped(("a.txt", SECRET))
    at = body.index(b"PK\x01\x02")
    end = body.index(b"PK\x05\x06")
    return body[:at] + body[at:end] * 2 + body[end:]


def deep() -> bytes:
    body = zipped(("a.txt", SECRET))
    for _ in range(DEPTH):
        body = zipped(("inner.zip", body))
    return body


def bad_checksum() -> bytes:
    body = bytearray(zipped(("a.txt", SECRET), method=zipfile.ZIP_STORED))
    body[60] ^= 1
    return bytes(body)


UNREADABLE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a text that turns into something else": (lambda: SECRET + zlib.compress(SECRET) + b"\0\1\2", "F150"),
    "an archive behind a text": (lambda: PROSE + zipped(("a.txt", SECRET)), "F150"),
    "a PDF": (lambda: b"%PDF-1.7\n" + SECRET, "F150"),
    "an unknown type": (lambda: bytes(range(256)) * 400, "F150"),
    "a PDF in a zip": (lambda: zipped(("a.txt", PROSE), ("b.pdf", b"%PDF-1.7\n" + SECRET)), "F150"),
    "an encrypted zip": (encrypted, "F103"),
    "a zip cut short": (lambda: zipped(("a.txt", SECRET))[:-30], "F150"),
    "bytes behind a zip": (lambda: zipped(("a.txt", PROSE)) + b"x", "F150"),
    "a zip behind a zip": (lambda: zipped(("a.txt", PROSE)) + zipped(("b.txt", SECRET)), "F150"),
    "a zip whose directory names another place": (hidden_member, "F150"),
    "a zip whose directory names a member twice": (listed_twice, "F150"),
    "a zip with a wrong checksum": (bad_checksum, "F150"),
    "zips within zips": (deep, "F150"),
    "gzip cut short": (lambda: gzip.compress(SECRET)[:-9], "F150"),
    "bytes behind gzip": (lambda: gzip.compress(SECRET) + b"hello", "F150"),
    "a bomb": (lambda: gzip.compress(b"a" * 40_000_000), "F102"),
    "a bomb in a zip": (lambda: zipped(("a.txt", b"a" * 40_000_000)), "F102"),
    "tar cut short": (lambda: tarred(("a.txt", SECRET))[: 512 * 20], "F150"),
    "a tar behind a tar": (lambda: tarred(("a.txt", PROSE)) + tarred(("b.txt", SECRET)), "F150"),
    "UTF-16 cut within a character": (lambda: b"\xff\xfe" + SECRET.decode().encode("utf-16-le")[:-1], "F150"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_cannot_be_judged_is_said_so(kind: str) -> None:
    make, code = UNREADABLE[kind]
    body = make()
    for step in (len(body), 4001):
        with pytest.raises(ContentError) as raised:
            read(body, step)
        assert raised.value.code == code


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(READABLE)),
    at=st.integers(0, 1 << 20),
    noise=st.binary(min_size=1, max_size=40),
    step=st.integers(500, 70_000),
)
def test_any_damage_is_read_or_refused(kind: str, at: int, noise: bytes, step: int) -> None:
    body = bytearray(READABLE[kind])
    at %= len(body)
    body[at : at + len(noise)] = noise
    try:
        facts = read(bytes(body), step)
    except ContentError as error:
        assert error.code in ("F102", "F103", "F150")
    else:
        assert facts.size == len(body)


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=300), prefix=st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08\x00", b"\xff\xfe"]))
def test_any_bytes_are_read_or_refused(body: bytes, prefix: bytes) -> None:
    try:
        read(prefix + body)
    except ContentError as error:
        assert error.code in ("F102", "F103", "F150")
