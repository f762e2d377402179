"""Content codings undone and redone as a stream: gzip, deflate, br, zstd (RFC 9110 section 8.4.1, RFC 8878).

A body that does not decode, is cut short or grows beyond all measure raises `ContentError`; bytes behind the end of
gzip, deflate and zstd data are ignored, as browsers do.
"""

from __future__ import annotations

import functools
import zlib
from typing import Protocol

import brotli  # type: ignore[import-untyped]  # ships no types
import zstandard

from casb.errors import ContentError

CODES = {
    "W001": "a body does not decode as its Content-Encoding says",
    "W002": "a body grows too much when it is decoded",
    "W003": "an encoded body ends too early",
    "W004": "a Content-Encoding that we cannot undo",
}
_MAX_LAYERS = 3
_SLICE = 256  # a zstd block of 4 bytes may become 128 KiB: small bites keep the growth visible
_FRAME_STARTS = frozenset([0x28, *range(0x50, 0x60)])  # first bytes of frames and of skippable frames
_STEP = 1024 * 1024
_FREE = 8 * 1024 * 1024  # no ratio is judged below this size
_WINDOW = 8 * 1024 * 1024  # RFC 9659: the largest zstd window on the web


class Coder(Protocol):
    """One direction of one coding."""

    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> bytes: ...


class _Bounds:
    """Counts what goes in and comes out; raises W002."""

    __slots__ = ("_in", "_limit", "_out", "_ratio")

    def __init__(self, limit: int, ratio: int) -> None:
        self._limit, self._ratio, self._in, self._out = limit, ratio, 0, 0

    def taken(self, size: int) -> None:
        self._in += size

    def given(self, size: int) -> None:
        self._out += size
        if self._out > self._limit or (self._out > _FREE and self._out > self._ratio * max(self._in, 1)):
            raise ContentError("W002", CODES["W002"])


class _Zlib:
    """gzip of any number of members, or what is called deflate."""

    __slots__ = ("_bounds", "_done", "_gzip", "_inflate", "_seen")

    def __init__(self, bounds: _Bounds, *, gzip: bool) -> None:
        self._bounds = bounds
        self._gzip = gzip
        self._inflate: zlib._Decompress | None = None  # within a member
        self._seen = self._done = False

    def feed(self, chunk: bytes) -> bytes:
        self._bounds.taken(len(chunk))
        out: list[bytes] = []
        while chunk and not self._done:
            if self._inflate is None and not self._begin(chunk[0]):
                break
            assert self._inflate is not None  # noqa: S101  # narrows the type
            try:
                chunk = self._member(self._inflate, chunk, out)
            except zlib.error as error:
                raise ContentError("W001", CODES["W001"]) from error
        return b"".join(out)

    def _begin(self, first: int) -> bool:
        if self._seen and not (self._gzip and first == 0x1F):
            self._done = True
            return False
        # "deflate" is zlib data; some servers send it bare, and browsers take both.
        self._inflate = zlib.decompressobj(31 if self._gzip else 15 if first & 0x0F == 8 else -15)
        return True

    def _member(self, inflate: zlib._Decompress, chunk: bytes, out: list[bytes]) -> bytes:
        """Decode until the member or the input ends; the input that is left."""
        while True:
            data = inflate.decompress(chunk, _STEP)
            self._bounds.given(len(data))
            out.append(data)
            if inflate.eof:
                self._inflate, self._seen = None, True
                return inflate.unused_data
            chunk = inflate.unconsumed_tail
            if not chunk and len(data) < _STEP:
                return b""

    def finish(self) -> bytes:
        if self._inflate is not None:
            raise ContentError("W003", CODES["W003"])
        return b""


class _Brotli:
    __slots__ = ("_bounds", "_inner", "_started")

    def __init__(self, bounds: _Bounds) -> None:
        self._bounds = bounds
        self._inner = brotli.Decompressor()
        self._started = False

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        if self._inner.is_finished():  # the library refuses what follows in the same chunk
            raise ContentError("W001", CODES["W001"])
        self._started = True
        self._bounds.taken(len(chunk))
        out: list[bytes] = []
        try:
            data = self._inner.process(chunk, output_buffer_limit=_STEP)
            while True:
                self._bounds.given(len(data))
                out.append(data)
                if not data or self._inner.is_finished() or self._inner.can_accept_more_data():
                    return b"".join(out)
                data = self._inner.process(b"", output_buffer_limit=_STEP)
        except brotli.error as error:
            raise ContentError("W001", CODES["W001"]) from error

    def finish(self) -> bytes:
        if self._started and not self._inner.is_finished():
            raise ContentError("W003", CODES["W003"])
        return b""


class _Zstd:
    __slots__ = ("_bounds", "_done", "_inner", "_seen")

    def __init__(self, bounds: _Bounds) -> None:
        self._bounds = bounds
        self._inner: zstandard.ZstdDecompressionObj | None = None  # within a frame
        self._seen = self._done = False

    def feed(self, chunk: bytes) -> bytes:
        self._bounds.taken(len(chunk))
        out: list[bytes] = []
        while chunk and not self._done:
            if self._inner is None:
                if self._seen and chunk[0] not in _FRAME_STARTS:
                    self._done = True
                    break
                self._inner = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
            try:
                data = self._inner.decompress(chunk[:_SLICE])
            except zstandard.ZstdError as error:
                raise ContentError("W001", CODES["W001"]) from error
            self._bounds.given(len(data))
            out.append(data)
            chunk = chunk[_SLICE:]
            if self._inner.eof:
                chunk = self._inner.unused_data + chunk
                self._inner, self._seen = None, True
        return b"".join(out)

    def finish(self) -> bytes:
        if self._inner is not None:
            raise ContentError("W003", CODES["W003"])
        return b""


