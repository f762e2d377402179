"""Resources that some page pins by a digest (Subresource Integrity): the browser checks them, so they stay as they are.

A digest names the exact bytes of a resource, wherever it is named: in an attribute, an import map, the table of chunks
in a script. So every digest seen in text that passes is kept, and a body that has one of them is not rewritten. The
browser then verifies the origin's bytes against the origin's digest, and refuses what the origin's page would have
refused; no digest of ours ever takes its place (decision 0010).

Pure: who keeps the digests, and for whom, is for others to say.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable

from ahocorasick_rs import BytesAhoCorasick

from casb.rewrite.scan import BodyRewriter

_NAMED = re.compile(rb"sha(256|384|512)-([A-Za-z0-9+/_-]{43,86})={0,2}(?![A-Za-z0-9+/_-])")
_WORDS = BytesAhoCorasick([b"sha256-", b"sha384-", b"sha512-"])
_LONGEST = 100  # of a digest in text, with its name
_SIZES = {b"256": 32, b"384": 48, b"512": 64}
HASHES = {32: hashlib.sha256, 48: hashlib.sha384, 64: hashlib.sha512}
"""Length of a digest in bytes to its algorithm."""


def digests(text: bytes) -> set[bytes]:
    """The raw digests that a text names."""
    if not _WORDS.find_matches_as_indexes(text):
        return set()
    found = set()
    for named in _NAMED.finditer(text):
        encoded = named[2].translate(_STANDARD)
        try:
            digest = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(digest) == _SIZES[named[1]]:
            found.add(digest)
    return found


_STANDARD = bytes.maketrans(b"-_", b"+/")


class Witness:
    """A `BodyRewriter` around another: tells which digests the text names before it has passed."""

    __slots__ = ("_inner", "_tail", "_tell")

    def __init__(self, inner: BodyRewriter, tell: Callable[[set[bytes]], None]) -> None:
        self._inner, self._tell, self._tail = inner, tell, b""

    def feed(self, chunk: bytes) -> bytes:
        text = self._tail + chunk
        if found := digests(text):
            self._tell(found)
        self._tail = text[-_LONGEST:]
        return self._inner.feed(chunk)

    def finish(self) -> bytes:
        return self._inner.finish()


class Unless:
    """A `BodyRewriter` around another, for whole bodies: one that `exempt` names comes out as it went in.

    Holds the body, up to `limit` bytes; a longer one is rewritten as it comes.
    """

    __slots__ = ("_exempt", "_held", "_inner", "_limit", "_size")

    def __init__(self, inner: BodyRewriter, exempt: Callable[[bytes], bool], *, limit: int) -> None:
        self._inner, self._exempt, self._limit = inner, exempt, limit
        self._held: list[bytes] | None = []
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        if self._held is None:
            return self._inner.feed(chunk)
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size <= self._limit:
            return b""
        held, self._held = b"".join(self._held), None
        return self._inner.feed(held)

    def finish(self) -> bytes:
        if self._held is None:
            return self._inner.finish()
        body = b"".join(self._held)
        out = self._inner.feed(body) + self._inner.finish()
        return body if out != body and self._exempt(body) else out
