"""HTML as a stream: URLs in attributes, inline scripts and styles, and the guard's tag first in the head.

A tokenizer after the WHATWG states (HTML, section 13.2.5) as far as they tell where a tag, an attribute value, a
comment and raw text begin and end. Stretches without a host of ours are skipped by one regular expression; only tags
with one, and those whose content is raw text, are taken apart. Text that people read or edit is never changed.

The joined output does not depend on how the input was cut. `integrity` is dropped from elements whose URL leads to a
host of ours, for the resource may have been rewritten and a proxy without memory cannot know; elsewhere it stays.
"""

from __future__ import annotations

import bisect
import html
import re

from casb.rewrite import csp
from casb.rewrite.context import GUARD_PATH, PagePolicy, RewriteContext
from casb.rewrite.scan import BodyRewriter, names_to_suffix, once, urls_to_suffix

_S = rb"[\t\n\f\r ]"
_VALUE = rb"(?:\"[^\"]*+\"|'[^']*+'|(?![\"'])[^\t\n\f\r >]++|(?=>))"
_ATTRIBUTE = rb"[^\t\n\f\r />][^\t\n\f\r />=]*+(?:" + _S + rb"*+=" + _S + rb"*+" + _VALUE + rb"|(?!" + _S + rb"*+=))"
_TAIL = rb"(?:[\t\n\f\r /]++|" + _ATTRIBUTE + rb")*+>"
_RAW_TEXT = rb"script|style|textarea|title|xmp|iframe|noembed|noframes|plaintext"
_SPECIAL = rb"(?:" + _RAW_TEXT + rb")[\t\n\f\r />]"
_COMMENT = rb"<!--(?:-?>|(?s:.*?)--!?>)"
_BOGUS = rb"<(?:!(?!--)|\?|/[^a-zA-Z])[^>]*+>|</>"

_SKIP = re.compile(
    rb"(?:[^<]++|<(?!(?i:"
    + _SPECIAL
    + rb"))/?[a-zA-Z][^\t\n\f\r />]*+"
    + _TAIL
    + rb"|"
    + _COMMENT
    + rb"|<!(?!-)[^>]*+>|<\?[^>]*+>"
    rb"|</[^a-zA-Z>][^>]*+>|</>|<(?=<)|<[^a-zA-Z/!?<])*+"
)
_TAG = re.compile(rb"<(/?)([a-zA-Z][^\t\n\f\r />]*+)" + _TAIL)
_NAMED = re.compile(
    rb"([^\t\n\f\r />][^\t\n\f\r />=]*+)(?:"
    + _S
    + rb"*+="
    + _S
    + rb"*+(?:\"([^\"]*+)\"|'([^']*+)'|((?![\"'])[^\t\n\f\r >]++)|(?=>))|(?!"
    + _S
    + rb"*+=))"
)
_COMMENT_TOKEN = re.compile(_COMMENT)
_COMMENT_END = re.compile(rb"--!?>")
_BOGUS_TOKEN = re.compile(_BOGUS)
_SCRIPT_MARK = re.compile(rb"<!--(?P<open>-?>)?|(?P<close>-->)|<(?P<slash>/?)script(?=[\t\n\f\r />])", re.IGNORECASE)
_GREATER = re.compile(rb">")
_SPACE = re.compile(rb"[\t\n\f\r ]*+")
_RAW_NAMES = frozenset(_RAW_TEXT.split(b"|"))
_MAX_TAG = 8 * 1024 * 1024  # a longer tag ends rewriting for this document; nothing is held beyond it
_PIECE = 1024 * 1024
_PATIENCE = 64 * 1024  # a held tag longer than this is looked at again only when it has doubled