class _Chain:
    __slots__ = ("_coders",)

    def __init__(self, coders: list[Coder]) -> None:
        self._coders = coders

    def feed(self, chunk: bytes) -> bytes:
        for coder in self._coders:
            chunk = coder.feed(chunk)
        return chunk

    def finish(self) -> bytes:
        rest = b""
        for coder in self._coders:
            rest = coder.feed(rest) + coder.finish() if rest else coder.finish()
        return rest


def decoder_for(content_encoding: str, *, limit: int = 1 << 32, ratio: int = 1000) -> Coder | None:
    """Undoes a `Content-Encoding`; None when there is none to undo.

    `limit` is the most bytes that may come out, `ratio` the most per byte in (judged above 8 MiB). Raises W004 for a
    coding that is not known, or too many layers of them.
    """
    names = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if len(names) > _MAX_LAYERS:
        raise ContentError("W004", CODES["W004"])
    coders: list[Coder] = []
    for name in reversed(names):
        bounds = _Bounds(limit, ratio)
        if name in ("gzip", "x-gzip"):
            coders.append(_Zlib(bounds, gzip=True))
        elif name == "deflate":
            coders.append(_Zlib(bounds, gzip=False))
        elif name == "br":
            coders.append(_Brotli(bounds))
        elif name == "zstd":
            coders.append(_Zstd(bounds))
        else:
            raise ContentError("W004", CODES["W004"])
    return _Chain(coders) if len(coders) > 1 else coders[0] if coders else None


def decoded(body: bytes, content_encoding: str, *, limit: int) -> bytes:
    """A whole body without its codings. Raises `ContentError` unless it decodes whole, to `limit` bytes at most.

    mitmproxy would decode the first member of a gzip body only, as much of it as there is, to any size.
    """
    decoder = decoder_for(content_encoding, limit=limit) if body else None
    return decoder.feed(body) + decoder.finish() if decoder else body


class _GzipOut:
    __slots__ = ("_deflate", "_flush")

    def __init__(self, flush: bool) -> None:
        self._deflate = zlib.compressobj(1, zlib.DEFLATED, 31)
        self._flush = flush

    def feed(self, chunk: bytes) -> bytes:
        data = self._deflate.compress(chunk)
        return data + self._deflate.flush(zlib.Z_SYNC_FLUSH) if self._flush and chunk else data

    def finish(self) -> bytes:
        return self._deflate.flush()


class _ZstdOut:
    __slots__ = ("_flush", "_inner")

    def __init__(self, flush: bool) -> None:
        self._inner = zstandard.ZstdCompressor(level=1).compressobj()
        self._flush = flush

    def feed(self, chunk: bytes) -> bytes:
        data = self._inner.compress(chunk)
        return data + self._inner.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) if self._flush and chunk else data

    def finish(self) -> bytes:
        return self._inner.flush()


def encoder_for(coding: str, *, flush: bool = False) -> Coder | None:
    """A fast encoder for `gzip` or `zstd`, None for anything else (send it as it is). `flush`: every chunk comes out at
    once, for event streams."""
    if coding == "zstd":
        return _ZstdOut(flush)
    return _GzipOut(flush) if coding == "gzip" else None


class _BrotliOut:
    __slots__ = ("_inner",)

    def __init__(self) -> None:
        self._inner = brotli.Compressor(quality=1)

    def feed(self, chunk: bytes) -> bytes:
        return bytes(self._inner.process(chunk))

    def finish(self) -> bytes:
        return bytes(self._inner.finish())


class _DeflateOut(_GzipOut):
    __slots__ = ()

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(1)
        self._flush = False


def request_encoder_for(content_encoding: str) -> Coder:
    """Makes the very coding again that a request names, so that its head stays true. Raises W004 for any other."""
    names = [name for part in content_encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    coders: list[Coder] = []
    for name in names[: _MAX_LAYERS + 1]:
        if name in ("gzip", "x-gzip"):
            coders.append(_GzipOut(False))
        elif name == "deflate":
            coders.append(_DeflateOut())
        elif name == "br":
            coders.append(_BrotliOut())
        elif name == "zstd":
            coders.append(_ZstdOut(False))
        else:
            raise ContentError("W004", CODES["W004"])
    return _Chain(coders)


class _Between:
    """A rewriter inside the coding of its body."""

    __slots__ = ("_decoder", "_encoder", "_inner")

    def __init__(self, inner: Coder, decoder: Coder, encoder: Coder) -> None:
        self._inner, self._decoder, self._encoder = inner, decoder, encoder

    def feed(self, chunk: bytes) -> bytes:
        return self._encoder.feed(self._inner.feed(self._decoder.feed(chunk)))

    def finish(self) -> bytes:
        rest = self._inner.feed(self._decoder.finish()) + self._inner.finish()
        return self._encoder.feed(rest) + self._encoder.finish()


def between(inner: Coder, decoder: Coder | None, encoder: Coder) -> Coder:
    """What rewrites a body without leaving its coding."""
    return _Between(inner, decoder, encoder) if decoder else inner


@functools.lru_cache(512)
def choose(accept_encoding: str) -> str:
    """`zstd`, `gzip` or `` for what a browser accepts (RFC 9110 section 12.5.3)."""
    accepted = set()
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=")
        if not weight or not weight.startswith("0") or weight.strip("0."):
            accepted.add(name.strip())
    return next((name for name in ("zstd", "gzip") if name in accepted), "")
