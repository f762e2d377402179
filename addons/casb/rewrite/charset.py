"""Bodies whose bytes are not ASCII where they look like it: UTF-16 and ISO-2022-JP, declared or marked.

What browsers do (WHATWG Encoding, section 4.2; HTML, section 13.2.3): a byte order mark outranks the header, the header
outranks the page. All other charsets that they know are ASCII-compatible in what rewriting looks at (a second byte of
Shift_JIS, GBK or Big5 is never a quote, an angle bracket, a slash or a colon), and labels that they do not know (UTF-7,
UTF-32) count for nothing.
"""

from __future__ import annotations

import codecs
import re

from casb.rewrite.scan import BodyRewriter

_WIDE = re.compile(r"(?:utf-?16(?:-?[lb]e)?|unicode|csunicode|ucs-2|iso-10646-ucs-2|unicodefffe|unicodefeff)\Z")
_JAPANESE = frozenset({"iso-2022-jp", "csiso2022jp"})
_PRESCAN = 1024
_HEAD_ENDS = re.compile(rb"</head|<body", re.IGNORECASE)
_META = re.compile(rb"<meta\b[^>]{0,512}?\bcharset\s*=\s*[\"']?\s*(?:iso-2022-jp|csiso2022jp)\b", re.IGNORECASE)
_XML_STARTS = {b"<\x00?\x00": "utf-16-le", b"\x00<\x00?": "utf-16-be"}


def _as_bytes(error: UnicodeError) -> tuple[bytes, int]:
    """What a decoder could not read goes back as the bytes that it was."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    codes = (ord(each) for each in error.object[error.start : error.end])
    return bytes(code & 0xFF if code < 0x100 or 0xDC80 <= code <= 0xDCFF else 0x3F for code in codes), error.end


codecs.register_error("casb.as-bytes", _as_bytes)


def is_wide(charset: str) -> bool:
    """Is it UTF-16, by any of its labels?"""
    return _WIDE.match(charset) is not None


class Transcoded:
    """A rewriter for UTF-8 around which another charset is undone and redone. What does not decode stays."""

    __slots__ = ("_decode", "_encode", "_inner", "_read")

    def __init__(self, inner: BodyRewriter, codec: str) -> None:
        self._inner = inner
        wide = codec.startswith("utf-16")
        self._decode = codecs.getincrementaldecoder(codec)("surrogatepass" if wide else "surrogateescape")
        self._encode = codecs.getincrementalencoder(codec)("surrogatepass" if wide else "casb.as-bytes")
        self._read = codecs.getincrementaldecoder("utf-8")("surrogatepass")

    def feed(self, chunk: bytes) -> bytes:
        text = self._decode.decode(chunk)
        return self._out(self._inner.feed(text.encode("utf-8", "surrogatepass")))

    def finish(self) -> bytes:
        rest = self._decode.getstate()[0]
        return self._out(self._inner.finish(), final=True) + rest

    def _out(self, data: bytes, *, final: bool = False) -> bytes:
        return self._encode.encode(self._read.decode(data), final)


class InCharset:
    """A `BodyRewriter` that looks at the first bytes before it decides how the rest is read.

    `charset` is what the header says ("" when nothing); `markup` is "html", "xml" or "" and says what else may tell.
    """

    __slots__ = ("_charset", "_chosen", "_held", "_inner", "_markup")

    def __init__(self, inner: BodyRewriter, charset: str, markup: str) -> None:
        self._inner, self._charset, self._markup = inner, charset, markup
        self._chosen: BodyRewriter | None = None
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        if self._chosen is not None:
            return self._chosen.feed(chunk)
        self._held += chunk
        self._chosen = self._choose(self._held, final=False)
        if self._chosen is None:
            return b""
        held, self._held = self._held, b""
        return self._chosen.feed(held)

    def finish(self) -> bytes:
        if self._chosen is None:
            chosen = self._choose(self._held, final=True) or self._inner
            return chosen.feed(self._held) + chosen.finish()
        return self._chosen.finish()

    def _choose(self, head: bytes, *, final: bool) -> BodyRewriter | None:
        if len(head) < 2 and not final:
            return None
        if head.startswith(codecs.BOM_UTF16_LE):
            return Transcoded(self._inner, "utf-16-le")
        if head.startswith(codecs.BOM_UTF16_BE):
            return Transcoded(self._inner, "utf-16-be")
        if is_wide(self._charset):
            big = self._charset.endswith(("be", "fffe"))
            return Transcoded(self._inner, "utf-16-be" if big else "utf-16-le")
        if self._charset in _JAPANESE:
            return Transcoded(self._inner, "iso2022_jp")
        if self._charset or not self._markup:
            return self._inner
        if self._markup == "xml":
            if len(head) < 4 and not final:
                return None
            codec = _XML_STARTS.get(head[:4])
            return Transcoded(self._inner, codec) if codec else self._inner
        return self._prescan(head, final=final)

    def _prescan(self, head: bytes, *, final: bool) -> BodyRewriter | None:
        end = _HEAD_ENDS.search(head, 0, _PRESCAN)
        if not end and len(head) < _PRESCAN and not final:
            return None
        japanese = _META.search(head, 0, end.start() if end else _PRESCAN)
        return Transcoded(self._inner, "iso2022_jp") if japanese else self._inner