_MORE = -1
_URL = frozenset(
    b"href src action formaction poster data background cite longdesc manifest codebase profile xlink:href classid "
    b"lowsrc dynsrc".split()
)
_CANDIDATES = frozenset((b"srcset", b"imagesrcset"))
_SCRIPT_TYPES = re.compile(
    rb"|module|importmap|speculationrules|(?:text|application)/(?:x-)?(?:java|ecma|j|live)script[0-9.]*|(?:text|application)/(?:[a-z0-9.+_-]*\+)?json|text/(?:x-)?template|text/html"
    rb"|text/x-handlebars(?:-template)?\Z",
    re.IGNORECASE,
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
_AUTHORITY = re.compile(r"[\x00-\x20]*(?:https?:|wss?:)?[\t\r\n]*[/\\][\t\r\n]*[/\\][^?#]{0,1000}", re.IGNORECASE)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _bytes(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


class _Raw:
    """Raw text up to its end tag: passed on as it is, or through a rewriter of its own."""

    __slots__ = ("double", "end", "escaped", "inner", "name")

    def __init__(self, name: bytes, inner: BodyRewriter | None) -> None:
        self.name = name
        self.inner = inner
        self.end = re.compile(rb"</" + name + rb"(?=[\t\n\f\r />])", re.IGNORECASE)
        self.escaped = self.double = False  # script data escaped, double escaped (section 13.2.5.20 and following)

    def find_end(self, data: bytes, start: int) -> tuple[int, bool]:
        """Where the text is decided up to, and whether its end tag begins there."""
        if self.name != b"script":
            found = self.end.search(data, start)
            return (found.start(), True) if found else (_undecided(data, start, len(self.name) + 3), False)
        at = start
        for mark in _SCRIPT_MARK.finditer(data, start):
            if mark["close"]:
                self.escaped = self.double = False
            elif mark[0].startswith(b"<!--"):
                if not mark["open"] and data[mark.end() : mark.end() + 2] in (b"", b"-"):
                    return mark.start(), False  # "<!-->" and "<!--->" end at once
                self.escaped, self.double = (False, False) if mark["open"] else (True, self.double)
            elif not mark["slash"]:
                self.double = self.double or self.escaped
            elif self.double:
                self.double = False
            else:
                return mark.start(), True
            at = mark.end()
        return max(at, _undecided(data, at, 9)), False

    def change(self, data: bytes) -> bytes:
        return self.inner.feed(data) if self.inner else data

    def close(self) -> bytes:
        return self.inner.finish() if self.inner else b""


def _undecided(data: bytes, start: int, width: int) -> int:
    """The first offset from which a marker of up to `width` bytes may still be growing."""
    low = max(start, len(data) - width)
    for offset in range(low, len(data)):
        if data[offset] in b"<-":
            return offset
    return len(data)


class HtmlRewriter:
    """A `BodyRewriter` for `text/html` in any ASCII-compatible charset."""

    __slots__ = (
        "_bytes_held", "_comment", "_context", "_guard", "_held", "_hosts", "_off", "_page", "_patience", "_raw",
        "_started",
    )  # fmt: skip

    def __init__(self, context: RewriteContext, page: PagePolicy, *, guard: bool) -> None:
        self._context = context
        self._hosts = context.hosts
        self._page = page
        self._guard = _guard_tag(page) if guard else b""  # empty once it is in
        self._held: list[bytes] = []
        self._bytes_held = 0
        self._patience = 0
        self._raw: _Raw | None = None
        self._comment: re.Pattern[bytes] | None = None
        self._off = False
        self._started = False

    def feed(self, chunk: bytes) -> bytes:
        if len(chunk) <= _PIECE:
            return self._feed(chunk)
        return b"".join([self._feed(chunk[at : at + _PIECE]) for at in range(0, len(chunk), _PIECE)])

    def finish(self) -> bytes:
        return b"" if self._off else self._run(b"".join(self._held), final=True)

    def _feed(self, chunk: bytes) -> bytes:
        if self._off:
            return chunk
        if self._held:
            self._held.append(chunk)
            self._bytes_held += len(chunk)
            if self._bytes_held < self._patience:
                return b""
            chunk = b"".join(self._held)
        return self._run(chunk, final=False)

    def _run(self, data: bytes, *, final: bool) -> bytes:
        self._held, self._bytes_held, self._patience = [], 0, 0
        out: list[bytes] = []
        at = 0
        if len(data) > _MAX_TAG and not self._raw and not self._comment and (long := _TAG.match(data)):
            at = self._tag(data, long, out)
        hits = self._hosts.markup_finder.starts(data)
        while at < len(data) and (step := self._step(data, at, hits, out)) != _MORE:
            at = step
        rest = data[at:]
        if final:
            self._end(rest, out)
        elif len(rest) > _MAX_TAG:
            self._off = True
            out.append(rest)
        elif rest:
            self._held, self._bytes_held = [rest], len(rest)
            self._patience = 2 * len(rest) if len(rest) > _PATIENCE else 0
        return b"".join(out)

    def _end(self, rest: bytes, out: list[bytes]) -> None:
        if self._raw:
            out += (self._raw.change(rest), self._raw.close())
        else:
            out.append(rest)
        if self._guard and self._started:
            out.append(self._guard)

    def _step(self, data: bytes, at: int, hits: list[int], out: list[bytes]) -> int:
        """Consume one stretch from `at` into `out`: the offset behind it, or `_MORE` when more input is needed."""
        if self._raw:
            return self._raw_text(self._raw, data, at, out)
        if self._comment:
            return self._in_comment(self._comment, data, at, out)
        if self._guard:
            return self._prologue(data, at, out)
        index = bisect.bisect_left(hits, at)
        stop = hits[index] if index < len(hits) else len(data)
        end = _SKIP.match(data, at, stop).end()  # type: ignore[union-attr]  # it matches the empty string
        if end == stop < len(data):  # the hit is in text: go past it, text is not ours to change
            found = data.find(b"<", stop)
            end = found if found >= 0 else len(data)
        if end > at:
            out.append(data[at:end])
            return end
        return self._token(data, at, out)

    def _prologue(self, data: bytes, at: int, out: list[bytes]) -> int:
        """Before the guard is in: only a byte order mark, white space, comments, the doctype and <html> precede it."""
        if not self._started:
            if data[at:] in (b"\xef", b"\xef\xbb"):
                return _MORE
            self._started = True
            if data.startswith(b"\xef\xbb\xbf", at):
                out.append(data[at : at + 3])
                return at + 3
        end = _SPACE.match(data, at).end()  # type: ignore[union-attr]  # it matches the empty string
        if end > at:
            out.append(data[at:end])
            return end
        if data[at] == 0x3C:
            following = data[at + 1 : at + 2]
            if not following or following in b"!?/":
                return self._token(data, at, out)
            if following.isalpha():
                tag = _TAG.match(data, at)
                if tag is None:
                    return _MORE
                if tag[2].lower() in (b"html", b"head"):
                    at = self._tag(data, tag, out)
                    if tag[2].lower() == b"html":
                        return at
        out.append(self._guard)
        self._guard = b""
        return at

    def _token(self, data: bytes, at: int, out: list[bytes]) -> int:
        """The token that begins with the `<` at `at`."""
        following = data[at + 1 : at + 2]
        if not following:
            return _MORE
        if b"<!--".startswith(data[at : at + 4]):
            return self._begin_comment(data, at, out)
        if following in b"!?" or (following == b"/" and not data[at + 2 : at + 3].isalpha()):
            return self._begin_bogus(data, at, out)
        if following != b"/" and not following.isalpha():
            out.append(b"<")
            return at + 1
        tag = _TAG.match(data, at)
        return self._tag(data, tag, out) if tag else _MORE

    def _begin_comment(self, data: bytes, at: int, out: list[bytes]) -> int:
        if found := _COMMENT_TOKEN.match(data, at):
            out.append(found[0])
            return found.end()
        if len(data) - at < 6:
            return _MORE
        out.append(data[at : at + 4])
        self._comment = _COMMENT_END
        return at + 4

    def _begin_bogus(self, data: bytes, at: int, out: list[bytes]) -> int:
        if len(data) - at < 3:
            return _MORE
        found = data.find(b">", at + 2)
        if found >= 0:
            out.append(data[at : found + 1])
            return found + 1
        out.append(data[at:])
        self._comment = _GREATER
        return len(data)

    def _in_comment(self, ending: re.Pattern[bytes], data: bytes, at: int, out: list[bytes]) -> int:
        if found := ending.search(data, at):
            self._comment = None
            out.append(data[at : found.end()])
            return found.end()
        end = len(data) if ending is _GREATER else max(at, len(data) - 3)
        out.append(data[at:end])
        return end if end > at else _MORE

    def _raw_text(self, raw: _Raw, data: bytes, at: int, out: list[bytes]) -> int:
        end, closed = raw.find_end(data, at)
        if end > at:
            out.append(raw.change(data[at:end]))
        if closed:
            out.append(raw.close())
            self._raw = None
            return end
        return end if end > at else _MORE

    def _tag(self, data: bytes, tag: re.Match[bytes], out: list[bytes]) -> int:
        name = tag[2].lower()
        if tag.end() - tag.start() > _MAX_TAG:
            self._off = True
            out.append(data[tag.start() :])
            return len(data)
        if tag[1]:
            out.append(tag[0])
            return tag.end()
        changed = self._element(name, tag[0], 1 + len(name))
        out.append(changed)
        if name in _RAW_NAMES:
            if name == b"plaintext":
                self._off = True
                out.append(data[tag.end() :])
                return len(data)
            self._raw = _Raw(name, self._inner(name, tag[0], 1 + len(name)))
        return tag.end()

    def _inner(self, name: bytes, tag: bytes, start: int) -> BodyRewriter | None:
        if self._page.hashed:
            return None
        if name == b"style":
            return urls_to_suffix(self._hosts)
        if name == b"script":
            kind = _attributes(tag, start).get(b"type", b"").strip().split(b";")[0]
            return names_to_suffix(self._hosts) if _SCRIPT_TYPES.fullmatch(kind.strip()) else None
        return None

    def _element(self, name: bytes, tag: bytes, start: int) -> bytes:
        """A start tag with its attributes mapped; the same object when nothing changes."""
        strip = self._strips_integrity(tag, start)
        meta = b""
        if name == b"meta":
            meta = _attributes(tag, start).get(b"http-equiv", b"").strip().lower()
        out: list[bytes] = []
        done = 0
        for found in _NAMED.finditer(tag, start):
            group = next((number for number in (2, 3, 4) if found[number] is not None), 0)
            key = found[1].lower()
            if key == b"integrity" and strip:
                out.append(tag[done : found.start()].rstrip(b"\t\n\f\r "))
                done = found.end()
            elif group:
                value = found[group]
                changed = self._attribute(key, value, meta)
                if changed is not value and changed != value:
                    out += (tag[done : found.start(group)], changed)
                    done = found.end(group)
        out.append(tag[done:])
        return b"".join(out) if done else tag

    def _strips_integrity(self, tag: bytes, start: int) -> bool:
        if (
            b"integrity" not in tag.lower()
            or not self._hosts.suffix
            or self._hosts.to_suffix(self._context.host) is None
        ):
            return False
        attributes = _attributes(tag, start)
        if b"integrity" not in attributes:
            return False
        url = html.unescape(_text(attributes.get(b"src", attributes.get(b"href", b""))))
        return not _AUTHORITY.match(url) or self._hosts.url_to_suffix(url) != url

    def _attribute(self, key: bytes, value: bytes, meta: bytes) -> bytes:
        if key in _URL:
            return self._url(value)
        if key in _CANDIDATES or key == b"ping":
            return once(urls_to_suffix(self._hosts), value)
        if key == b"style" or key.startswith(b"on"):
            scanner = urls_to_suffix if key == b"style" else names_to_suffix
            return value if self._page.hashed else once(scanner(self._hosts), value)
        if key == b"srcdoc":
            return self._srcdoc(value)
        if key.startswith(b"data-"):
            return once(urls_to_suffix(self._hosts), value)
        if key == b"content" and meta == b"refresh":
            return once(urls_to_suffix(self._hosts), value)
        if key == b"content" and meta.startswith(b"content-security-policy"):
            policy = html.unescape(_text(value))
            mapped = csp.to_suffix(
                policy, self._context, nonce=self._page.nonce, enforced=not meta.endswith(b"-report-only")
            )
            return _bytes(html.escape(mapped)) if mapped != policy else value
        return value

    def _url(self, value: bytes) -> bytes:
        """A URL attribute; character references in the scheme and authority are seen through."""
        if value[:11].strip().lower().startswith(b"javascript:"):
            return value if self._page.hashed else once(urls_to_suffix(self._hosts), value)
        text = _text(value)
        if "&" not in text:
            mapped = self._hosts.url_to_suffix(text)
            return value if mapped is text else _bytes(mapped)
        plain = _REFERENCE.sub(_dereference, value)
        mapped = self._hosts.url_to_suffix(_text(plain))
        if mapped == _text(plain):
            return value
        # The mapped head is spliced before what followed the authority, whose references stay as they were.
        head = _HEAD.match(mapped)
        rest = _after_authority(value)
        return _bytes(head[0]) + rest if head else value

    def _srcdoc(self, value: bytes) -> bytes:
        inner = HtmlRewriter(self._context, self._page, guard=False)
        source = _bytes(html.unescape(_text(value)))
        changed = inner.feed(source) + inner.finish()
        return value if changed == source else _bytes(html.escape(_text(changed)))


_HEAD = re.compile(r"[^:/?#]*:?//[^/\\?#]*")


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


def _attributes(tag: bytes, start: int) -> dict[bytes, bytes]:
    """Names in lower case to raw values; of duplicates the first counts."""
    found: dict[bytes, bytes] = {}
    for attribute in _NAMED.finditer(tag, start, len(tag) - 1):
        found.setdefault(attribute[1].lower(), attribute[2] or attribute[3] or attribute[4] or b"")
    return found


def _guard_tag(page: PagePolicy) -> bytes:
    nonce = f' nonce="{page.nonce}"' if page.nonce else ""
    digest = f' integrity="{page.digest}"' if page.digest else ""
    return f'<script src="{GUARD_PATH}"{nonce}{digest}></script>'.encode()
