"""XML and HTML to text, as they are pushed in: nothing is kept but the text since the last block.

XML by expat: external entities are never fetched, internal ones only where `entities` are allowed, and then within the
bounds expat sets to amplification. HTML by libxml2 with a target, so that depth does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from xml.parsers import expat  # entities are refused, or bounded by expat itself

from lxml import etree

from casb.inspection.extraction.context import Refused, Texts
from casb.inspection.limits import Why
from casb.inspection.signs import external

# Vocabularies in which only the end of a paragraph, row or cell separates words; in all others every element does.
_RUNNING = (
    "wordprocessingml/",
    "drawingml/2006/main",
    "drawingml/main",
    "opendocument:xmlns:text",
    "officedocument/2006/math",
    "officedocument/math",
    "markup-compatibility",
    "office/word/2010/wordml",
    "office/word/2003/wordml",
)
_LINES = frozenset(
    "p h tr row table-row comment annotation list-item si br cr line-break footnote endnote sdt txbxContent sectPr fld "
    "note tbl table".split()
)
_TABS = frozenset(("tab", "tc", "table-cell", "c", "s", "ptab"))
_SILENT = frozenset(
    "posOffset align pctWidth pctHeight fldData binary-data sizeRelH sizeRelV".split()
)  # numbers of layout and base64
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "docPr": ("descr", "title", "name"),
    "cNvPr": ("descr", "title", "name"),
    "sheet": ("name",),
    "hyperlink": ("tooltip",),
    "comment": ("author",),
    "ins": ("author",),
    "del": ("author",),
    "user-defined": ("name",),
    "property": ("name",),
    "table": ("name",),
    "table-cell": ("string-value", "formula"),
    "textpath": ("string",),
    "dataValidation": ("promptTitle", "prompt", "errorTitle", "error"),
    "Relationship": ("Target",),
    "cmAuthor": ("name",),
    "person": ("displayName",),
    "a": ("href",),
    "checkBox": ("name",),
    "statusText": ("val",),
    "helpText": ("val",),
    "listItem": ("displayText", "value"),
    "alias": ("val",),
    "docVar": ("name", "val"),
}
_ALTERNATIVES = frozenset(("Choice", "Fallback", "AlternateContent"))
_EXTERNAL_ONLY = "Relationship"
_BETWEEN = 64 * 1024 * 1024
"""So many characters out of one block of a sheet are a bomb: long strings that many cells share."""

type OnElement = Callable[[str, dict[str, str]], None]


type _Action = tuple[str, str, str, bool, tuple[str, ...] | None, OnElement | None]
NOTHING: Mapping[str, OnElement] = {}


class _Refusal(Exception):
    """Carries a reason out of a callback of expat."""

    def __init__(self, why: Why) -> None:
        super().__init__(why.value)
        self.why = why


def xml(
    part: str,
    blocks: Iterable[bytes],
    *,
    entities: bool = False,
    on_element: Mapping[str, OnElement] = NOTHING,
    all_attributes: bool = False,
) -> Texts:
    """The text of an XML document. `on_element` sees the elements that it names. Raises `Refused`: CORRUPT when it is
    not well-formed or, unless `entities` are allowed, declares any; BOMB when entities multiply."""
    reader = _XmlReader(entities=entities, on_element=on_element, all_attributes=all_attributes)
    yield from _pushed(part, blocks, reader)


def sheet(part: str, blocks: Iterable[bytes], shared: list[str], used: bytearray) -> Texts:
    """The cells of an xlsx worksheet, a row a line. `used` notes which shared strings occurred."""
    yield from _pushed(part, blocks, _SheetReader(shared, used))


class _Expat:
    """Feeding expat, and its errors as ours."""

    def __init__(self, *, entities: bool) -> None:
        self.out: list[str] = []
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.buffer_size = 64 * 1024
        if not entities:
            self.parser.EntityDeclHandler = self._refuse
        self.parser.CharacterDataHandler = self.out.append

    def _refuse(self, *_: object) -> None:
        raise _Refusal(Why.CORRUPT)

    def feed(self, block: bytes, *, final: bool) -> None:
        try:
            self.parser.Parse(block, final)
        except _Refusal as refusal:
            raise Refused(refusal.why) from None
        except expat.ExpatError as error:
            too_much = error.code == expat.errors.codes[expat.errors.XML_ERROR_AMPLIFICATION_LIMIT_BREACH]
            raise Refused(Why.BOMB if too_much else Why.CORRUPT) from None
        except (ValueError, LookupError):  # encodings that expat asks Python for
            raise Refused(Why.CORRUPT) from None


def _pushed(part: str, blocks: Iterable[bytes], reader: _Expat) -> Texts:
    out = reader.out
    for block in blocks:
        reader.feed(block, final=False)
        if out:
            yield part, _spaced("".join(out))
            out.clear()
    reader.feed(b"", final=True)
    out.append("\n")
    yield part, _spaced("".join(out))


def _spaced(found: str) -> str:
    """White space alone, as between the elements of a style sheet, is one line break."""
    return "\n" if found.isspace() else found


class _XmlReader(_Expat):
    def __init__(self, *, entities: bool, on_element: Mapping[str, OnElement], all_attributes: bool) -> None:
        super().__init__(entities=entities)
        self._actions: dict[str, _Action] = {}
        self._on_element = on_element
        self._all = all_attributes
        self._silent = 0
        self._target: Callable[[str], None] = self.out.append
        self._choice: list[str] | None = None
        self._fallback: list[str] | None = None
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _action(self, name: str) -> _Action:
        """Local name, what its beginning and its end write, whether its text is left out, attributes, who watches."""
        space, _, local = name.rpartition(" ")
        running = any(each in space.lower() for each in _RUNNING)
        before = "\n" if local in ("br", "cr", "line-break") else "\t" if local in ("tab", "ptab") else ""
        before = " " if local == "s" and running else before
        after = ("\n" if local in _LINES else "\t" if local in ("tc", "table-cell", "c") else "") if running else "\n"
        wanted = () if self._all and not running else _ATTRIBUTES.get(local)
        found = (local, before, after, local in _SILENT, wanted, self._on_element.get(local))
        if len(self._actions) < 10_000:
            self._actions[name] = found
        return found

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local, before, _, silent, wanted, watched = self._actions.get(name) or self._action(name)
        if silent:
            self._silent += 1
            self.parser.CharacterDataHandler = None
        if before:
            self.out.append(before)
        if local in _ALTERNATIVES and not self._silent:
            self._alternative_begins(local)
        if attributes:
            if watched:
                watched(local, attributes)
            if wanted is not None:
                self._write(local, attributes, wanted)

    def _alternative_begins(self, local: str) -> None:
        """Two ways to show the same, for new programs and old (ECMA-376 part 3, 7.6): read once when they say the
        same. Only the outermost of them are compared."""
        if local == "Choice" and self._choice is None:
            self._choice = []
            self._set_target(self._both)
        elif local == "Fallback" and self._fallback is None and self._choice is not None:
            self._fallback = []
            self._set_target(self._fallback.append)

    def _alternative_ends(self, local: str) -> None:
        if local == "AlternateContent":
            self._choice = None
        if local == "Fallback" and self._fallback is not None:
            second = " ".join("".join(self._fallback).split())
            if self._choice is not None and second != " ".join("".join(self._choice).split()):
                self.out.append(f"\n{second}\n")
            self._fallback = None
        if self._fallback is None:
            self._set_target(self.out.append)

    def _both(self, found: str) -> None:
        self.out.append(found)
        if self._choice is not None:
            self._choice.append(found)

    def _set_target(self, target: Callable[[str], None]) -> None:
        self._target = self.parser.CharacterDataHandler = target

    def _write(self, local: str, attributes: dict[str, str], wanted: tuple[str, ...]) -> None:
        """The attributes that are wanted; all of them when none is named."""
        if local == _EXTERNAL_ONLY and not external(attributes):
            return
        for key, value in attributes.items():
            if not wanted:
                self.out.append(f" {value} ")
            elif key.rpartition(" ")[2] in wanted:
                self.out.append(f"\n{value}\n")

    def _end(self, name: str) -> None:
        local, _, after, silent, _, _ = self._actions.get(name) or self._action(name)
        if silent:
            self._silent -= 1
            if not self._silent:
                self.parser.CharacterDataHandler = self._target
        if local in _ALTERNATIVES:
            self._alternative_ends(local)
        if after and self.out and self.out[-1] != after:
            self.out.append(after)


class _SheetReader(_Expat):
    """ECMA-376 part 1, 18.3.1.4 (c): `t` is s (shared), str, inlineStr, b, e, n or d."""

    def __init__(self, shared: list[str], used: bytearray) -> None:
        super().__init__(entities=False)
        self._shared = shared
        self._used = used
        self._kind = ""
        self._value: list[str] = []
        self._written = 0
        self.parser.CharacterDataHandler = None
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def feed(self, block: bytes, *, final: bool) -> None:
        self._written = 0
        super().feed(block, final=final)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if local == "c":
            self._kind = attributes.get("t", "n")
        elif local in (
            "v",
            "t",
            "f",
            "oddHeader",
            "oddFooter",
            "evenHeader",
            "evenFooter",
            "firstHeader",
            "firstFooter",
        ):
            self.parser.CharacterDataHandler = self._value.append
        elif attributes and local in _ATTRIBUTES:
            for key in _ATTRIBUTES[local]:
                if key in attributes:
                    self.out.append(f"\n{attributes[key]}\n")

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if local == "row":
            self.out.append("\n")
        elif local == "c":
            self.out.append("\t")
        elif self._value or local == "v":
            value = "".join(self._value)
            self._value.clear()
            self.parser.CharacterDataHandler = None
            self.out.append(self._cell(value) if local == "v" else f"{value}\t" if local != "t" else value)

    def _cell(self, value: str) -> str:
        if self._kind == "s":
            try:
                index = int(value)
                text = self._shared[index]
            except (ValueError, IndexError):
                raise _Refusal(Why.CORRUPT) from None
            self._used[index] = 1
            self._written += len(text)
            if self._written > _BETWEEN:
                raise _Refusal(Why.BOMB)
            return text
        return number(value) if self._kind == "n" else value


def number(value: str) -> str:
    """A number as people read it: 4.111111111111E15 is 4111111111111000."""
    if "E" not in value and "e" not in value:
        return value
    try:
        parsed = float(value)
    except ValueError:
        return value
    return f"{parsed:.0f}" if parsed.is_integer() and abs(parsed) < 1e20 else value


_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q ruby s samp small span "
    "strike strong sub sup time tt u var wbr".split()
)
_TEXT_ATTRIBUTES = frozenset(
    (
        "alt",
        "title",
        "content",
        "value",
        "placeholder",
        "aria-label",
        "label",
        "summary",
        "srcdoc",
        "href",
    )
)
SMUGGLING = ("createobjecturl", "mssaveoropenblob", "mssaveblob", "application/octet-stream;base64")


class _HtmlTarget:
    """Called back by libxml2 (lxml's parser target interface)."""

    def __init__(self) -> None:
        self.out: list[str] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag not in _INLINE:
            self.out.append("\n")
        if len(attributes):  # a mapping of lxml, slow to ask
            for key, value in attributes.items():
                if value and key in _TEXT_ATTRIBUTES:
                    self.out.append(f" {value} ")

    def end(self, tag: str) -> None:
        if tag not in _INLINE:
            self.out.append("\n")

    def data(self, data: str) -> None:
        self.out.append(data)

    def comment(self, text: str) -> None:
        self.out.append(f"\n{text}\n")

    def pi(self, target: str, data: str | None = None) -> None:
        self.out.append(f"\n{data or ''}\n")

    def close(self) -> None:
        return None


def html(part: str, texts: Iterable[str]) -> Texts:
    """The text of an HTML document, given decoded: words, scripts, comments, and attributes that people read."""
    target = _HtmlTarget()
    parser = etree.HTMLParser(target=target, encoding="utf-8", huge_tree=True)
    out = target.out
    fed = False
    for text in texts:
        # libxml2 takes NUL for the end of the document; browsers drop it.
        data = text.replace("\x00", "").encode("utf-8", "replace")
        if not data:
            continue
        parser.feed(data)
        fed = True
        if out:
            yield part, "".join(out)
            out.clear()
    if fed:
        try:
            parser.close()
        except etree.XMLSyntaxError:  # a document without an element
            pass
    out.append("\n")
    yield part, "".join(out)


class _SharedReader(_Expat):
    """ECMA-376 part 1, 18.4.8 (si): runs of `t`, put together."""

    def __init__(self) -> None:
        super().__init__(entities=False)
        self.strings: list[str] = []
        self.parser.CharacterDataHandler = None
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _start(self, name: str, _: dict[str, str]) -> None:
        if name.endswith(" t") or name == "t":
            self.parser.CharacterDataHandler = self.out.append

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if local == "t":
            self.parser.CharacterDataHandler = None
        elif local == "si":
            self.strings.append("".join(self.out))
            self.out.clear()


def shared_strings(blocks: Iterable[bytes]) -> list[str]:
    """`xl/sharedStrings.xml`. Raises `Refused`."""
    reader = _SharedReader()
    for block in blocks:
        reader.feed(block, final=False)
    reader.feed(b"", final=True)
    return reader.strings
