"""The few XML parts of office files that we read, with expat: no DTD, no entity, no network.

Any bytes give a value or raise `ContentError` (F101 not well-formed, F104 declares a document type of its own).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from xml.parsers import expat  # document types and entities are refused below

from casb.errors import ContentError

type OnStart = Callable[[str, Mapping[str, str]], None]
"""`(element name, attributes)`; names without their namespace."""
type OnText = Callable[[str, Mapping[str, str], str], None]
"""`(element name, its attributes, its text)`, at the end of each element without children."""


def walk(data: bytes, on_start: OnStart | None = None, on_text: OnText | None = None) -> None:
    """Calls back for every element. Depth does not matter: expat does not recurse, nor do we."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    path: list[tuple[str, Mapping[str, str], list[str]]] = []

    def refuse(*_: object) -> None:
        raise ContentError("F104", "an XML part declares a document type")

    def doctype(_: str, __: str | None, public: str | None, subset: bool) -> None:
        if not public or subset:  # older OpenDocument files name a public one, which nobody fetches
            refuse()

    def start(name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        plain = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        path.append((local, plain, []))
        if on_start:
            on_start(local, plain)

    def text(value: str) -> None:
        if path:
            path[-1][2].append(value)

    def end(_: str) -> None:
        name, attributes, parts = path.pop()
        if on_text:
            on_text(name, attributes, "".join(parts))

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.CharacterDataHandler = text
    parser.EndElementHandler = end
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError):  # the last two: encodings that expat asks Python for
        raise ContentError("F101", "an XML part is not well-formed") from None


def content_types(data: bytes) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """`[Content_Types].xml`: content type by part name and by extension, everything in lower case."""
    by_name: dict[str, str] = {}
    by_extension: dict[str, str] = {}

    def start(name: str, attributes: Mapping[str, str]) -> None:
        content_type = attributes.get("ContentType", "").strip().lower()
        if name == "Override":
            by_name[part_name(attributes.get("PartName", ""))] = content_type
        elif name == "Default":
            by_extension[attributes.get("Extension", "").lower()] = content_type

    walk(data, start)
    return by_name, by_extension


def relations(data: bytes) -> Sequence[tuple[str, str]]:
    """`_rels/.rels`: the last word of each relationship's type and the part it leads to, in lower case."""
    found: list[tuple[str, str]] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            kind = attributes.get("Type", "").rstrip("/").rpartition("/")[2].lower()
            found.append((kind, part_name(attributes.get("Target", ""))))

    walk(data, start)
    return found


def part_name(target: str) -> str:
    """A part's name as the ZIP directory has it."""
    return target.strip().lower().replace("\\", "/").removeprefix("/").removeprefix("./")
