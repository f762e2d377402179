"""The age format, against the specification, against pyrage and, where installed, the age program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # ships no types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casb.errors import ContentError
from casb.protection.container import (
    CHUNK,
    HEADER_LIMIT,
    Reader,
    Stanza,
    Writer,
    header,
    open_container,
    parse_header,
    recipient_key,
    sealed_length,
    x25519_stanza,
)

FILE_KEY = bytes(range(16))
NONCE = bytes(range(16, 32))
OURS = Stanza(kind="casb", arguments=("0011223344556677", "file-1"), body=b"w" * 240)


def no_lookup(stanzas: Sequence[Stanza]) -> bytes:
    return FILE_KEY


def seal(plain: bytes, cuts: Iterable[int] = (), stanzas: Sequence[Stanza] = (OURS,)) -> bytes:
    head = header(stanzas, FILE_KEY)
    writer = Writer(FILE_KEY, NONCE, head)
    sealed = b"".join(writer.update(piece) for piece in split(plain, cuts)) + writer.finish()
    assert len(sealed) == sealed_length(len(head), len(plain))
    return sealed


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


def unseal(sealed: bytes, cuts: Iterable[int] = ()) -> bytes:
    return b"".join(open_container(split(sealed, cuts), no_lookup))


def by_pyrage(sealed: bytes, identity: pyrage.x25519.Identity, folder: Path) -> bytes:
    return bytes(pyrage.decrypt(sealed, [identity]))


def by_age_program(sealed: bytes, identity: pyrage.x25519.Identity, folder: Path) -> bytes:
    (folder / "identity").write_text(f"{identity}\n")
    command = ["age", "--decrypt", "--identity", str(folder / "identity")]
    return subprocess.run(command, input=sealed, capture_output=True, check=True).stdout


type Open = Callable[[bytes, pyrage.x25519.Identity, Path], bytes]
STOCK: list[Open] = [by_pyrage, by_age_program] if shutil.which("age") else [by_pyrage]


@pytest.mark.parametrize("open_", STOCK)
@pytest.mark.parametrize(
    "length",
    [
        pytest.param(0, id="empty: one empty chunk"),
        pytest.param(1, id="one byte"),
        pytest.param(CHUNK - 1, id="a byte less than a chunk"),
        pytest.param(CHUNK, id="one chunk: it is the last"),
        pytest.param(CHUNK + 1, id="a byte more than a chunk"),
        pytest.param(3 * CHUNK, id="whole chunks"),
    ],
)
def test_stock_age_opens_what_we_write(open_: Open, length: int, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    plain = os.urandom(length)
    recovery = x25519_stanza(recipient_key(str(identity.to_public())), FILE_KEY, os.urandom(32))
    assert open_(seal(plain, stanzas=[OURS, recovery]), identity, tmp_path) == plain


@pytest.mark.parametrize("open_", STOCK)
def test_stock_age_without_the_recovery_key_does_not(open_: Open, tmp_path: Path) -> None:
    with pytest.raises((pyrage.DecryptError, subprocess.CalledProcessError)):
        open_(seal(b"secret"), pyrage.x25519.Identity.generate(), tmp_path)


@given(st.integers(0, 3 * CHUNK), st.lists(st.integers(0, 4 * CHUNK), max_size=6), st.lists(st.integers(0, 4 * CHUNK)))
@settings(max_examples=40, deadline=None)
def test_round_trip_whatever_the_chunking(length: int, written: list[int], read: list[int]) -> None:
    plain = (bytes(range(251)) * (length // 251 + 1))[:length]
    assert unseal(seal(plain, written), read) == plain


def test_byte_by_byte() -> None:
    sealed = seal(b"slowly")
    assert b"".join(open_container((bytes([each]) for each in sealed), no_lookup)) == b"slowly"


@pytest.mark.parametrize("length", [10, CHUNK, CHUNK + 10, 2 * CHUNK])
def test_every_truncation_is_seen(length: int) -> None:
    sealed = seal(bytes(length))
    places = {0, 1, 20, len(sealed) - length - 40, len(sealed) - 17, len(sealed) - 16, len(sealed) - 1}
    # Right after a whole chunk: only the missing last-chunk mark can tell.
    places |= {sealed_length(len(header([OURS], FILE_KEY)), chunks * CHUNK) for chunks in range(1, length // CHUNK)}
    for place in sorted(places):
        with pytest.raises(ContentError, match=r"F00[56]"):
            unseal(sealed[:place])


def test_cut_right_after_a_chunk_is_called_truncated() -> None:
    head = header([OURS], FILE_KEY)
    with pytest.raises(ContentError, match="F006"):
        unseal(seal(bytes(2 * CHUNK))[: sealed_length(len(head), CHUNK)])


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_changed_bit_is_seen_before_its_chunk_is_given_out(data: st.DataObject) -> None:
    plain = os.urandom(CHUNK + 100)
    sealed = bytearray(seal(plain))
    head = len(header([OURS], FILE_KEY))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    given_out = b""
    with pytest.raises(ContentError):
        for piece in open_container([bytes(sealed)], no_lookup):
            given_out += piece
    assert plain.startswith(given_out)
    assert len(given_out) <= max(0, place - head) // CHUNK * CHUNK


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([1, 0, 2], id="swapped"),
        pytest.param([0, 2], id="one left out"),
        pytest.param([0, 0, 1, 2], id="one doubled"),
        pytest.param([0, 1, 2, 2], id="bytes after the last"),
    ],
)
def test_chunks_stay_in_their_place(order: list[int]) -> None:
    sealed = seal(os.urandom(2 * CHUNK + 5))
    start = len(header([OURS], FILE_KEY)) + 16
    whole = CHUNK + 16
    chunks = [sealed[start + at : start + at + whole] for at in range(0, len(sealed) - start, whole)]
    with pytest.raises(ContentError, match=r"F00[56]"):
        unseal(sealed[:start] + b"".join(chunks[each] for each in order))


def test_a_last_chunk_may_not_be_empty() -> None:
    # A writer that did not hold back: a full chunk marked as inner, then an empty last one (age.md, Payload).
    writer = Writer(FILE_KEY, NONCE, header([OURS], FILE_KEY))
    out = writer.update(bytes(CHUNK + 1))
    writer._held.clear()
    with pytest.raises(ContentError, match="F006"):
        unseal(out + writer.finish())


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        pytest.param(b"", "F006", id="nothing"),
        pytest.param(b"PK\x03\x04", "F001", id="a ZIP"),
        pytest.param(b"-----BEGIN AGE ENCRYPTED FILE-----\n", "F001", id="armoured"),
        pytest.param(b"age-encryption.org/v2\n", "F001", id="another version"),
        pytest.param(b"age-encryption.org/v1\n--- " + b"A" * 43 + b"\n", "F002", id="no stanza"),
        pytest.param(b"age-encryption.org/v1\n-> casb\n\n--- AAAA\n", "F002", id="short MAC"),
        pytest.param(b"age-encryption.org/v1\n-> casb\n\n---" + b"A" * 200, "F002", id="endless MAC line"),
        pytest.param(b"age-encryption.org/v1\n-> casb  a\n\n--- " + b"A" * 43 + b"\n", "F002", id="two spaces"),
        pytest.param(
            b"age-encryption.org/v1\n-> casb\nAB\n--- " + b"A" * 43 + b"\n", "F002", id="base64 not canonical"
        ),
        pytest.param(b"age-encryption.org/v1\n-> casb\nAA==\n--- " + b"A" * 43 + b"\n", "F002", id="padding"),
        pytest.param(
            b"age-encryption.org/v1\n-> casb\n" + b"A" * 65 + b"\n\n--- " + b"A" * 43 + b"\n", "F002", id="wide"
        ),
        pytest.param(
            b"age-encryption.org/v1\n-> casb\n" + b"A" * 64 + b"\n--- " + b"A" * 43 + b"\n", "F002", id="no end"
        ),
        pytest.param(b"age-encryption.org/v1\r\n-> casb\r\n\r\n", "F001", id="CR LF"),
        pytest.param(b"age-encryption.org/v1\n-> casb\n" + b"A" * HEADER_LIMIT, "F002", id="endless header"),
        pytest.param(b"age-encryption.org/v1\n-> casb\n\n--- " + b"A" * 43 + b"\n", "F002", id="forged MAC"),
    ],
)
def test_bad_containers(raw: bytes, code: str) -> None:
    with pytest.raises(ContentError, match=code):
        unseal(raw)
    with pytest.raises(ContentError, match=code):
        unseal(raw, range(len(raw)) if len(raw) < 1000 else ())


@given(st.binary(max_size=400))
def test_any_bytes_after_the_version_line_give_a_content_error(rest: bytes) -> None:
    with pytest.raises(ContentError):
        unseal(b"age-encryption.org/v1\n" + rest)


@given(
    st.lists(
        st.builds(
            Stanza,
            kind=st.from_regex(r"[!-~]{1,20}", fullmatch=True),
            arguments=st.lists(st.from_regex(r"[!-~]{1,60}", fullmatch=True), max_size=3).map(tuple),
            body=st.binary(max_size=200),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_header_round_trip(stanzas: list[Stanza]) -> None:
    raw = header(stanzas, FILE_KEY)
    assert parse_header(raw)[0] == tuple(stanzas)


def test_a_reader_that_failed_gives_nothing_more() -> None:
    sealed = bytearray(seal(bytes(3 * CHUNK)))
    sealed[-2 * CHUNK] ^= 1
    reader = Reader(no_lookup)
    with pytest.raises(ContentError, match="F005"):
        reader.update(bytes(sealed))
    with pytest.raises(ValueError, match="failed"):
        reader.update(b"x")
    with pytest.raises(ValueError, match="failed"):
        reader.finish()


def test_a_finished_writer_takes_nothing_more() -> None:
    writer = Writer(FILE_KEY, NONCE, b"")
    writer.finish()
    with pytest.raises(ValueError, match="finished"):
        writer.update(b"x")


@pytest.mark.parametrize("stanza", [Stanza(kind="a b"), Stanza(kind=""), Stanza(kind="a", arguments=("ä",))])
def test_what_a_header_cannot_say(stanza: Stanza) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        header([stanza], FILE_KEY)


def test_recipient_key_is_what_age_means() -> None:
    # The example pair of c2sp.org/age, "The X25519 recipient type".
    secret = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
    public = str(pyrage.x25519.Identity.from_str(secret).to_public())
    assert public == "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
    assert len(recipient_key(public)) == 32


@given(st.text(max_size=70) | st.from_regex(r"age1[02-9ac-hj-np-z]{0,60}", fullmatch=True))
def test_anything_else_is_no_recipient(text: str) -> None:
    with pytest.raises(ContentError, match="F009"):
        recipient_key(text)


def test_a_mistyped_recipient_is_refused() -> None:
    good = str(pyrage.x25519.Identity.generate().to_public())
    for at in range(4, len(good)):
        with pytest.raises(ContentError, match="F009"):
            recipient_key(good[:at] + ("q" if good[at] != "q" else "p") + good[at + 1 :])


def test_a_recipient_of_low_order_is_refused() -> None:
    with pytest.raises(ContentError, match="F009"):
        x25519_stanza(bytes(32), FILE_KEY, os.urandom(32))


def test_memory_does_not_grow_with_the_file() -> None:
    writer = Writer(FILE_KEY, NONCE, header([OURS], FILE_KEY))
    reader = Reader(no_lookup)
    piece = bytes(50_000)
    tracemalloc.start()
    try:
        total = sum(len(reader.update(writer.update(piece))) for _ in range(400))
        total += len(reader.update(writer.finish())) + len(reader.finish())
        assert total == 400 * len(piece)
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()
