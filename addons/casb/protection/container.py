"""The age v1 file format: header, stanzas, and the payload as a stream (c2sp.org/age).

Knows bytes only: who may open a file, and which key closed it, is `encrypt.py`'s and `opening.py`'s. Takes no
randomness of its own. Every function that reads outside bytes gives a value or raises `ContentError`.

Both directions are push style, so that a body of any size passes in constant memory. Each 64 KiB chunk is
authenticated before any of it is given out; that the *file* is whole is known only when `finish` returns, hence whoever
passes plain text on must break the transfer off, not end it, when `finish` raises.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from casb.errors import ContentError

FILE_KEY = 16
"""Length of a file key, bytes."""
NONCE = 16
"""Length of the payload's nonce, bytes."""
CHUNK = 64 * 1024
TAG = 16
HEADER_LIMIT = 64 * 1024

MAGIC = b"age-encryption.org/v1\n"
_COLUMNS = 64
_ARGUMENT = re.compile(r"[\x21-\x7e]+")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """One recipient's copy of the file key: `-> kind arguments…` and a binary body."""

    kind: str
    arguments: tuple[str, ...] = ()
    body: bytes = b""


type UnwrapFileKey = Callable[[Sequence[Stanza]], bytes]
"""Finds the file key in a header's stanzas, or raises `ContentError`."""


def header(stanzas: Sequence[Stanza], file_key: bytes) -> bytes:
    """The textual header, MAC included. Raises `ValueError` for what the format cannot say."""
    if not stanzas or len(file_key) != FILE_KEY:
        raise ValueError("a header needs a stanza and a 16-byte file key")
    lines = [MAGIC]
    for stanza in stanzas:
        arguments = (stanza.kind, *stanza.arguments)
        if not all(_ARGUMENT.fullmatch(each) for each in arguments):
            raise ValueError("stanza arguments are visible ASCII without spaces")
        lines.append(f"-> {' '.join(arguments)}\n".encode("ascii"))
        body = _encode(stanza.body)
        # The last line is shorter than 64 columns, if need be empty.
        lines.extend(body[at : at + _COLUMNS] + b"\n" for at in range(0, len(body) + 1, _COLUMNS))
    lines.append(b"---")
    unsigned = b"".join(lines)
    return unsigned + b" " + _encode(_mac(file_key, unsigned)) + b"\n"


