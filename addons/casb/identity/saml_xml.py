"""SAML's XML read strictly: one root, UTF-8, nothing that two parsers could read differently.

What is refused before anything is looked at: documents over a megabyte, other encodings, DOCTYPE, entities, comments,
processing instructions and CDATA (each of them once let a signature and a reader see different text: CVE-2017-11427,
CVE-2018-0489, CVE-2025-25291, CVE-2025-25292), duplicate ids, relative namespaces (their canonical form is an error
that has been read as an empty string: CVE-2025-66568). Knows nothing of signatures. Needs the extra `casb[saml]`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from lxml import etree

from casb.errors import TokenError

type Element = Any
"""An lxml element: lxml ships no types."""

MAX_DOCUMENT: Final = 1024 * 1024
MAX_ELEMENTS: Final = 20_000

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
EXC_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"

_DECLARATION = re.compile(r"\s*<\?xml\s[^<>?]*\?>")
_ENCODING = re.compile(r"encoding\s*=\s*[\"']([^\"']*)[\"']")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?Z", re.ASCII)
_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,255}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ID_NAMES: Final = frozenset({"id", "assertionid", "responseid", "requestid"})


def read_xml(document: bytes) -> Element:
    """The root of a document; raises `TokenError` T040 (size, encoding) or T041 (what XML may not hold here)."""
    if len(document) > MAX_DOCUMENT:
        raise TokenError("T040", "the SAML document is too large")
    try:
        text = document.decode("utf-8")
    except UnicodeDecodeError:
        raise TokenError("T040", "the SAML document is not UTF-8") from None
    declaration = _DECLARATION.match(text)
    body = text[declaration.end() :] if declaration else text
    if declaration:
        named = _ENCODING.search(declaration[0])
        if named is not None and named[1].lower() not in ("utf-8", "us-ascii", "ascii"):
            raise TokenError("T040", "the SAML document names another encoding than UTF-8")
    if "<!" in body or "<?" in body:
        raise TokenError("T041", "a DOCTYPE, comment, CDATA section or processing instruction is in the SAML document")
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=False,
        remove_pis=False,
        strip_cdata=False,
        recover=False,
        collect_ids=False,
        encoding="utf-8",
    )
    try:
        root = etree.fromstring(body.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, ValueError, TypeError):
        raise TokenError("T041", "the SAML document is not well-formed XML") from None
    _check_tree(root)
    return root


def _check_tree(root: Element) -> None:
    seen: set[str] = set()
    tree = root.getroottree()
    if tree.docinfo.internalDTD is not None or tree.docinfo.externalDTD is not None:
        raise TokenError("T041", "the SAML document has a document type")
    for number, element in enumerate(root.iter()):
        if number >= MAX_ELEMENTS:
            raise TokenError("T040", "the SAML document has too many elements")
        if not isinstance(element.tag, str):
            raise TokenError("T041", "a comment, processing instruction or entity is in the SAML document")
        for uri in element.nsmap.values() if element is root or element.getparent().nsmap != element.nsmap else ():
            if ":" not in uri:
                raise TokenError("T041", "a namespace of the SAML document is not absolute")
        for name, value in element.attrib.items():
            if local(name).lower() not in _ID_NAMES:
                continue
            if value in seen:
                raise TokenError("T043", "an id is used twice in the SAML document")
            seen.add(value)


def local(tag: str) -> str:
    """A qualified name without its namespace."""
    return tag.rpartition("}")[2]


def strict_base64(text: bytes) -> bytes:
    """Base64 in its one canonical spelling (RFC 4648 section 4), line breaks apart; raises `TokenError` T040."""
    joined = text.replace(b"\r", b"").replace(b"\n", b"")
    if len(joined) > MAX_DOCUMENT * 4 // 3 + 4:
        raise TokenError("T040", "the SAML document is too large")
    try:
        data = base64.b64decode(joined, validate=True)
    except (binascii.Error, ValueError):
        raise TokenError("T040", "the SAML document is not base64") from None
    if base64.b64encode(data) != joined:
        raise TokenError("T040", "the SAML document is not canonical base64")
    return data


def text_of(element: Element, code: str, what: str, *, longest: int = 1024) -> str:
    """The text of an element that holds nothing else, without white space around it; raises `TokenError`."""
    if len(element) or element.text is None:
        raise TokenError(code, f"{what} is empty or holds elements")
    text = str(element.text).strip(" \t\r\n")
    if not text or len(text) > longest or _CONTROL.search(text):
        raise TokenError(code, f"{what} is empty, too long or holds control characters")
    return text


def attribute(element: Element, name: str, code: str, what: str, *, longest: int = 2048) -> str:
    """An attribute that must be there; raises `TokenError`."""
    value = element.get(name)
    if value is None or not value or len(value) > longest or _CONTROL.search(value):
        raise TokenError(code, f"{what} is missing, empty or malformed")
    return str(value)


def xml_id(element: Element, code: str, what: str) -> str:
    """Its `ID`, an NCName as XML Schema wants it; raises `TokenError`."""
    value = attribute(element, "ID", code, f"the ID of {what}")
    if not _NCNAME.fullmatch(value):
        raise TokenError(code, f"the ID of {what} is malformed")
    return value


def parse_time(text: str, code: str, what: str) -> datetime:
    """A SAML time (Core section 1.3.3: UTC, with `Z`); fractions are dropped. Raises `TokenError`."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise TokenError(code, f"{what} is not a time in UTC")
    try:
        return datetime.strptime(found[1], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise TokenError(code, f"{what} is not a time") from None


def time_of(element: Element, name: str, code: str, what: str) -> datetime | None:
    """A time attribute, or None when it is not there; raises `TokenError`."""
    value = element.get(name)
    return None if value is None else parse_time(value, code, what)


def format_time(moment: datetime) -> str:
    """The reverse of `parse_time`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def children(element: Element, tag: str) -> Iterator[Element]:
    """Its direct children of a name."""
    return iter(element.findall(tag))


def only(element: Element, tag: str, code: str) -> Element | None:
    """Its one child of a name, or None; raises `TokenError` when there are more."""
    found = element.findall(tag)
    if len(found) > 1:
        raise TokenError(code, f"there is more than one {local(tag)}")
    return found[0] if found else None
