"""One start tag of a page: which of its attributes hold URLs, policies, styles, scripts or pages, and their mapping.

Text that people read or edit is never changed, and what does not change keeps its bytes. `integrity` stays as it is: a
resource that some page pins is not rewritten (`integrity`).
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Callable
from urllib.parse import quote_from_bytes, unquote_to_bytes

from casb.model.app import View
from casb.rewrite import csp
from casb.rewrite.context import PagePolicy, RewriteContext
from casb.rewrite.markup import NAMED, ORIGIN, URL_ATTRIBUTES, attributes
from casb.rewrite.scan import BodyRewriter, names_to_suffix, once, urls_to_suffix, values_to_suffix
from casb.rewrite.script import ScriptRewriter, rewrite_script
from casb.rewrite.sniff import Sniffed, is_plain_script

_SCRIPTS = re.compile(rb"|module|(?:text|application)/(?:x-)?(?:java|ecma|j|live)script[0-9.]*", re.IGNORECASE)
_DATA = re.compile(rb"importmap|speculationrules|(?:text|application)/(?:[a-z0-9.+_-]*\+)?json", re.IGNORECASE)
_TEMPLATES = re.compile(
    rb"text/html|text/ng-template|text/(?:x-)?(?:template|tmpl|handlebars|mustache|underscore)[a-z-]*"
    rb"|text/x-handlebars-template|text/x-(?:jquery|kendo|jsrender)-(?:tmpl|template)",
    re.IGNORECASE,
)
_DATA_URL = re.compile(
    rb"[\x00-\x20]*data:(?P<type>text/html|text/css|application/xhtml\+xml|image/svg\+xml)"
    rb"(?P<rest>(?:;(?!base64)[^;,]*)*)(?P<base64>;\s*base64)?,(?P<body>.*)\Z",
    re.IGNORECASE | re.DOTALL,
)
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
_TEXTS = frozenset(b"srcset imagesrcset ping attributionsrc archive".split())
_PAINT = frozenset(
    b"style fill stroke filter mask clip-path cursor marker marker-start marker-mid marker-end".split()
)  # style sheets, or a value of one
_ANIMATED = frozenset((b"from", b"to", b"by", b"values"))
_METAS = frozenset((b"msapplication-tileimage", b"msapplication-config", b"msapplication-starturl"))
_TRUSTED_FRAME = re.compile(rb"(?:^|[\t\n\f\r ])allow-scripts(?:[\t\n\f\r ]|$)", re.IGNORECASE)
_ABSOLUTE = re.compile(r"[\\/]{2}([^/\\?#]*)|https:[\\/]{2}([^/\\?#]*)|[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_NEEDS_QUOTES = frozenset(b"\t\n\f\r <>\"'`=")
_URL_SAFE = "/:?=,;@!$()*+~-._"
_HEAD = re.compile(r"[^:/?#]*:?//[^/\\?#]*")
_MANIFEST = re.compile(rb"(?:^|[\t\n\f\r ])manifest(?:[\t\n\f\r ]|$)", re.IGNORECASE)
_RELATIVE = re.compile(rb"[?#]|/(?![/\\&\t\n\r])")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


class Elements:
    """Start tags of one page. `page_in_page(guard)` makes what rewrites a document that stands in an attribute.

    `guard` says whether this page has the guard, so that a document in it gets it too.
    """

    __slots__ = ("_context", "_guard", "_hosts", "_page", "_page_in_page")

    def __init__(
        self,
        context: RewriteContext,
        page: PagePolicy,
        page_in_page: Callable[[bool], BodyRewriter | None],
        *,
        guard: bool = False,
    ) -> None:
        self._context = context
        self._hosts = context.hosts
        self._page = page
        self._page_in_page = page_in_page
        self._guard = guard

    def content(self, name: bytes, tag: bytes) -> BodyRewriter | None:
        """What rewrites the raw text behind a start tag; None leaves it. `name` is in lower case."""
        if name == b"noscript":
            return self._page_in_page(False)  # seen by browsers in which no guard would run
        if name == b"style":
            return None if self._page.hashed else urls_to_suffix(self._hosts)
        if name != b"script":
            return None
        kind = b""
        if b"type" in tag.lower():
            kind = attributes(tag, 1 + len(name)).get(b"type", b"").split(b";")[0].strip()
        if _SCRIPTS.fullmatch(kind):
            if self._page.hashed:
                return None
            return Sniffed(ScriptRewriter(self._hosts, self._context.view), is_plain_script)
        if _DATA.fullmatch(kind):
            if b"/" not in kind:  # the browser itself reads import maps and speculation rules; hashes count for them
                return None if self._page.hashed else urls_to_suffix(self._hosts)
            return values_to_suffix(self._hosts) if self._context.view is View.SUFFIX else None
        return self._page_in_page(False) if _TEMPLATES.fullmatch(kind) else None

    def drawing_text(self, name: bytes) -> BodyRewriter | None:
        """What rewrites the text of a `script` or `style` that belongs to SVG."""
        if not name or self._page.hashed:
            return None
        if name == b"script":
            return ScriptRewriter(self._hosts, self._context.view)
        return urls_to_suffix(self._hosts)

    def start(self, name: bytes, tag: bytes) -> bytes:
        """A start tag with its attributes mapped; the same object when nothing changes. `name` is in lower case."""
        begin = 1 + len(name)
        out: list[bytes] = []
        done = 0
        given: dict[bytes, bytes] | None = None
        for found in NAMED.finditer(tag, begin):
            group = found.lastindex or 1
            if group == 1:
                continue
            key, value = found[1].lower(), found[group]
            if key in URL_ATTRIBUTES:
                changed = self.url(value)
            else:
                if given is None:
                    given = attributes(tag, begin)
                changed = self.attribute(name, key, value, given)
            if changed is not value and changed != value:
                if group == 4 and (not changed or set(changed) & _NEEDS_QUOTES):
                    changed = b'"' + changed.replace(b'"', b"&quot;") + b'"'
                out += (tag[done : found.start(group)], changed)
                done = found.end(group)
        if done:
            out.append(tag[done:])
            tag = b"".join(out)
        return self._manifest(tag, begin) if name == b"link" else tag

    def _manifest(self, tag: bytes, begin: int) -> bytes:
        """A link to the page's own manifest, which browsers ask for without any cookie unless it says otherwise (HTML,
        section 4.6.7.10), so without our session. Of two attributes of one name the first counts."""
        given = attributes(tag, begin)
        if not _MANIFEST.search(given.get(b"rel", b"")):
            return tag
        url = html.unescape(_text(given.get(b"href", b""))).strip()
        parts = _ABSOLUTE.match(url)
        if not url or (parts and (parts[1] or parts[2] or "").lower() != self._context.page_host):
            return tag
        return tag[:begin] + b' crossorigin="use-credentials"' + tag[begin:]

    def attribute(self, name: bytes, key: bytes, value: bytes, given: dict[bytes, bytes]) -> bytes:
        """An attribute that is more, or less, than one URL."""
        if key in _TEXTS or (key in _ANIMATED and name.startswith((b"animate", b"set"))):
            return once(urls_to_suffix(self._hosts), value)
        if key.startswith(b"data-") and self._context.view is View.ORIGIN:
            return value
        if key.startswith(b"data-"):
            # As in a quoted string, so that a URL which is the whole value counts.
            return once(values_to_suffix(self._hosts), b'"' + value + b'"')[1:-1]
        if key in _PAINT or (key.startswith(b"on") and len(key) > 2):
            if self._page.hashed:
                return value
            return once(urls_to_suffix(self._hosts), value) if key in _PAINT else self._handler(value)
        if key == b"srcdoc":
            return self._srcdoc(value, given.get(b"sandbox"))
        if key == b"content" and name == b"meta":
            return self._meta(value, given)
        if key == b"value" and name == b"param":
            return self.url(value)
        return value

    def _meta(self, value: bytes, given: dict[bytes, bytes]) -> bytes:
        meta = given.get(b"http-equiv", b"").strip().lower()
        if meta == b"refresh":
            return once(urls_to_suffix(self._hosts), value)
        if meta.startswith(b"content-security-policy"):
            policy = html.unescape(_text(value))
            mapped = csp.to_suffix(
                policy, self._context, nonce=self._page.nonce, enforced=not meta.endswith(b"-report-only")
            )
            return _bytes(html.escape(mapped)) if mapped != policy else value
        if given.get(b"name", b"").strip().lower() in _METAS:
            return once(urls_to_suffix(self._hosts), value)
        return value

    def _handler(self, value: bytes) -> bytes:
        """A script in an attribute."""
        if self._context.view is View.SUFFIX:
            return once(names_to_suffix(self._hosts), value)
        source = _bytes(html.unescape(_text(value)))
        changed = rewrite_script(source, self._hosts, view=View.ORIGIN)
        return value if changed == source else _bytes(html.escape(_text(changed)))

    def url(self, value: bytes) -> bytes:
        """A URL attribute; character references in the scheme and authority are seen through."""
        if _RELATIVE.match(value):
            return value
        if origin := ORIGIN.match(value):
            mapped = self._hosts.origin_to_suffix(origin[0])
            return value if mapped is None else mapped + value[origin.end() :]
        if value[:11].strip().lower().startswith(b"javascript:"):
            return value if self._page.hashed else self._handler(value)
        if found := _DATA_URL.match(value):
            return self._data_url(value, found)
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

    def _srcdoc(self, value: bytes, sandbox: bytes | None) -> bytes:
        source = _bytes(html.unescape(_text(value)))
        guard = self._guard and (sandbox is None or bool(_TRUSTED_FRAME.search(sandbox)))
        inner = self._page_in_page(guard)
        changed = _whole(inner, source) if inner else source
        return value if changed == source else _bytes(html.escape(_text(changed)))

    def _data_url(self, value: bytes, found: re.Match[bytes]) -> bytes:
        """A document or style sheet inside the URL. Its origin is opaque: what it asks for must be mapped here."""
        escaped = html.unescape(_text(found["body"]))
        body = unquote_to_bytes(escaped)
        if found["base64"]:
            try:
                body = base64.b64decode(body + b"=" * (-len(body) % 4))
            except (binascii.Error, ValueError):
                return value
        page = found["type"].lower() == b"text/html"
        inner = self._page_in_page(False) if page else urls_to_suffix(self._hosts)
        changed = _whole(inner, body) if inner else body
        if changed == body:
            return value
        text = base64.b64encode(changed) if found["base64"] else quote_from_bytes(changed, _URL_SAFE).encode()
        return value[: found.start("body")] + text


def _whole(rewriter: BodyRewriter, data: bytes) -> bytes:
    return rewriter.feed(data) + rewriter.finish()


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
