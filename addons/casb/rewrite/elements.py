"""One start tag of a page: which of its attributes hold URLs, policies, styles, scripts or pages, and their mapping.

Text that people read or edit is never changed, and what does not change keeps its bytes. `integrity` is dropped where
the URL leads to a host of ours, for the resource may have been rewritten and a proxy without memory cannot know;
elsewhere it stays.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from casb.model.app import View
from casb.rewrite import csp
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.markup import NAMED, ORIGIN, URL_ATTRIBUTES, attributes
from casb.rewrite.scan import BodyRewriter, names_to_suffix, once, urls_to_suffix
from casb.rewrite.script import ScriptRewriter, rewrite_script

_SCRIPT_TYPES = re.compile(
    rb"|module|importmap|speculationrules|(?:text|application)/(?:x-)?(?:java|ecma|j|live)script[0-9.]*|(?:text|application)/(?:[a-z0-9.+_-]*\+)?json|text/(?:x-)?template|text/html"
    rb"|text/x-handlebars(?:-template)?\Z",
    re.IGNORECASE,
)
_JAVASCRIPT = re.compile(rb"|module|(?:text|application)/(?:x-)?(?:java|ecma|j|live)script[0-9.]*", re.IGNORECASE)
_ACTED_ON = re.compile(rb"importmap|speculationrules", re.IGNORECASE)  # by the browser itself
_REFERENCE = re.compile(
    rb"&(?:#[xX]([0-9a-fA-F]{1,6})|#([0-9]{1,7})|(colon|sol|bsol|period|lowbar|Tab|NewLine|commat));?"
)
_REFERENCES = {
    b"colon": ":",
    b"sol": "/",
    b"bsol": "\\",
    b"period": ".",
    b"lowbar": "_",
    b"Tab": "\t",
    b"NewLine": "\n",
    b"commat": "@",
}
_AUTHORITY = re.compile(r"[\x00-\x20]*(?:https?:|wss?:)?[\t\r\n]*[/\\][\t\r\n]*[/\\][^?#]{0,1000}", re.IGNORECASE)
_TEXTS = frozenset((b"srcset", b"imagesrcset", b"ping"))
_HEAD = re.compile(r"[^:/?#]*:?//[^/\\?#]*")
_RELATIVE = re.compile(rb"[?#]|/(?![/\\&\t\n\r])")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


class Elements:
    """Start tags of one page. `page_in_page` rewrites a document that stands in an attribute (`srcdoc`)."""

    __slots__ = ("_context", "_hosts", "_page", "_page_in_page")

    def __init__(self, context: RewriteContext, page: PagePolicy, page_in_page: Callable[[bytes], bytes]) -> None:
        self._context = context
        self._hosts = context.hosts
        self._page = page
        self._page_in_page = page_in_page

    def content(self, name: bytes, tag: bytes) -> BodyRewriter | None:
        """What rewrites the raw text behind a start tag; None leaves it. `name` is in lower case."""
        if self._page.hashed:
            return None
        if name == b"style":
            return urls_to_suffix(self._hosts)
        if name == b"script":
            given = attributes(tag, 1 + len(name)).get(b"type", b"") if b"type" in tag.lower() else b""
            kind = given.split(b";")[0].strip()
            if _JAVASCRIPT.fullmatch(kind):
                return ScriptRewriter(self._hosts, self._context.view)
            if self._context.view is View.ORIGIN and not _ACTED_ON.fullmatch(kind):
                return None
            return names_to_suffix(self._hosts) if _SCRIPT_TYPES.fullmatch(kind) else None
        return None

    def start(self, name: bytes, tag: bytes) -> bytes:
        """A start tag with its attributes mapped; the same object when nothing changes. `name` is in lower case."""
        begin = 1 + len(name)
        strip = b"integrity" in tag.lower() and self._strips_integrity(attributes(tag, begin))
        meta = attributes(tag, begin).get(b"http-equiv", b"").strip().lower() if name == b"meta" else b""
        out: list[bytes] = []
        done = 0
        for found in NAMED.finditer(tag, begin):
            group = found.lastindex or 1
            key = found[1].lower()
            if key == b"integrity" and strip:
                out.append(tag[done : found.start()].rstrip(b"\t\n\f\r "))
                done = found.end()
            elif group > 1:
                value = found[group]
                changed = self._url(value) if key in URL_ATTRIBUTES else self._attribute(key, value, meta)
                if changed is not value and changed != value:
                    out += (tag[done : found.start(group)], changed)
                    done = found.end(group)
        if not done:
            return tag
        out.append(tag[done:])
        return b"".join(out)

    def _strips_integrity(self, found: dict[bytes, bytes]) -> bool:
        if b"integrity" not in found or not self._hosts.suffix or self._hosts.to_suffix(self._context.host) is None:
            return False
        url = html.unescape(_text(found.get(b"src", found.get(b"href", b""))))
        return not _AUTHORITY.match(url) or self._hosts.url_to_suffix(url) != url

    def _attribute(self, key: bytes, value: bytes, meta: bytes) -> bytes:
        """An attribute that is more, or less, than one URL."""
        if key.startswith(b"data-") and self._context.view is View.ORIGIN:
            return value  # read by nobody but scripts
        if key in _TEXTS or key.startswith(b"data-"):
            return once(urls_to_suffix(self._hosts), value)
        if key == b"style":
            return value if self._page.hashed else once(urls_to_suffix(self._hosts), value)
        if key.startswith(b"on"):
            return value if self._page.hashed else self._handler(value)
        if key == b"srcdoc":
            return self._srcdoc(value)
        if key == b"content" and meta == b"refresh":
            return once(urls_to_suffix(self._hosts), value)
        if key == b"content" and meta.startswith(b"content-security-policy"):
            policy = html.unescape(_text(value))
            mapped = csp.to_suffix(
                policy, self._context, nonce=self._page.nonce, enforced=not meta.endswith(b"-report-only")
            )
            return _bytes(html.escape(mapped)) if mapped != policy else value
        return value

    def _handler(self, value: bytes) -> bytes:
        if self._context.view is View.SUFFIX:
            return once(names_to_suffix(self._hosts), value)
        source = _bytes(html.unescape(_text(value)))
        changed = rewrite_script(source, self._hosts, view=View.ORIGIN)
        return value if changed == source else _bytes(html.escape(_text(changed)))

    def _url(self, value: bytes) -> bytes:
        """A URL attribute; character references in the scheme and authority are seen through."""
        if _RELATIVE.match(value):
            return value
        if origin := ORIGIN.match(value):
            mapped = self._hosts.origin_to_suffix(origin[0])
            return value if mapped is None else mapped + value[origin.end() :]
        if value[:11].strip().lower().startswith(b"javascript:"):
            if self._page.hashed:
                return value
            return (
                self._handler(value) if self._context.view is View.ORIGIN else once(urls_to_suffix(self._hosts), value)
            )
        text = _text(value)
        if "&" not in text:
            url = self._hosts.url_to_suffix(text)
            return value if url is text else _bytes(url)
        plain = _text(_REFERENCE.sub(_dereference, value))
        url = self._hosts.url_to_suffix(plain)
        if url == plain:
            return value
        # The mapped head is spliced before what followed the authority, whose references stay as they were.
        head = _HEAD.match(url)
        return _bytes(head[0]) + _after_authority(value) if head else value

    def _srcdoc(self, value: bytes) -> bytes:
        source = _bytes(html.unescape(_text(value)))
        changed = self._page_in_page(source)
        return value if changed == source else _bytes(html.escape(_text(changed)))


def _dereference(found: re.Match[bytes]) -> bytes:
    if found[3]:
        return _REFERENCES[found[3]].encode()
    code = int(found[1], 16) if found[1] else int(found[2])
    return chr(code).encode() if 0 < code < 128 else found[0]


def _after_authority(value: bytes) -> bytes:
    """What follows scheme, slashes and authority in a raw attribute value, references untouched."""
    at, slashes, scheme = 0, 0, True
    while at < len(value):
        found = _REFERENCE.match(value, at)
        token = _dereference(found) if found else value[at : at + 1]
        width = found.end() - at if found else 1
        if token in b"/\\" and token:
            if not scheme:
                return value[at:]
            slashes += 1
        elif token in b"?#" and not (found and token == b"#"):
            return value[at:]
        elif slashes >= 2 and token not in b"\t\r\n":
            scheme = False
        at += width
    return b""
