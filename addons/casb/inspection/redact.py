"""Masks what was found, on the way: text, JSON, HTML, CSV and event streams come out with the same structure.

A *lexer* cuts the raw bytes into pieces and says what a reader would see of each (the view): JSON strings without their
escapes, HTML text without its tags and with its references resolved. The view goes through the matcher; what it finds
is masked in the raw bytes. Output is held back as far as a finding may reach, and any chunking gives the same bytes.

What a mask looks like: `X` for each letter, digit and other sign of a value; spaces, hyphens, points and slashes stay.
A JSON number that holds a finding becomes `0` followed by spaces up to its length; digits in a script become `1`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from html import unescape
from typing import Final, NamedTuple

from casb.inspection.spec import TextMatcher
from casb.model.file import Finding

_KEPT = b" .-/\t\r\n\"'<>=&;,:()[]{}|\\?`"
_MASK: Final = bytes(each if each in _KEPT else ord("X") for each in range(256))
_SCRIPT: Final = bytes(each if each in _KEPT else ord("1") if 48 <= each < 58 else ord("X") for each in range(256))
_CONTINUED: Final = bytes(range(0x80, 0xC0))  # bytes that continue a character of UTF-8: one mask for each character
_SEEN: Final = bytes(range(128)) + b"?" * 128  # other encodings than UTF-8: what is not ASCII is seen as one sign

LONGEST_TAG: Final = 64 * 1024
_LONGEST_NUMBER: Final = 256


class Piece(NamedTuple):
    """A piece of the raw bytes. `view` is what a reader sees of it; None: just the raw bytes.

    `kind`: t text (masked byte by byte), e escape (masked as one sign), n number, s script, m markup (never touched).
    """

    raw: bytes
    kind: str
    view: bytes | None = None


class Lexer(ABC):
    """Cuts one body into pieces. Push style; holds back what it cannot tell yet."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, chunk: bytes) -> list[Piece]:
        """The pieces that are certain."""
        return self._run(chunk, final=False)

    def finish(self) -> list[Piece]:
        """The rest."""
        return self._run(b"", final=True)

    def _run(self, chunk: bytes, *, final: bool) -> list[Piece]:
        data = self._held + chunk if self._held else chunk
        pieces: list[Piece] = []
        at = 0
        while at < len(data):
            before = at
            for piece in self.step(data, at, final):
                at += len(piece.raw)
                pieces.append(piece)
            if at == before:
                break
        self._held = data[at:]
        if final and self._held:
            pieces.append(Piece(self._held, "t"))
            self._held = b""
        return pieces

    @abstractmethod
    def step(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        """The next pieces from `at`; none when more must be known."""


class TextLexer(Lexer):
    """Plain text and CSV: as it is."""

    def step(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        yield Piece(data[at:], "t")


class AsciiLexer(Lexer):
    """Text in an encoding of one byte a sign."""

    def step(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        yield Piece(data[at:], "t", data[at:].translate(_SEEN))


_ESCAPES: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f"}
_RUN = re.compile(rb'[^"\\]+')
_OUTSIDE = re.compile(rb'[^"0-9-]+')
_NUMBER = re.compile(rb"-?[0-9][0-9.eE+-]*|-")
_UNICODE = re.compile(rb"\\u([0-9a-fA-F]{4})")


class JsonLexer(Lexer):
    """JSON texts, one or many (NDJSON). What is no JSON comes out as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._inside = False

    def step(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        return self._string(data, at, final) if self._inside else self._outside(data, at, final)

    def _outside(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        if data[at : at + 1] == b'"':
            self._inside = True
            yield Piece(b'"', "m", b'"')
        elif (number := _NUMBER.match(data, at)) is not None:
            if number.end() < len(data) or final:
                yield Piece(number[0], "n")
            elif number.end() - at > _LONGEST_NUMBER:
                yield Piece(number[0], "s")
        elif (other := _OUTSIDE.match(data, at)) is not None:
            yield Piece(other[0], "m", other[0])

    def _string(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        if (run := _RUN.match(data, at)) is not None:
            yield Piece(run[0], "t")
        elif data[at : at + 1] == b'"':
            self._inside = False
            yield Piece(b'"', "m", b'"')
        else:
            yield from _escape(data, at, final)


def _escape(data: bytes, at: int, final: bool) -> Iterator[Piece]:
    """An escape of a JSON string (RFC 8259 section 7), pairs of surrogates together."""
    letter = data[at + 1 : at + 2]
    if letter != b"u":
        if letter:
            yield Piece(data[at : at + 2], "e", _ESCAPES.get(letter, letter))
        return
    if len(data) - at < 12 and not final:
        return
    first = _UNICODE.match(data, at)
    if first is None:
        yield Piece(data[at : at + 2], "e", b"u")
        return
    code, end = int(first[1], 16), first.end()
    second = _UNICODE.match(data, end) if 0xD800 <= code < 0xDC00 else None
    if second is not None and 0xDC00 <= (low := int(second[1], 16)) < 0xE000:
        code, end = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00), second.end()
    view = b"?" if 0xD800 <= code < 0xE000 else chr(code).encode()
    yield Piece(data[at:end], "e", view)


_TEXT = re.compile(rb"[^<&]+")
_REFERENCE = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});?")
_TAG = re.compile(rb"<(/?)([A-Za-z][A-Za-z0-9:-]*)(?:\"[^\"]*\"|'[^']*'|[^'\">])*>")
_OPENS = re.compile(rb"</?[A-Za-z]|<[!?]")
_DECLARED = re.compile(rb"<[!?][^>]*>")
_SPEAKS = re.compile(rb"=\s*[\"']?[^\"'>]*?[0-9@]")
_INLINE = frozenset(
    b"a abbr b bdi bdo big cite code data del dfn em font i ins kbd mark q s samp small span strong sub sup time tt u var wbr".split()  # noqa: E501
)
_RAW = {b"script", b"style"}


class HtmlLexer(Lexer):
    """HTML as browsers read it: text across inline tags is one text, and values of attributes are text as well."""

    def __init__(self) -> None:
        super().__init__()
        self._until = b""  # inside a script or style: its end tag

    def step(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        if self._until:
            return self._script(data, at, final)
        if (text := _TEXT.match(data, at)) is not None:
            return iter((Piece(text[0], "t"),))
        return self._reference(data, at, final) if data[at : at + 1] == b"&" else self._markup(data, at, final)

    def _reference(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        if len(data) - at < 40 and not final and b";" not in data[at:]:
            return
        found = _REFERENCE.match(data, at)
        view = unescape(found[0].decode()).encode("utf-8", "replace") if found else b""
        if found is None or view == found[0]:
            yield Piece(b"&", "t")
        else:
            yield Piece(found[0], "e", view)

    def _markup(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        if data.startswith(b"<!--", at):
            end = data.find(b"-->", at + 4)
            if end >= 0:
                yield from (Piece(data[at : end + 3], "t"),)
                return
        elif (declared := _DECLARED.match(data, at)) is not None:
            yield Piece(declared[0], "t")
            return
        elif (tag := _TAG.match(data, at)) is not None:
            yield self._tag(tag)
            return
        elif _OPENS.match(data, at) is None and len(data) - at > 2:
            yield Piece(b"<", "m", b"<")
            return
        if len(data) - at > LONGEST_TAG or final:
            yield Piece(data[at : at + LONGEST_TAG], "t")

    def _tag(self, tag: re.Match[bytes]) -> Piece:
        name = tag[2].lower()
        if name in _RAW and not tag[1]:
            self._until = b"</" + name
        if _SPEAKS.search(tag[0]):
            return Piece(tag[0], "t")
        return Piece(tag[0], "m", b"" if name in _INLINE else b"\n")

    def _script(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        end = data.lower().find(self._until, at)
        if end == at:
            self._until = b""
            return
        keep = len(data) if final else len(data) - len(self._until)
        stop = end if end > at else max(at, keep)
        if stop > at:
            yield Piece(data[at:stop], "s")
        if end >= 0:
            self._until = b""


_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)")
_DELTA = frozenset({b"content", b"text", b"value", b"completion", b"partial_json", b"output_text", b"response", b"v"})


class EventLexer(Lexer):
    """Server-sent events (WHATWG HTML section 9.2) of chat applications: an answer comes in many small events.

    What they say is one text, put together from the strings that such events carry it in; a value that is spread over
    events is found there and masked in each of them.
    """

    def step(self, data: bytes, at: int, final: bool) -> Iterator[Piece]:
        line = _LINE.match(data, at)
        if line is None:
            if final:
                yield from self._line(data[at:])
            elif len(data) - at > 1 << 20:
                yield Piece(data[at:], "t")
            return
        if line[0].endswith(b"\r") and line.end() == len(data) and not final:
            return  # perhaps half a line's end
        yield from self._line(line[0])

    def _line(self, line: bytes) -> Iterator[Piece]:
        start = re.match(rb"data: ?", line)
        if start is None or line[start.end() : start.end() + 1] not in (b"{", b"["):
            yield Piece(line, "m" if start is None else "t", b"" if start is None else None)
            return
        yield Piece(start[0], "m", b"")
        inner = JsonLexer()
        spoken, key, text = False, b"", b""
        inside = False
        for piece in [*inner.feed(line[start.end() :]), *inner.finish()]:
            if piece.raw == b'"' and piece.kind == "m":
                inside = not inside
                if inside:
                    spoken, text = key in _DELTA, b""
                else:
                    key = text
                yield Piece(piece.raw, "m", b"")
            elif inside:
                text += piece.view if piece.view is not None else piece.raw
                yield piece if spoken else Piece(piece.raw, "m", b"")
            else:
                if not piece.raw.strip().startswith(b":"):
                    key = b""
                yield Piece(piece.raw, "m", b"")


class Redactor:
    """One body on its way: `feed` and `finish` give the masked bytes. Memory is bounded by what is held back."""

    def __init__(self, matcher: TextMatcher, lexer: Lexer) -> None:
        self._lexer = lexer
        self._scan = matcher.begin(spans=True)
        self._waiting: deque[tuple[Piece, int, int]] = deque()  # piece, and where its view begins and ends
        self._spans: list[tuple[int, int]] = []
        self._fed = 0
        self.found: tuple[Finding, ...] = ()
        self.masked = 0

    def feed(self, chunk: bytes) -> bytes:
        """The bytes that are certain, masked."""
        self._take(self._lexer.feed(chunk))
        return self._give(self._scan.settled)

    def finish(self) -> bytes:
        """The rest; `found` are then all findings."""
        self._take(self._lexer.finish())
        self.found = self._scan.finish()
        self._collect()
        return self._give(self._fed)

    def _take(self, pieces: list[Piece]) -> None:
        views = []
        for piece in pieces:
            view = piece.raw if piece.view is None else piece.view
            self._waiting.append((piece, self._fed, self._fed + len(view)))
            self._fed += len(view)
            views.append(view)
        if views:
            self._scan.feed(b"".join(views))
            self._collect()

    def _collect(self) -> None:
        fresh = [(each.start, each.end) for each in self._scan.take_spans()]
        if fresh:
            self.masked += len(fresh)
            self._spans = sorted([*self._spans, *fresh])

    def _give(self, until: int) -> bytes:
        out: list[bytes] = []
        while self._waiting:
            piece, start, end = self._waiting[0]
            if end > until:
                if piece.kind not in "ts" or until <= start:
                    break
                head, tail = piece.raw[: until - start], piece.raw[until - start :]
                view = piece.view
                first = Piece(head, piece.kind, None if view is None else view[: until - start])
                out.append(self._masked(first, start, until))
                rest = Piece(tail, piece.kind, None if view is None else view[until - start :])
                self._waiting[0] = (rest, until, end)
                break
            self._waiting.popleft()
            out.append(self._masked(piece, start, end))
        self._forget(until)
        return b"".join(out)

    def _forget(self, until: int) -> None:
        if self._spans and self._spans[0][1] <= until:
            self._spans = [each for each in self._spans if each[1] > until]

    def _masked(self, piece: Piece, start: int, end: int) -> bytes:
        hits = [(first, last) for first, last in self._spans if first < end and last > start]
        if not hits or piece.kind == "m":
            return piece.raw
        if piece.kind == "e":
            return b"X"
        if piece.kind == "n":
            return b"0".ljust(len(piece.raw))
        table = _SCRIPT if piece.kind == "s" else _MASK
        wide = piece.view is None  # UTF-8: a character may have several bytes
        parts, at = [], start
        for first, last in hits:
            first, last = max(first, at), min(last, end)
            if last <= first:
                continue
            parts.append(piece.raw[at - start : first - start])
            parts.append(piece.raw[first - start : last - start].translate(table, _CONTINUED if wide else b""))
            at = last
        parts.append(piece.raw[at - start :])
        return b"".join(parts)


class EventsFirst:
    """Before an event stream is read as one text: each event by itself, whatever its fields are called."""

    def __init__(self, matcher: TextMatcher) -> None:
        self._matcher = matcher
        self._held = b""
        self.found: tuple[Finding, ...] = ()

    def feed(self, chunk: bytes) -> bytes:
        """The lines that are whole, masked."""
        lines = (self._held + chunk).splitlines(keepends=True)
        self._held = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(self._held) > 1 << 20:
            lines.append(self._held)
            self._held = b""
        return b"".join(map(self._line, lines))

    def finish(self) -> bytes:
        """The rest."""
        rest, self._held = self._held, b""
        return self._line(rest) if rest else b""

    def _line(self, line: bytes) -> bytes:
        start = re.match(rb"[a-z]*: ?", line)
        if start is None:
            return line
        event = line[start.end() :]
        inner = Redactor(self._matcher, JsonLexer() if event[:1] in (b"{", b"[", b'"') else TextLexer())
        out = inner.feed(event) + inner.finish()
        self.found += inner.found
        return start[0] + out


def lexer_for(media_type: str, charset: str = "") -> Lexer | None:
    """The lexer of a media type (lower case, without parameters); None for what cannot be masked."""
    known = charset.strip("\"' ").lower()
    if known in ("iso-8859-1", "latin1", "windows-1252", "iso-8859-15", "windows-1250", "windows-1251", "iso-8859-2"):
        return AsciiLexer() if media_type in ("text/plain", "text/csv") else None
    if known not in ("", "utf-8", "utf8", "us-ascii", "ascii"):
        return None
    if media_type in ("application/json", "application/x-ndjson", "application/ndjson") or media_type.endswith("+json"):
        return JsonLexer()
    if media_type in ("text/html", "application/xhtml+xml"):
        return HtmlLexer()
    if media_type == "text/event-stream":
        return EventLexer()
    if media_type in ("text/plain", "text/csv", "text/tab-separated-values", "text/markdown", "application/csv"):
        return TextLexer()
    return None