def sealed_length(header_length: int, plain_length: int) -> int:
    """Length in bytes of the whole container for a plain text of `plain_length` bytes."""
    return header_length + NONCE + plain_length + TAG * max(1, -(-plain_length // CHUNK))


def x25519_stanza(recipient: bytes, file_key: bytes, ephemeral: bytes) -> Stanza:
    """Wraps the file key for an X25519 recipient. `ephemeral` is 32 fresh random bytes."""
    secret = X25519PrivateKey.from_private_bytes(ephemeral)
    share = secret.public_key().public_bytes_raw()
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError:  # a point of low order: anybody could derive the key
        raise ContentError("F009", "the recovery recipient is no usable X25519 key") from None
    key = _hkdf(shared, share + recipient, b"age-encryption.org/v1/X25519")
    body = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
    return Stanza(kind="X25519", arguments=(_encode(share).decode("ascii"),), body=body)


def recipient_key(text: str) -> bytes:
    """The 32 bytes of an `age1…` recipient (Bech32, BIP 173). Raises `ContentError` F009."""
    problem = ContentError("F009", "this is not an age X25519 recipient", hint="`age-keygen` prints one: age1…")
    prefix, _, data = text.strip().rpartition("1")
    if prefix != "age" or not set(data) <= set(_BECH32) or len(data) < 6:
        raise problem
    values = [_BECH32.index(each) for each in data]
    expanded = [ord(each) >> 5 for each in prefix] + [0] + [ord(each) & 31 for each in prefix]
    if _bech32_checksum(expanded + values) != 1:
        raise problem
    number = 0
    for value in values[:-6]:
        number = number << 5 | value
    spare = 5 * len(values[:-6]) - 256
    if not 0 <= spare < 5 or number & ((1 << spare) - 1):
        raise problem
    return (number >> spare).to_bytes(32, "big")


class Writer:
    """Encrypts one payload. The first output carries `head` (the header) and the nonce."""

    def __init__(self, file_key: bytes, nonce: bytes, head: bytes) -> None:
        self._cipher = ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload"))
        self._head = head + nonce
        self._held = bytearray()
        self._counter = 0
        self._done = False

    def update(self, chunk: bytes) -> bytes:
        """Takes plain text, gives cipher text that is ready; may be empty."""
        if self._done:
            raise ValueError("the container is finished")
        held = self._held
        held += chunk
        ready = [self._head]
        self._head = b""
        # At least one byte stays: only `finish` knows which chunk is the last, and that one must not be empty.
        end = max(0, len(held) - 1) // CHUNK * CHUNK
        with memoryview(held) as view:
            ready.extend(self._seal(view[at : at + CHUNK], last=False) for at in range(0, end, CHUNK))
        del held[:end]
        return b"".join(ready)

    def finish(self) -> bytes:
        """The last chunk."""
        rest = self.update(b"") + self._seal(bytes(self._held), last=True)
        self._done = True
        self._held.clear()
        return rest

    def _seal(self, chunk: bytes | memoryview, *, last: bool) -> bytes:
        nonce = _nonce(self._counter, last)
        self._counter += 1
        return self._cipher.encrypt(nonce, chunk, None)


class Reader:
    """Decrypts one container. Raises `ContentError` and stays unusable after it."""

    def __init__(self, unwrap: UnwrapFileKey) -> None:
        self._unwrap = unwrap
        self._held = bytearray()
        self._file_key: bytes | None = None
        self._cipher: ChaCha20Poly1305 | None = None
        self._counter = 0
        self._over = False
        self.header_length = 0  # bytes, once the header has been read and found to be whole

    def update(self, chunk: bytes) -> bytes:
        """Takes cipher text, gives authenticated plain text; may be empty."""
        with self._guarded():
            self._held += chunk
            if not self._start():
                return b""
            # One byte more than a whole chunk proves that this chunk is not the last.
            whole = CHUNK + TAG
            end = max(0, len(self._held) - 1) // whole * whole
            with memoryview(self._held) as view:
                plain = b"".join(self._open(view[at : at + whole], last=False) for at in range(0, end, whole))
            del self._held[:end]
            return plain

    def finish(self) -> bytes:
        """The last chunk. Only when this returns is the file known to be whole."""
        with self._guarded():
            if not self._start():
                raise ContentError("F006", "the container ends inside its header")
            last = bytes(self._held)
            if len(last) < TAG or (len(last) == TAG and self._counter):
                raise ContentError("F006", "the container ends too early")
            plain = self._open(last, last=True)
            self._over = True
            return plain

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """After the first failure nothing more is ever read."""
        if self._over:
            raise ValueError("the container is finished, or has failed")
        try:
            yield
        except BaseException:
            self._over = True
            self._held = bytearray()
            raise

    def _start(self) -> bool:
        """Reads header and nonce as soon as they are there."""
        if self._cipher:
            return True
        if self._file_key is None:
            length = _header_length(self._held)
            if length is None:
                return False
            raw = bytes(self._held[:length])
            del self._held[:length]
            stanzas, mac = parse_header(raw)
            file_key = self._unwrap(stanzas)
            if not hmac.compare_digest(_mac(file_key, raw[: raw.rindex(b"---") + 3]), mac):
                raise ContentError("F002", "the header was changed after it was written")
            self._file_key = file_key
            self.header_length = length
        if len(self._held) < NONCE:
            return False
        self._cipher = ChaCha20Poly1305(_hkdf(self._file_key, bytes(self._held[:NONCE]), b"payload"))
        del self._held[:NONCE]
        return True

    def _open(self, chunk: bytes | memoryview, *, last: bool) -> bytes:
        if self._cipher is None:
            raise ValueError("the header has not been read")
        try:
            plain = self._cipher.decrypt(_nonce(self._counter, last), chunk, None)
        except InvalidTag:
            if last and len(chunk) == CHUNK + TAG and self._opens_as_inner(chunk):
                raise ContentError("F006", "the container ends too early") from None
            raise ContentError("F005", f"chunk {self._counter} was changed or cut after it was encrypted") from None
        self._counter += 1
        return plain

    def _opens_as_inner(self, chunk: bytes | memoryview) -> bool:
        """Whether a chunk that fails as the last one is a good one from the middle: the file was cut behind it."""
        try:
            if self._cipher:
                self._cipher.decrypt(_nonce(self._counter, last=False), chunk, None)
        except InvalidTag:
            return False
        return True


def open_container(stream: Iterable[bytes], unwrap: UnwrapFileKey) -> Iterator[bytes]:
    """The plain text of a container, chunk by chunk. Raises `ContentError`, at the latest at the end."""
    reader = Reader(unwrap)
    for chunk in stream:
        if plain := reader.update(chunk):
            yield plain
    if plain := reader.finish():
        yield plain


def parse_header(raw: bytes) -> tuple[tuple[Stanza, ...], bytes]:
    """The stanzas and the MAC of a whole header. Raises `ContentError` F001 or F002."""
    damaged = ContentError("F002", "the header of the container is damaged")
    if not raw.startswith(MAGIC):
        raise ContentError("F001", "this is not an age v1 container")
    lines = raw[len(MAGIC) :].split(b"\n")
    if lines.pop() or not lines or not lines[-1].startswith(b"--- "):
        raise damaged
    mac = _decode(lines.pop()[4:])
    if mac is None or len(mac) != 32 or not lines:
        raise damaged
    stanzas: list[Stanza] = []
    rest = iter(lines)
    for line in rest:
        marker, *arguments = line.decode("latin-1").split(" ")
        if marker != "->" or not arguments or not all(_ARGUMENT.fullmatch(each) for each in arguments):
            raise damaged
        text = bytearray()
        for part in rest:
            text += part
            if len(part) < _COLUMNS:
                break
            if len(part) > _COLUMNS:
                raise damaged
        else:
            raise damaged
        body = _decode(bytes(text))
        if body is None:
            raise damaged
        stanzas.append(Stanza(kind=arguments[0], arguments=tuple(arguments[1:]), body=body))
    return tuple(stanzas), mac


def _header_length(held: bytearray) -> int | None:
    """Length of the header at the front, or None while it is incomplete."""
    if not held.startswith(MAGIC[: len(held)]):
        raise ContentError("F001", "this is not an age v1 container")
    # No base64 line can begin with a hyphen, so the first such line is the end.
    end = held.find(b"\n---", 0, HEADER_LIMIT)
    stop = held.find(b"\n", end + 1, end + 128) if end >= 0 else -1
    if stop >= 0:
        return stop + 1
    if len(held) > HEADER_LIMIT or (end >= 0 and len(held) > end + 128):
        raise ContentError("F002", "the header of the container is too long")
    return None


def _encode(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _decode(text: bytes) -> bytes | None:
    """Canonical base64 without padding (RFC 4648 section 3.5), or None."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return None
    return data if _encode(data) == text else None


def _nonce(counter: int, last: bool) -> bytes:
    return counter.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


def _mac(file_key: bytes, unsigned: bytes) -> bytes:
    return hmac.digest(_hkdf(file_key, b"", b"header"), unsigned, "sha256")


def _hkdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(key)


def _bech32_checksum(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> bit & 1 else 0
    return check
