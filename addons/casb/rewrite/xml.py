"""XML as a stream: feeds, SOAP and WebDAV, media playlists, search descriptions, XHTML and drawings.

URLs change where something acts on them: in attributes, and in the few elements whose whole text is a URL. Identifiers
(namespaces, schema locations, Atom ids) and text that people read stay. A document that is signed stays as a whole; see
`is_signed`. The joined output does not depend on how the input was cut.
"""

from __future__ import annotations

import bisect
import re

from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.elements import Elements
from casb.rewrite.html import HtmlRewriter, guard_address
from casb.rewrite.markup import NAMED, QUIET, URL_ATTRIBUTES, attributes
from casb.rewrite.scan import BodyRewriter, once, urls_to_suffix
from casb.rewrite.script import ScriptRewriter

_MAX_TOKEN = 8 * 1024 * 1024
_PATIENCE = 64 * 1024  # a held token longer than this is looked at again only when it has doubled
_TAG = re.compile(rb"<(/?)([^\t\n\r />!?][^\t\n\r />]*+)(?:[^\"'>]*+(?:\"[^\"]*+\"|'[^']*+'))*+[^\"'>]*+>")
_DOCTYPE = re.compile(rb"<!(?:[^\"'\[>]*+(?:\"[^\"]*+\"|'[^']*+'))*+[^\"'\[>]*+(?:\[[^\]]*+\][^>]*+)?>")
_IDENTIFIERS = re.compile(
    rb"xmlns(?::|\Z)"
    rb"|(?:.*:)?(?:schemalocation|nonamespaceschemalocation|targetnamespace|namespace)\Z"
)
_URLS = URL_ATTRIBUTES | frozenset(
    b"url uri location template base media initialization index sourceurl endpoint address htmlurl xmlurl feed".split()
)
_URL_TEXTS = frozenset(
    b"link url loc href location baseurl icon logo image comments enclosure moz:searchform address endpoint".split()
)
_CODE = frozenset((b"script", b"style"))
_PAGES = (b"http://www.w3.org/1999/xhtml", b"http://www.w3.org/2000/svg")
_SIGNATURE = b"http://www.w3.org/2000/09/xmldsig#"
_MORE = -1


def is_signed(document: bytes) -> bool:
    """Does the document carry an XML signature (SAML, SOAP)? Any change would break it."""
    return _SIGNATURE in document


