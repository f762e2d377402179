"""HTML as a stream: URLs in attributes, inline scripts and styles, and the guard's tag first in the head.

A tokenizer as far as it tells where a tag, an attribute value, a comment and raw text begin and end. One pass says
where hosts of ours and tags of consequence are; what lies between is walked over by one regular expression, plain
links in it are mapped where they stand, and only other tags with a hit, and those whose content is no plain markup,
are taken apart (`elements`, `foreign`).

The joined output does not depend on how the input was cut.
"""

from __future__ import annotations

import bisect
import re

from casb.rewrite.context import GUARD_PATH, NO_SCRIPT_PATH, PagePolicy, RewriteContext, guard_version
from casb.rewrite.elements import Elements
from casb.rewrite.foreign import Foreign
from casb.rewrite.markup import (
    BOGUS_END,
    CDATA_END,
    COMMENT,
    COMMENT_END,
    DRAWING,
    HEAD_OF_URL,
    QUIET,
    RAW_NAMES,
    SPACE,
    TAG,
    URL_ATTRIBUTES,
    RawText,
    attributes,
)
from casb.rewrite.scan import BodyRewriter

_MAX_TAG = 8 * 1024 * 1024  # a longer tag ends rewriting for this document; nothing is held beyond it
_PIECE = 1024 * 1024
_MAX_DEPTH = 6  # pages in attributes of pages, or seen without scripts only; deeper ones stay as they are
_PATIENCE = 64 * 1024  # a held tag longer than this is looked at again only when it has doubled

_LETTER = bytes(1 if chr(code).isascii() and chr(code).isalpha() else 0 for code in range(256))
_MORE = -1


