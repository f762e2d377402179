"""Which bodies are changed, and by what. The rest passes untouched: that is the rule, the table below the exception.

Never changed: downloads (`Content-Disposition: attachment`, "save as"), byte ranges, plain text and other framed or
unknown types (a changed length breaks length-prefixed text), types that only scripts of the application read.
"""

from __future__ import annotations

import codecs
import re

from casb.model.app import View
from casb.rewrite.codings import Coder, decoder_for, encoder_for
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.html import HtmlRewriter
from casb.rewrite.multipart import MultipartRewriter
from casb.rewrite.scan import BodyRewriter, names_to_origin, names_to_suffix, urls_to_suffix
from casb.rewrite.script import script_rewriter

__all__ = ["BodyRewriter", "recoded", "request_rewriter_for", "rewriter_for"]

_SCRIPT = re.compile(r"(?:text|application)/(?:x-)?(?:java|ecma|j|live)script[0-9.]*\Z")
_JSON = re.compile(
    r"(?:text|application)/json\Z|[a-z0-9.-]+/[a-z0-9._-]+\+json\Z|application/(?:x-)?(?:ndjson|jsonl|json-seq)\Z"
)
_MARKUP = frozenset({"image/svg+xml", "application/xhtml+xml"})
_WIDE = re.compile(r"(?:utf-?16(?:-?[lb]e)?|unicode|csunicode|ucs-2|iso-10646-ucs-2|unicodefffe)\Z")
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,200})"|([^\s";,]{1,200}))', re.IGNORECASE)
_PAGES = frozenset({"", "document", "iframe", "frame", "embed", "object", "fencedframe"})
_NO_POLICY = PagePolicy()


class _Wide:
    """A rewriter for UTF-16: in through its decoder, out through its encoder. A byte order mark outranks the label."""

    __slots__ = ("_big", "_decode", "_encode", "_held", "_inner", "_read")

    def __init__(self, inner: BodyRewriter, big: bool) -> None:
        self._inner = inner
        self._big = big
        self._held = b""
        self._decode: codecs.IncrementalDecoder | None = None
        self._encode: codecs.IncrementalEncoder | None = None
        self._read = codecs.getincrementaldecoder("utf-8")("surrogatepass")

    def feed(self, chunk: bytes) -> bytes:
        if self._decode is None:
            chunk = self._held + chunk
            if len(chunk) < 2:
                self._held = chunk
                return b""
            big = chunk.startswith(codecs.BOM_UTF16_BE) or (self._big and not chunk.startswith(codecs.BOM_UTF16_LE))
            name = "utf-16-be" if big else "utf-16-le"
            self._decode = codecs.getincrementaldecoder(name)("surrogatepass")
            self._encode = codecs.getincrementalencoder(name)("surrogatepass")
            self._held = b""
        return self._out(self._inner.feed(self._decode.decode(chunk).encode("utf-8", "surrogatepass")))

    def finish(self) -> bytes:
        if self._decode is None:
            return self._held
        return self._out(self._inner.finish()) + self._decode.getstate()[0]

    def _out(self, data: bytes) -> bytes:
        assert self._encode is not None  # noqa: S101  # narrows the type
        return self._encode.encode(self._read.decode(data))


def media_type(content_type: str) -> tuple[str, str]:
    """`text/html; charset="UTF-8"` as `("text/html", "utf-8")`; a missing charset is ""."""
    kind, _, parameters = content_type.partition(";")
    charset = ""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'").lower()
            break
    return kind.strip().lower(), charset


def rewriter_for(
    content_type: str,
    charset: str,
    context: RewriteContext,
    *,
    status: int = 200,
    disposition: str = "",
    page: PagePolicy = _NO_POLICY,
) -> BodyRewriter | None:
    """The rewriter for a decoded response body, or None: pass it untouched.

    `content_type` is the header's value; `charset` overrides its parameter when not "". `page` comes from
    `headers.page_policy_of`. A rewriter that was chosen may still return every byte as it came.
    """
    kind, declared = media_type(content_type)
    saved = context.mode == "navigate" and context.destination == "empty"
    if status == 206 or saved or disposition.split(";")[0].strip().lower() == "attachment":
        return None
    inner = _by_kind(kind, context, page)
    if inner is None:
        return None
    return _in_charset(inner, charset.lower() or declared)


def _by_kind(kind: str, context: RewriteContext, page: PagePolicy) -> BodyRewriter | None:
    hosts = context.hosts
    maps = hosts.maps_anything
    if kind == "text/html":
        guard = context.inject_guard and context.destination in _PAGES
        return HtmlRewriter(context, page, guard=guard) if maps or guard else None
    if not maps:
        return None
    if kind == "text/css" or kind in _MARKUP:
        return urls_to_suffix(hosts)
    if _SCRIPT.match(kind):
        return script_rewriter(context)
    if kind == "text/event-stream" or _JSON.match(kind):
        return names_to_suffix(hosts) if context.view is View.SUFFIX else None
    return None


def _in_charset(inner: BodyRewriter, charset: str) -> BodyRewriter | None:
    if _WIDE.match(charset):
        return _Wide(inner, charset.endswith(("be", "fffe")))
    return None if charset.startswith(("iso-2022", "hz-", "utf-7", "utf-32", "utf32")) else inner


class _Recoded:
    """Decode, rewrite, encode."""

    __slots__ = ("_decoder", "_encoder", "_inner")

    def __init__(self, inner: BodyRewriter, decoder: Coder | None, encoder: Coder | None) -> None:
        self._inner, self._decoder, self._encoder = inner, decoder, encoder

    def feed(self, chunk: bytes) -> bytes:
        data = self._inner.feed(self._decoder.feed(chunk) if self._decoder else chunk)
        return self._encoder.feed(data) if self._encoder else data

    def finish(self) -> bytes:
        data = self._inner.feed(self._decoder.finish()) if self._decoder else b""
        data += self._inner.finish()
        return self._encoder.feed(data) + self._encoder.finish() if self._encoder else data


def recoded(
    inner: BodyRewriter, content_encoding: str, coding: str, *, flush: bool = False, limit: int = 1 << 32
) -> BodyRewriter:
    """`inner` between the application's `Content-Encoding` and ours (`zstd`, `gzip` or "" for none).

    Raises `ContentError` W004 at once for a coding we cannot undo, and W001 to W003 while it is fed: the body must not
    go on then.
    """
    decoder, encoder = decoder_for(content_encoding, limit=limit), encoder_for(coding, flush=flush)
    return _Recoded(inner, decoder, encoder) if decoder or encoder else inner


def request_rewriter_for(content_type: str, context: RewriteContext) -> BodyRewriter | None:
    """The rewriter for a request body, or None: pass it untouched.

    Suffix hosts in urlencoded, JSON, GraphQL and multipart *fields* become the application's own names again; parts
    with a file name are never touched, nor is any other type.
    """
    kind, charset = media_type(content_type)
    if not context.hosts.maps_anything or _WIDE.match(charset):
        return None
    if kind in ("application/x-www-form-urlencoded", "application/graphql", "text/ping") or _JSON.match(kind):
        return names_to_origin(context.hosts)
    if kind == "multipart/form-data" and (boundary := _BOUNDARY.search(content_type)):
        return MultipartRewriter(context.hosts, (boundary[1] or boundary[2]).encode("latin-1", "replace"))
    return None