class XmlRewriter:
    """A `BodyRewriter` for XML in any ASCII-compatible charset. `guard`: a page gets the guard."""

    __slots__ = (
        "_context",
        "_elements",
        "_guard",
        "_held",
        "_hits",
        "_hosts",
        "_in",
        "_off",
        "_page",
        "_patience",
        "_size",
    )

    def __init__(self, context: RewriteContext, page: PagePolicy, *, guard: bool) -> None:
        self._context = context
        self._hosts = context.hosts
        self._page = page
        self._elements = Elements(context, page, lambda inner: HtmlRewriter(context, page, guard=inner), guard=guard)
        self._guard = guard
        self._held: list[bytes] = []
        self._hits: list[int] = []  # in the data at hand
        self._size = self._patience = 0
        self._in = b""  # local name of the element whose text may come next
        self._off = False

    def feed(self, chunk: bytes) -> bytes:
        if self._off:
            return chunk
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size < self._patience:
            return b""
        data = b"".join(self._held)
        self._hits = self._hosts.markup_finder.starts(data)
        out: list[bytes] = []
        at = 0
        while at < len(data) and (step := self._step(data, at, out)) != _MORE:
            at = step
        self._held, self._size = [data[at:]], len(data) - at
        self._patience = 2 * self._size if self._size > _PATIENCE else 0
        if self._size > _MAX_TOKEN:
            self._off = True
            out += self._held
            self._held = []
        return b"".join(out)

    def finish(self) -> bytes:
        if self._off or not self._patience:
            return b"".join(self._held)
        self._patience = 0
        return self.feed(b"") + b"".join(self._held if not self._off else [])

    def _step(self, data: bytes, at: int, out: list[bytes]) -> int:
        """One token: the offset behind it, or `_MORE` when more input is needed."""
        if not self._guard and self._in not in _CODE and (calm := self._quiet(data, at)) > at:
            out.append(data[at:calm])
            self._in = b""
            return calm
        if data[at] != 0x3C:
            return self._text(data, at, out)
        for begin, end in ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>")):
            head = data[at : at + len(begin)]
            if head == begin:
                return self._section(data, at, begin, end, out)
            if begin.startswith(head):
                return _MORE
        found = (_DOCTYPE if data[at + 1] == 0x21 else _TAG).match(data, at)
        if found is None:
            return _MORE
        out.append(found[0] if found.re is _DOCTYPE else self._tag(found))
        return found.end()

    def _quiet(self, data: bytes, at: int) -> int:
        """What can be walked over: up to the last tag before the next host of ours, code, or the end of the data."""
        index = bisect.bisect_left(self._hits, at)
        hit = self._hits[index] + 1 if index < len(self._hits) else len(data)
        limit = data.rfind(b"<", at, hit)
        while limit > at and data[limit + 1 : limit + 2] in b"!?":  # CDATA belongs to the tag before it
            limit = data.rfind(b"<", at, limit)
        return QUIET.match(data, at, limit).end() if limit > at else at  # type: ignore[union-attr]  # matches always

    def _section(self, data: bytes, at: int, begin: bytes, end: bytes, out: list[bytes]) -> int:
        """A comment, a CDATA section or a processing instruction."""
        stop = data.find(end, at + len(begin))
        if stop < 0:
            return _MORE
        inner = data[at + len(begin) : stop]
        if begin == b"<![CDATA[":
            inner = self._content(inner)
        elif begin == b"<?" and inner.startswith(b"xml-stylesheet"):
            inner = once(urls_to_suffix(self._hosts), inner)
        out += (begin, inner, end)
        return stop + len(end)

    def _text(self, data: bytes, at: int, out: list[bytes]) -> int:
        end = data.find(b"<", at)
        if self._in in _CODE or self._in in _URL_TEXTS:
            if end < 0:
                return _MORE
            out.append(self._content(data[at:end]))
            return end
        end = len(data) if end < 0 else end
        out.append(data[at:end])
        return end

    def _content(self, text: bytes) -> bytes:
        if self._in == b"script" and not self._page.hashed:
            rewriter: BodyRewriter = ScriptRewriter(self._hosts, self._context.view)
            return rewriter.feed(text) + rewriter.finish()
        if self._in == b"style" and not self._page.hashed:
            return once(urls_to_suffix(self._hosts), text)
        if self._in in _URL_TEXTS:
            url = text.strip()
            mapped = self._elements.url(url) if url else url
            return text if mapped == url else text.replace(url, mapped)
        return text

    def _tag(self, found: re.Match[bytes]) -> bytes:
        name = found[2].lower()
        local = name.rpartition(b":")[2]
        if found[1]:
            self._in = b""
            return found[0]
        closed = found[0].endswith(b"/>")
        self._in = b"" if closed else local
        tag = self._start(local, name, found[0])
        if self._guard:
            self._guard = False
            given = attributes(found[0], 1 + len(name))
            prefix = name.rpartition(b":")[0]
            space = given.get(b"xmlns:" + prefix if prefix else b"xmlns", b"")
            if space in _PAGES and not closed:
                return (
                    tag
                    + b'<script xmlns="'
                    + _PAGES[0]
                    + b'" '
                    + guard_address(self._context, self._page).replace(b" crossorigin", b' crossorigin=""')
                    + b"></script>"
                )
        return tag

    def _start(self, local: bytes, name: bytes, tag: bytes) -> bytes:
        out: list[bytes] = []
        done = 0
        given = attributes(tag, 1 + len(name))
        for attribute in NAMED.finditer(tag, 1 + len(name)):
            group = attribute.lastindex or 1
            key = attribute[1].lower()
            if group not in (2, 3) or _IDENTIFIERS.match(key):
                continue
            value = attribute[group]
            plain = key.rpartition(b":")[2]
            changed = (
                self._elements.url(value) if plain in _URLS else self._elements.attribute(local, key, value, given)
            )
            if changed is not value and changed != value:
                out += (tag[done : attribute.start(group)], changed)
                done = attribute.end(group)
        return b"".join([*out, tag[done:]]) if done else tag