class HtmlRewriter:
    """A `BodyRewriter` for `text/html` in any ASCII-compatible charset."""

    __slots__ = (
        "_bytes_held", "_comment", "_elements", "_foreign", "_guard", "_held", "_hits", "_hosts", "_inner", "_marks",
        "_off", "_patience", "_raw", "_started",
    )  # fmt: skip

    def __init__(self, context: RewriteContext, page: PagePolicy, *, guard: bool, depth: int = 0) -> None:
        def page_in_page(inner: bool) -> BodyRewriter | None:
            return HtmlRewriter(context, page, guard=inner, depth=depth + 1) if depth < _MAX_DEPTH else None

        self._hosts = context.hosts
        self._elements = Elements(context, page, page_in_page, guard=guard)
        self._foreign = Foreign()
        self._hits: list[int] = []  # in the data at hand
        self._marks: list[int] = []  # those of them that are tags
        self._guard = _guard_tag(context, page) if guard else b""  # empty once it is in
        self._held: list[bytes] = []
        self._bytes_held = 0
        self._patience = 0
        self._raw: RawText | None = None
        self._inner: BodyRewriter | None = None  # what the raw text goes through
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
        if len(data) > _MAX_TAG and not self._raw and not self._comment and (long := TAG.match(data)):
            at = self._tag(data, long, out)
        self._hits = self._hosts.markup_finder.starts(data)
        self._marks = [hit for hit in self._hits if data[hit] == 0x3C]
        while at < len(data) and (step := self._step(data, at, out)) != _MORE:
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
        if self._raw and self._inner:
            out += (self._inner.feed(rest), self._inner.finish())
        else:
            out.append(rest)
        if self._guard and self._started:
            out.append(self._guard)

    def _step(self, data: bytes, at: int, out: list[bytes]) -> int:
        """Consume one stretch from `at` into `out`: the offset behind it, or `_MORE` when more input is needed."""
        if self._raw:
            return self._raw_text(self._raw, data, at, out)
        if self._comment:
            return self._in_comment(self._comment, data, at, out)
        if self._guard:
            return self._prologue(data, at, out)
        if self._foreign:
            return self._in_foreign(data, at, out)
        end = self._quiet(data, at, out)
        if end == len(data):
            return end
        step = self._token(data, end, out)
        return end if step == _MORE and end > at else step

    def _quiet(self, data: bytes, at: int, out: list[bytes]) -> int:
        """Consume text, tags without surprises and plain drawings: the offset of the first token that is none."""
        marks, size, quiet = self._marks, len(data), QUIET.match
        index = bisect.bisect_left(marks, at)
        end = at
        while True:
            while index < len(marks) and marks[index] < end:
                index += 1
            mark = marks[index] if index < len(marks) else size
            end = quiet(data, end, mark).end()  # type: ignore[union-attr]  # it matches the empty string
            if end < mark or mark == size or (drawing := DRAWING.match(data, mark)) is None:
                break
            end = drawing.end()
        if end > at:
            self._plain_links(data, at, end, out)
        return end

    def _plain_links(self, data: bytes, at: int, end: int, out: list[bytes]) -> None:  # noqa: C901  # calls cost here
        """Emit what `QUIET` matched, with what is ours in it mapped. Here each link counts, in nanoseconds too."""
        hits, mapped = self._hits, self._hosts.origin_to_suffix
        rfind, find = data.rfind, data.find
        apostrophes = find(b"'", at, end) >= 0
        done = passed = at
        edited, kept, before = -1, 0, 0  # the tag that the last edit was in; what to go back to
        for hit in hits[bisect.bisect_left(hits, at) : bisect.bisect_left(hits, end)]:
            if hit < passed:
                continue
            tag = rfind(b"<", at, hit + 1)
            if tag < 0 or rfind(b">", tag, hit) >= 0 or not _LETTER[data[tag + 1]]:
                continue  # in text, which is not ours to change, or in an end tag
            quote = rfind(b'"', tag, hit)
            if quote > 0 and (
                data[quote - 6 : quote] == b" href="
                or data[quote - 5 : quote] == b" src="
                or (data[quote - 1] == 0x3D and data[rfind(b" ", tag, quote) + 1 : quote - 1] in URL_ATTRIBUTES)
            ):
                close = find(b'"', quote + 1)
                stop = find(b"/", quote + 9, close)
                if hit < stop < quote + 300 and (origin := mapped(data[quote + 1 : stop])) is not None:
                    pass
                elif (url := HEAD_OF_URL.match(data, quote + 1)) is not None and hit < url.end():
                    stop, origin = url.end(), mapped(url[0])
                else:
                    stop, origin = -1, None
                if stop > 0 and not (apostrophes and rfind(b"'", tag, quote) >= 0):
                    if origin is not None:
                        if edited != tag:
                            edited, kept, before = tag, len(out), done
                        out += (data[done : quote + 1], origin)
                        done = stop
                    passed = close
                    continue
            if edited == tag:
                del out[kept:]
                done = before
            found = TAG.match(data, tag)
            if found is None:
                raise ValueError("a tag that is none")
            passed = found.end()
            out += (data[done:tag], self._elements.start(found[2].lower(), found[0]))
            done = passed
        if end > done:
            out.append(data[done:end])

    def _in_foreign(self, data: bytes, at: int, out: list[bytes]) -> int:
        """One token inside SVG or MathML."""
        if data[at] != 0x3C:
            end = data.find(b"<", at)
            inner = self._elements.drawing_text(self._foreign.text_of)
            if inner is None:
                end = len(data) if end < 0 else end
                out.append(data[at:end])
                return end
            if end < 0:
                return _MORE
            out.append(inner.feed(data[at:end]) + inner.finish())
            return end
        if self._foreign.cdata and b"<![CDATA[".startswith(data[at : at + 9]):
            if len(data) - at < 9:
                return _MORE
            out.append(data[at : at + 9])
            self._comment = CDATA_END
            return at + 9
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
        end = SPACE.match(data, at).end()  # type: ignore[union-attr]  # it matches the empty string
        if end > at:
            out.append(data[at:end])
            return end
        if data[at] == 0x3C:
            following = data[at + 1 : at + 2]
            if not following or following in b"!?/":
                return self._token(data, at, out)
            if following.isalpha():
                tag = TAG.match(data, at)
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
        tag = TAG.match(data, at)
        return self._tag(data, tag, out) if tag else _MORE

    def _begin_comment(self, data: bytes, at: int, out: list[bytes]) -> int:
        if found := COMMENT.match(data, at):
            out.append(found[0])
            return found.end()
        if len(data) - at < 6:
            return _MORE
        out.append(data[at : at + 4])
        self._comment = COMMENT_END
        return at + 4

    def _begin_bogus(self, data: bytes, at: int, out: list[bytes]) -> int:
        if len(data) - at < 3:
            return _MORE
        found = data.find(b">", at + 2)
        if found >= 0:
            out.append(data[at : found + 1])
            return found + 1
        out.append(data[at:])
        self._comment = BOGUS_END
        return len(data)

    def _in_comment(self, ending: re.Pattern[bytes], data: bytes, at: int, out: list[bytes]) -> int:
        if found := ending.search(data, at):
            self._comment = None
            out.append(data[at : found.end()])
            return found.end()
        end = len(data) if ending is BOGUS_END else max(at, len(data) - 3)  # the longest ending less one
        out.append(data[at:end])
        return end if end > at else _MORE

    def _raw_text(self, raw: RawText, data: bytes, at: int, out: list[bytes]) -> int:
        end, closed = raw.find_end(data, at)
        inner = self._inner
        if end > at:
            out.append(inner.feed(data[at:end]) if inner else data[at:end])
        if closed:
            if inner:
                out.append(inner.finish())
            self._raw = self._inner = None
            return end
        return end if end > at else _MORE

    def _tag(self, data: bytes, tag: re.Match[bytes], out: list[bytes]) -> int:
        name = tag[2].lower()
        if tag.end() - tag.start() > _MAX_TAG:
            self._off = True
            out.append(data[tag.start() :])
            return len(data)
        hits = self._hits
        index = bisect.bisect_right(hits, tag.start())
        changes = index < len(hits) and hits[index] < tag.end()
        if tag[1]:
            self._foreign.end(name)
            out.append(tag[0])
            return tag.end()
        out.append(self._elements.start(name, tag[0]) if changes else tag[0])
        if self._foreign or name in (b"svg", b"math"):
            found = attributes(tag[0], 1 + len(name))
            if not self._foreign.start(name, found, tag[0].endswith(b"/>")):
                return tag.end()
        if name in RAW_NAMES:
            if name == b"plaintext":
                self._off = True
                out.append(data[tag.end() :])
                return len(data)
            self._raw, self._inner = RawText(name), self._elements.content(name, tag[0])
        return tag.end()


def guard_address(context: RewriteContext, page: PagePolicy) -> bytes:
    """The attributes of the guard's tag.

    The version makes the script cacheable for good. Integrity needs CORS where the document's origin is opaque.
    """
    version = f"?v={guard_version(context.guard_digest)}" if context.guard_digest else ""
    nonce = f' nonce="{page.nonce}"' if page.nonce else ""
    digest = f' integrity="{page.digest}" crossorigin' if page.digest else ""
    controls = f' data-casb="{context.controls.decode()}"' if context.controls else ""
    return f'src="{GUARD_PATH}{version}"{nonce}{digest}{controls}'.encode()


def _guard_tag(context: RewriteContext, page: PagePolicy) -> bytes:
    tag = b"<script " + guard_address(context, page) + b"></script>"
    return tag + _WITHOUT_SCRIPT if context.needs_script and context.destination == "document" else tag


_WITHOUT_SCRIPT = f'<noscript><meta http-equiv="refresh" content="0;url={NO_SCRIPT_PATH}"></noscript>'.encode()
