"""Which bodies are changed, and by what. The rest passes untouched: that is the rule, the table below the exception.

Never changed: downloads (`Content-Disposition: attachment`, "save as"), byte ranges, plain text and other framed or
unknown types (a changed length breaks length-prefixed text), resources that a page pins, documents that are signed.
What a browser takes a body for, by what it wants it for, counts more than what the body is said to be.
"""

from __future__ import annotations

import re

from casb.model.app import View
from casb.rewrite.charset import InCharset, is_wide
from casb.rewrite.codings import Coder, decoder_for, encoder_for
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.html import HtmlRewriter
from casb.rewrite.integrity import Unless
from casb.rewrite.multipart import MultipartRewriter
from casb.rewrite.scan import BodyRewriter, names_to_origin, urls_to_suffix, values_to_suffix
from casb.rewrite.script import script_rewriter
from casb.rewrite.sniff import Sniffed, looks_like_html
from casb.rewrite.xml import XmlRewriter, is_signed

__all__ = ["BodyRewriter", "recoded", "request_rewriter_for", "rewriter_for"]

_SCRIPT = re.compile(r"(?:text|application)/(?:x-)?(?:java|ecma|j|live)script[0-9.]*\Z")
_JSON = re.compile(
    r"(?:text|application)/json\Z|[a-z0-9.-]+/[a-z0-9._-]+\+json\Z|application/(?:x-)?(?:ndjson|jsonl|json-seq)\Z"
)
_RULES = frozenset(("application/speculationrules+json", "application/importmap+json"))
_XML = re.compile(r"(?:text|application)/xml\Z|[a-z0-9.-]+/[a-z0-9._-]+\+xml\Z|text/xsl\Z")
_DRAWN = frozenset({"image/svg+xml", "application/xhtml+xml"})
_PLAYLISTS = frozenset(
    ("application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl", "audio/x-mpegurl", "text/uri-list")
)
_EVENTS = frozenset(("text/event-stream",))
_LINES = re.compile(r"application/(?:x-)?(?:ndjson|jsonl|json-seq)\Z|application/stream\+json\Z")
_TYPED = frozenset(("application/x-www-form-urlencoded", "application/graphql", "text/ping", "text/uri-list"))
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,200})"|([^\s";,]{1,200}))', re.IGNORECASE)
_PAGES = frozenset({"", "document", "iframe", "frame", "embed", "object", "fencedframe"})
_CODE = frozenset({"script", "worker", "sharedworker", "serviceworker", "audioworklet", "paintworklet"})
_NEVER_CODE = re.compile(r"(?:image|audio|video)/|text/csv\Z")
_UNKNOWN = frozenset({"", "unknown/unknown", "application/unknown", "*/*"})
_SIGNED = 1 << 20  # longer documents are not looked through for a signature
_NO_POLICY = PagePolicy()


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
    nosniff: bool = False,
    page: PagePolicy = _NO_POLICY,
) -> BodyRewriter | None:
    """The rewriter for a decoded response body, or None: pass it untouched.

    `content_type` is the header's value; `charset` overrides its parameter when not "". `nosniff` is what
    `X-Content-Type-Options` says, `page` comes from `headers.page_policy_of`. A rewriter that was chosen may still
    return every byte as it came.
    """
    kind, declared = media_type(content_type)
    saved = context.mode == "navigate" and context.destination == "empty"
    if status == 206 or saved or disposition.split(";")[0].strip().lower() == "attachment":
        return None
    kind = _taken_for(kind, context, nosniff)
    inner = _by_kind(kind, context, page)
    if inner is None:
        return None
    markup = "html" if kind in ("text/html", "?") else "xml" if _XML.match(kind) else ""
    return InCharset(inner, charset.lower() or declared, markup)


def kind_of(content_type: str, context: RewriteContext, *, nosniff: bool = False) -> str:
    """`page`, `code`, `style`, `stream` or `data`: what caching and integrity need to know of a body."""
    kind = _taken_for(media_type(content_type)[0], context, nosniff)
    if kind in ("text/html", "?") or _XML.match(kind):
        return "page"
    if kind == "text/css":
        return "style"
    if _SCRIPT.match(kind):
        return "code"
    return "stream" if kind in _EVENTS or _LINES.match(kind) else "data"


def _taken_for(kind: str, context: RewriteContext, nosniff: bool) -> str:
    """The type by which a browser acts (Fetch, section 2.2.6 and 3.5; MIME Sniffing, section 7).

    Scripts run whatever they are called, unless that is an image, sound, film or table, or they are protected from it;
    a page without a type is found out by its first bytes ("?").
    """
    if not nosniff:
        if context.destination in _CODE and not _SCRIPT.match(kind) and not _NEVER_CODE.match(kind):
            return kind if _JSON.match(kind) else "text/javascript"
        if context.destination == "style" and kind in ("", "text/plain"):
            return "text/css"
        if kind in _UNKNOWN and context.destination in _PAGES:
            return "?"
    return kind


def _by_kind(kind: str, context: RewriteContext, page: PagePolicy) -> BodyRewriter | None:
    hosts = context.hosts
    maps = hosts.maps_anything
    guard = context.inject_guard and context.destination in _PAGES
    if kind in ("text/html", "?"):
        if not maps and not guard:
            return None
        html = HtmlRewriter(context, page, guard=guard)
        return html if kind == "text/html" else Sniffed(html, looks_like_html)
    if _XML.match(kind):
        return _xml(kind, context, page, guard=guard)
    if not maps:
        return None
    if kind == "text/css" or kind in _PLAYLISTS or kind in _RULES:
        return urls_to_suffix(hosts)
    if _SCRIPT.match(kind):
        return script_rewriter(context)
    if context.view is View.SUFFIX and (kind in _EVENTS or _JSON.match(kind)):
        return values_to_suffix(hosts)
    return None


def _xml(kind: str, context: RewriteContext, page: PagePolicy, *, guard: bool) -> BodyRewriter | None:
    if not context.hosts.maps_anything and not guard:
        return None
    if kind in _DRAWN:
        return XmlRewriter(context, page, guard=guard)
    if context.destination == "empty" and context.view is not View.SUFFIX:
        return None
    return Unless(XmlRewriter(context, page, guard=guard), is_signed, limit=_SIGNED)


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

    Suffix hosts in urlencoded, JSON, GraphQL, XML and multipart *fields* become the application's own names again;
    parts with a file name are never touched, nor is any other type.
    """
    kind, charset = media_type(content_type)
    if not context.hosts.maps_anything or is_wide(charset):
        return None
    if kind in _TYPED or _JSON.match(kind):
        return names_to_origin(context.hosts)
    if _XML.match(kind):
        return Unless(names_to_origin(context.hosts), is_signed, limit=_SIGNED)
    if kind == "multipart/form-data" and (boundary := _BOUNDARY.search(content_type)):
        return MultipartRewriter(context.hosts, (boundary[1] or boundary[2]).encode("latin-1", "replace"))
    return None
